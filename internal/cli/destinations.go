package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newDestinations() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "destinations",
		Short: "Send changes on to HubSpot, a webhook or any HTTP API",
		Long: `A destination is a system that must follow the records of a project. Each change that
it wants is delivered to it, in order for each record, and retried until it succeeds
or you cancel it.

  webhook  a signed request to your own server (Standard Webhooks)
  hubspot  contacts and companies in HubSpot
  http     any API with JSON; method, URL, headers and body by expressions

A destination is active, or paused or disabled: then changes are kept and nothing is
sent. One that refuses every delivery is paused by authsync, with the reason.`,
	})
	cmd.AddCommand(
		s.newDestinationsAdd(), s.newDestinationsSet(), s.newDestinationsList(), s.newDestinationsShow(), s.newDestinationsPreview(),
		s.newDestinationsTest(),
		s.newDestinationsPause(), s.newDestinationsResume(), s.newDestinationsRotate(), s.newDestinationsReplay(), s.newDestinationsRemove(),
	)
	return cmd
}

func (s *session) newDestinationsList() *cobra.Command {
	return &cobra.Command{
		Use:     "list PROJECT",
		Short:   "List the destinations of a project and their health",
		Example: "  authsync destinations list shop",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			destinations, err := c.Destinations(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(destinations)
			}
			return s.printDestinations(args[0], destinations...)
		},
	}
}

func (s *session) printDestinations(project string, destinations ...client.Destination) error {
	t := table{
		head: []string{"NAME", "TYPE", "STATE", "WAITING", "RETRYING", "FAILED", "HELD", "LAST SUCCESS", "WHY"},
		none: "No destinations: make one with authsync destinations create " + project + " NAME --type TYPE.",
	}
	for _, d := range destinations {
		t.add(d.Name, d.Type, d.State, count(d.Waiting), count(d.Retrying), count(d.Failed), count(d.Held), shortClockOrDash(d.LastSuccessAt), orDash(trouble(d)))
	}
	return s.print(t)
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// trouble returns in a few words what is wrong with a destination; empty if nothing is.
func trouble(d client.Destination) string {
	switch {
	case d.Fault != "":
		return "unusable: " + d.Fault
	case d.State != "active":
		return "by " + d.StateBy + ": " + orNull(d.StateReason)
	case d.BreakerOpenUntil != nil:
		return "fails since " + clockOrDash(d.FailingSince) + "; tried again at " + clock(*d.BreakerOpenUntil)
	case d.FailingSince != nil:
		return "fails since " + clock(*d.FailingSince)
	case d.WaitReason != nil:
		return "waits: " + *d.WaitReason
	default:
		return noticeOf(d)
	}
}

// noticeOf is what a person should know of a destination that is at work, or nothing.
func noticeOf(d client.Destination) string {
	if d.State != "active" || d.StateReason == nil {
		return ""
	}
	return "notice: " + *d.StateReason
}

func (s *session) newDestinationsShow() *cobra.Command {
	return &cobra.Command{
		Use:     "get PROJECT NAME",
		Short:   "Show a destination, its settings and its health",
		Example: "  authsync destinations get shop crm",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := s.client()
			if err != nil {
				return err
			}
			d, err := c.Destination(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			return s.reportDestination(d)
		},
	}
}

// reportDestination prints a destination as the flags ask.
func (s *session) reportDestination(d client.Destination) error {
	if s.json {
		return s.printJSON(d)
	}
	return s.printFacts([][2]string{
		{"name", d.Name},
		{"id", d.ID},
		{"type", d.Type},
		{"event types", strings.Join(d.EventTypes, ", ")},
		{"fields", cmp.Or(strings.Join(d.Fields, ", "), "all")},
		{"condition", cmp.Or(orNull(d.Condition), "-")},
		{"holdback", cmp.Or(orNull(d.Holdback), "-")},
		{"options", string(d.Options)},
		{"secrets", secretsOf(d)},
		{"state", d.State + " since " + clock(d.StateSince) + ", by " + d.StateBy},
		{"why", orDash(trouble(d))},
		{"notice", orDash(strings.TrimPrefix(noticeOf(d), "notice: "))},
		{"waiting", strings.TrimSuffix(count(d.Waiting)+", the oldest from "+clockOrDash(d.OldestWaitingAt), ", the oldest from -")},
		{"retrying", count(d.Retrying)},
		{"failed", count(d.Failed)},
		{"held", strings.TrimSuffix(count(d.Held)+", the first until "+clockOrDash(d.HeldUntil), ", the first until -")},
		{"success", clockOrDash(d.LastSuccessAt)},
		{"made", clock(d.CreatedAt)},
		{"changed", clock(d.UpdatedAt)},
	})
}

// printFacts prints names and values, a line each.
func (s *session) printFacts(facts [][2]string) error {
	longest := 0
	for _, fact := range facts {
		longest = max(longest, len(fact[0]))
	}
	for _, fact := range facts {
		if err := s.printf("%-*s  %s\n", longest, fact[0], printable(fact[1])); err != nil {
			return err
		}
	}
	return nil
}

// secretsOf names the secrets that are set; their values are never known here.
func secretsOf(d client.Destination) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(d.Secrets)) {
		if until := d.Secrets[name].OldUntil; until != nil {
			name += " (the one before it until " + clock(*until) + ")"
		}
		all = append(all, name)
	}
	return orDash(strings.Join(all, ", "))
}

// printSecret shows a secret that nobody can show again.
func (s *session) printSecret(secret *client.MadeSecret) error {
	if secret == nil {
		return nil
	}
	return s.printf("\n%s, shown only once:\n  %s\n", secret.Name, printable(secret.Value))
}

func (s *session) newDestinationsPause() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "pause PROJECT NAME",
		Short: "Keep what is to be sent until the destination is resumed",
		Long: `Sends nothing more to the destination. Changes are kept meanwhile, and are
delivered in order once it is resumed.`,
		Example: "  authsync destinations pause shop crm --reason 'the CRM is being moved'",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.actOn(cmd, args, "pause", client.PauseOrder{Reason: reason}, "Paused. Changes are kept; to send them: authsync destinations resume %s %s")
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for those who find it paused")
	return cmd
}

func (s *session) newDestinationsResume() *cobra.Command {
	return &cobra.Command{
		Use:   "resume PROJECT NAME",
		Short: "Send again, whoever stopped it",
		Long: `Sends what was kept while the destination was paused or disabled, in order. It also
ends the pause that a destination is given which only fails: it is tried at once.
The notice of a destination that is at work is taken away.`,
		Example: "  authsync destinations resume shop crm",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.actOn(cmd, args, "resume", nil, "Active. See its deliveries: authsync deliveries list %s --destination %s")
		},
	}
}

func (s *session) actOn(cmd *cobra.Command, args []string, action string, in any, done string) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	d, err := c.ActOn(cmd.Context(), args[0], args[1], action, in)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(d)
	}
	return s.printf("%s\n", fmt.Sprintf(done, args[0], args[1]))
}

func (s *session) newDestinationsRotate() *cobra.Command {
	from := source{flag: "secret"}
	cmd := &cobra.Command{
		Use:   "rotate PROJECT NAME",
		Short: "Replace a webhook's signing secret without losing a delivery",
		Long: `Makes a new signing secret and shows it once, or takes the one of a file or an
environment variable. For 24 hours deliveries are signed with both, so that
the receiver can be changed meanwhile; the secret before the old one signs no more.`,
		Example: "  authsync destinations rotate shop app\n" +
			"  authsync destinations rotate shop app --secret-env NEW_SECRET",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var in client.RotateOrder
			if from.given() {
				value, err := s.read(from)
				if err != nil {
					return err
				}
				in.Value = &value
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			d, err := c.ActOn(cmd.Context(), args[0], args[1], "rotate", in)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(d)
			}
			if err := s.printf("Rotated. The old secret is valid for 24 hours beside the new one.\n"); err != nil || from.given() {
				return err
			}
			return s.printSecret(d.Secret)
		},
	}
	cmd.Flags().StringVar(&from.file, "secret-file", "", "file with the new secret; - is standard input")
	cmd.Flags().StringVar(&from.env, "secret-env", "", "environment variable with the same")
	return cmd
}

func (s *session) newDestinationsRemove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete PROJECT NAME",
		Short: "Remove a destination, with all that waits for it",
		Long: `Removes a destination, its secrets and its deliveries: what waits is never sent.
What was sent stays where it was sent to. To keep what waits, pause it instead.`,
		Example: "  authsync destinations delete shop crm --yes",
		Args:    takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.confirm(yes, "What waits for destination "+args[1]+" is never sent; pausing it would keep that"); err != nil {
				return err
			}
			return s.remove(cmd.Context(), client.DestinationPath(args[0], args[1]), "Removed destination "+args[1]+" of project "+args[0]+".")
		},
	}
	yesFlag(cmd, &yes)
	return cmd
}
