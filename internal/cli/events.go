package cli

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newEvents() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "events",
		Short: "List, show, follow and replay events",
		Long: `An event is one thing that happened to a user. Each has one outcome:

  pending    received, its job has not finished
  applied    it set at least one column
  stale      newer events had said all of it before
  duplicate  the same event had come before
  ignored    not about the mirror: another type, a test event
  failed     it could not be applied; a job of its own tries again`,
	})
	cmd.AddCommand(s.newEventsList(), s.newEventsShow(), s.newEventsTail(), s.newEventsReplay())
	return cmd
}

// eventFlags narrow a list of events.
type eventFlags struct {
	event, user, outcome, provider, kind, since string
}

func (f *eventFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.outcome, "outcome", "", "only events with this outcome, such as failed")
	flags.StringVar(&f.provider, "provider", "", "only events of this provider")
	flags.StringVar(&f.kind, "type", "", "only events of this type, such as user.updated")
	flags.StringVar(&f.user, "user", "", "only events about this user")
	flags.StringVar(&f.event, "event", "", "only the event with this id of the provider's")
	flags.StringVar(&f.since, "since", "", "only events received since then: RFC 3339, or how long ago, such as 2h")
}

func (f *eventFlags) filter(now time.Time) (client.EventFilter, error) {
	filter := client.EventFilter{EventID: f.event, UserID: f.user, Outcome: f.outcome, Type: f.kind}
	var err error
	if f.provider != "" {
		if filter.Provider, err = provider.ParseName(f.provider); err != nil {
			return client.EventFilter{}, usageError{err}
		}
	}
	if f.since != "" {
		if filter.Since, err = moment(f.since, now); err != nil {
			return client.EventFilter{}, err
		}
	}
	return filter, nil
}

func eventTable() table {
	return table{
		head: []string{"ID", "RECEIVED", "PROVIDER", "TYPE", "USER", "OUTCOME", "REASON"},
		none: "No events.",
	}
}

func addEvent(t *table, e client.Event) {
	t.add(e.ID, clock(e.ReceivedAt), e.Provider, orNull(e.Type), orNull(e.UserID), e.Outcome, orNull(e.Reason))
}

func (s *session) printEvents(events ...client.Event) error {
	t := eventTable()
	for _, e := range events {
		addEvent(&t, e)
	}
	return s.print(t)
}

func (s *session) newEventsList() *cobra.Command {
	var f eventFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list PROJECT",
		Short: "List the events of a project, newest first",
		Example: "  authsync events list demo\n" +
			"  authsync events list demo --outcome failed --since 24h --json",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.filter(s.Now())
			if err != nil {
				return err
			}
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			events, err := c.Events(cmd.Context(), args[0], filter, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(events)
			}
			return s.printEvents(events...)
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many events")
	return cmd
}

// tailInterval is how often tail asks for what is new.
const tailInterval = 500 * time.Millisecond

func (s *session) newEventsTail() *cobra.Command {
	var f eventFlags
	cmd := &cobra.Command{
		Use:   "tail PROJECT",
		Short: "Follow the events of a project as their outcomes become known",
		Long: `Prints each event once its outcome is known, until it is interrupted. With --json
it prints a JSON object a line.`,
		Example: "  authsync events tail demo --outcome failed",
		Args:    takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.filter(s.Now())
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			err = s.tail(cmd.Context(), c, args[0], filter)
			if errors.Is(err, context.Canceled) {
				return nil // Ctrl-C is how it ends
			}
			return err
		},
	}
	f.register(cmd)
	return cmd
}

// tailBack is how far tail looks back each time: commits overlap, so a delivery
// may appear a moment after a younger one, and outcomes come later still.
const tailBack = 15 * time.Second

// tail polls for events and prints each once its outcome is known.
func (s *session) tail(ctx context.Context, c *client.Client, project string, f client.EventFilter) error {
	from := s.Now()
	if !f.Since.IsZero() {
		from = f.Since
	}
	head := eventTable()
	if !s.json {
		if err := s.printTail(head.head); err != nil {
			return err
		}
	}
	printed := map[string]time.Time{} // received at, by id
	tick := time.NewTicker(tailInterval)
	defer tick.Stop()
	for {
		f.Since = from
		events, err := c.Events(ctx, project, f, 0)
		if err != nil {
			return err
		}
		open := false
		for _, e := range slices.Backward(events) {
			if _, seen := printed[e.ID]; seen {
				continue
			}
			if e.Outcome == "pending" {
				open = true
				continue
			}
			printed[e.ID] = e.ReceivedAt
			if err := s.printTailed(e); err != nil {
				return err
			}
		}
		// While something is pending the window stays, so that it is seen when done.
		if next := s.Now().Add(-tailBack); !open && next.After(from) {
			from = next
			maps.DeleteFunc(printed, func(_ string, at time.Time) bool { return at.Before(from) })
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *session) printTailed(e client.Event) error {
	if s.json {
		return json.NewEncoder(s.Out).Encode(e)
	}
	t := eventTable()
	addEvent(&t, e)
	return s.printTail(t.rows[0])
}

// printTail prints a line whose columns are as wide as they tend to be: the
// lines to come are not known.
func (s *session) printTail(cells []string) error {
	widths := []int{8, 24, 11, 12, 32, 9, 0}
	var b strings.Builder
	for i, cell := range cells {
		cell = printable(cell)
		b.WriteString(cell)
		b.WriteString(strings.Repeat(" ", max(widths[i]-columns(cell), 0)+2))
	}
	return s.printf("%s\n", strings.TrimRight(b.String(), " "))
}
