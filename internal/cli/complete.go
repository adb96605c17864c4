package cli

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// lookupTime bounds what completing a word may ask the server: who types waits for it.
const lookupTime = time.Second

// maxOffered is how many entries of a list that grows without end are offered.
const maxOffered = 50

// lookup finds the words that may stand somewhere. args are the arguments before.
type lookup func(ctx context.Context, c *client.Client, args []string) ([]string, error)

// withCompletion lets every command complete what its usage line takes: a word in capitals there
// stands for the same everywhere.
func (s *session) withCompletion(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		s.withCompletion(sub)
	}
	if cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && !cmd.HasSubCommands() {
		positions := argumentsOf(cmd)
		cmd.ValidArgsFunction = s.complete(func(args []string) lookup {
			if len(args) < len(positions) {
				return positions[len(args)]
			}
			if len(positions) > 0 && strings.Contains(cmd.Use, "...") {
				return positions[len(positions)-1]
			}
			return nil
		})
	}
	for name, find := range flagLookups(cmd) {
		if cmd.Flags().Lookup(name) != nil {
			if err := cmd.RegisterFlagCompletionFunc(name, s.complete(func([]string) lookup { return find })); err != nil {
				panic(err) // registered twice, which is a bug
			}
		}
	}
}

// complete makes cobra's function of look-ups; choose gives the one for the word behind some arguments.
func (s *session) complete(choose func(args []string) lookup) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		const nothingElse = cobra.ShellCompDirectiveNoFileComp
		find := choose(args)
		if find == nil {
			return nil, nothingElse
		}
		c, err := s.client()
		if err != nil {
			c = client.New("", "") // what needs no server is completed all the same
		}
		defer c.Close()
		ctx, cancel := context.WithTimeout(cmd.Context(), lookupTime)
		defer cancel()
		words, err := find(ctx, c, args)
		if err != nil {
			return nil, nothingElse // completing is no place to complain
		}
		return beginningWith(words, begun), nothingElse
	}
}

// beginningWith keeps the words that go on as they were begun; not every shell does that by itself.
func beginningWith(words []string, begun string) []string {
	var kept []string
	for _, word := range words {
		if strings.HasPrefix(word, begun) {
			kept = append(kept, word)
		}
	}
	return kept
}

// argumentsOf reads the usage line of a command.
func argumentsOf(cmd *cobra.Command) []lookup {
	var found []lookup
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(word, "-") {
			break
		}
		found = append(found, argumentLookup(strings.Trim(word, "[]."), cmd))
	}
	return found
}

func argumentLookup(name string, cmd *cobra.Command) lookup {
	parent := ""
	if cmd.HasParent() {
		parent = cmd.Parent().Name()
	}
	switch {
	case name == "PROJECT":
		return projectNames
	case name == "PROVIDER":
		return fixed(slices.Concat(provider.Names(), provider.Presets())...)
	case name == "TYPE":
		return func(_ context.Context, _ *client.Client, args []string) ([]string, error) {
			return knownTypes(args[len(args)-1]), nil
		}
	case name == "NAME" && parent == "destinations" && cmd.Name() != "add":
		return destinationNames
	case name == "ID" && parent == "deliveries":
		return deliveryWords
	case name == "ID" && parent == "events":
		return eventWords
	case name == "ID" && parent == "keys":
		return keyWords
	default:
		return nil
	}
}

// flagLookups are by the names of flags, which mean the same in every command; only the type is that of a
// destination in some commands and that of an event in others.
func flagLookups(cmd *cobra.Command) map[string]lookup {
	types := fixed("user.created", "user.updated", "user.deleted")
	if cmd.HasParent() && cmd.Parent().Name() == "destinations" {
		types = fixed("http", "hubspot", "webhook")
	}
	return map[string]lookup{
		"project":     projectNames,
		"provider":    fixed(slices.Concat(provider.Names(), provider.Presets())...),
		"outcome":     fixed("applied", "duplicate", "failed", "ignored", "pending", "stale"),
		"state":       fixed("cancelled", "coalesced", "delivered", "failed", "held", "blocked", "ready", "retrying"),
		"event-types": fixed(destination.EventTypes()...),
		"event-type":  fixed(destination.EventTypes()...),
		"destination": destinationNames,
		"role":        fixed(string(project.ReadOnly), string(project.Operator), string(project.Admin)),
		"type":        types,
	}
}

func fixed(words ...string) lookup {
	return func(context.Context, *client.Client, []string) ([]string, error) { return words, nil }
}

func projectNames(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	projects, err := c.Projects(ctx)
	names := make([]string, len(projects))
	for i, p := range projects {
		names[i] = p.Name
	}
	return names, err
}

func destinationNames(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	if len(args) == 0 {
		return nil, nil
	}
	destinations, err := c.Destinations(ctx, args[0])
	names := make([]string, len(destinations))
	for i, d := range destinations {
		names[i] = cobra.CompletionWithDesc(d.Name, d.Type+", "+d.State)
	}
	return names, err
}

func deliveryWords(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	deliveries, err := c.Outgoing(ctx, args[0], client.OutgoingFilter{}, maxOffered)
	words := make([]string, len(deliveries))
	for i, d := range deliveries {
		words[i] = cobra.CompletionWithDesc(count(d.ID), d.State+", to "+d.Destination)
	}
	return slices.DeleteFunc(words, func(w string) bool { // each is given once
		id, _, _ := strings.Cut(w, "\t")
		return slices.Contains(args, id)
	}), err
}

func eventWords(ctx context.Context, c *client.Client, args []string) ([]string, error) {
	events, err := c.Events(ctx, args[0], client.EventFilter{}, maxOffered)
	words := make([]string, len(events))
	for i, e := range events {
		words[i] = cobra.CompletionWithDesc(e.ID, e.Outcome+", "+orNull(e.Type))
	}
	return words, err
}

func keyWords(ctx context.Context, c *client.Client, _ []string) ([]string, error) {
	keys, err := c.Keys(ctx)
	var words []string
	for _, k := range keys {
		if k.RevokedAt == nil {
			words = append(words, cobra.CompletionWithDesc(k.ID, k.Name))
		}
	}
	return words, err
}
