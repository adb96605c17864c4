package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newRedeliver() *cobra.Command {
	var order client.RedeliverOrder
	var from, to string
	cmd := &cobra.Command{
		Use:   "redeliver PROJECT PROVIDER",
		Short: "Ask a provider to send failed deliveries again",
		Long: `For use after an outage. Lists the failed deliveries of Auth0's event streams to this
project and asks Auth0 to send them again. They keep their ids, so events that have
arrived meanwhile are duplicates, and old events overwrite nothing newer. The command
can be repeated.

The stored application (domain, client_id, client_secret) needs the permissions
read:event_streams, read:event_deliveries and update:event_deliveries on the Auth0
Management API. Auth0 keeps failed deliveries for a limited time: use authsync
reconcile to find what it has dropped.

Of Clerk it is the endpoint that authsync set up (integrations set --provision), and
what has failed in the last 14 days and is no longer retried.`,
		Example: "  authsync redeliver shop auth0 --dry-run\n" +
			"  authsync redeliver shop auth0 --since 2026-01-31T08:00:00Z --until 2026-01-31T12:00:00Z\n" +
			"  authsync redeliver shop auth0 --since 24h --stream est_4GTRaUJiCBAqPFuSiFsvyK",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := provider.ParseName(args[1])
			if err != nil {
				return usageError{err}
			}
			if order.Since, err = s.bound(from); err != nil {
				return err
			}
			if order.Until, err = s.bound(to); err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			done, err := c.Redeliver(cmd.Context(), args[0], name, order)
			if err != nil {
				return err
			}
			return s.printRedelivery(done)
		},
	}
	cmd.Flags().StringVar(&from, "since", "", "only events since then: a time (RFC 3339) or how long ago (24h)")
	cmd.Flags().StringVar(&to, "until", "", "only events before then")
	cmd.Flags().StringVar(&order.Stream, "stream", "", "id of the event stream; default: those that send to this project")
	cmd.Flags().BoolVar(&order.DryRun, "dry-run", false, "only list them")
	return cmd
}

// bound reads an end of a time that may be open.
func (s *session) bound(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	at, err := moment(text, s.Now())
	return at.UTC().Format(time.RFC3339Nano), err
}

// printRedelivery prints the streams; the exit status is 0 only if all could be read.
func (s *session) printRedelivery(r client.Redelivery) error {
	failed := slices.ContainsFunc(r.Streams, func(one client.RedeliveryStream) bool { return one.Problem != nil })
	if s.json {
		if err := s.printJSON(r); err != nil || !failed {
			return err
		}
		return errReported
	}
	t := table{head: []string{"STREAM", "NAME", "FAILED", "TYPES", "OLDEST", "NEWEST", "STATE"}}
	for _, one := range r.Streams {
		count := thousands(int64(one.Failed))
		if !one.Complete {
			count += " or more"
		}
		t.add(one.ID, orDash(one.Name), count, types(one.Types), clockOrDash(one.Oldest), clockOrDash(one.Newest), redeliveryState(r, one))
	}
	if err := s.print(t); err != nil {
		return err
	}
	for _, one := range r.Streams {
		for _, note := range one.Notes {
			if err := s.notice("%s: %s", printable(one.ID), printable(note)); err != nil {
				return err
			}
		}
	}
	if failed {
		return errReported
	}
	return nil
}

// redeliveryState is what happens to the failed deliveries of a stream.
func redeliveryState(r client.Redelivery, one client.RedeliveryStream) string {
	switch {
	case one.Problem != nil:
		return "not asked: " + *one.Problem
	case one.Requested:
		return "asked for again: see authsync events list"
	case r.DryRun && one.Failed > 0:
		return "dry run: not asked for"
	default:
		return "nothing to do"
	}
}

// types lists how many of which event type, by name.
func types(counts map[string]int) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return orDash(strings.Join(list, ", "))
}
