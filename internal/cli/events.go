package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
)

func (s *session) newEvents() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "events",
		Short: "List, show and replay events; list rejected requests",
		Long: `An event is one thing that happened to a user or another record. Each has one outcome:

  pending    received, not yet processed
  applied    it set at least one column
  stale      newer events had already set all of its columns
  duplicate  the same event had arrived before
  ignored    does not concern the mirror: another type, a test event
  failed     it could not be applied; its own job retries it`,
	})
	cmd.AddCommand(s.newEventsList(), s.newEventsShow(), s.newEventsReplay(), s.newEventsRejected())
	return cmd
}

// eventFlags narrow a list of events.
type eventFlags struct {
	event, user, record, outcome, provider, kind, since, idContains string
}

func (f *eventFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.outcome, "outcome", "", "only events with this outcome, such as failed")
	flags.StringVar(&f.provider, "provider", "", "only events of this provider")
	flags.StringVar(&f.kind, "type", "", "only events of this type, such as user.updated")
	flags.StringVar(&f.user, "user", "", "only events about this user, its memberships and sessions")
	flags.StringVar(&f.record, "record", "", "only events about this record, such as organization/org_123")
	flags.StringVar(&f.event, "event", "", "only the event with this provider event id")
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
	if filter.RecordType, filter.RecordID, err = splitRecord(f.record); err != nil {
		return client.EventFilter{}, err
	}
	if f.since != "" {
		if filter.Since, err = moment(f.since, now); err != nil {
			return client.EventFilter{}, err
		}
	}
	return filter, nil
}

// splitRecord reads a flag --record; empty is not given.
func splitRecord(text string) (recordType, id string, err error) {
	if text == "" {
		return "", "", nil
	}
	recordType, id, ok := strings.Cut(text, "/")
	if !ok || id == "" {
		return "", "", usagef("--record is %q: it must be a type and an id, such as organization/org_123", text)
	}
	return recordType, id, nil
}

func eventTable() table {
	return table{
		head: []string{"ID", "RECEIVED", "PROVIDER", "TYPE", "RECORD", "OUTCOME", "REASON"},
		none: "No events.",
	}
}

func addEvent(t *table, e client.Event) {
	t.add(e.ID, shortClock(e.ReceivedAt), e.Provider, orNull(e.Type), recordOf(e), e.Outcome, orNull(e.Reason))
}

// recordOf is the id of what an event is about; its type is in the event's type.
func recordOf(e client.Event) string {
	if e.RecordID == nil {
		return orNull(e.UserID)
	}
	return orNull(e.RecordID)
}

func (s *session) printEvents(events ...client.Event) error {
	t := eventTable()
	for _, e := range events {
		addEvent(&t, e)
	}
	return s.print(t)
}

// repairFor is how long a list of events mentions the repair of its mirror.
const repairFor = 7 * 24 * time.Hour

// noticeRepair mentions that the project's mirror recently lost events that are on record.
func (s *session) noticeRepair(ctx context.Context, c *client.Client, name string) error {
	p, err := c.Project(ctx, name)
	if err != nil || p.MirrorRepair == nil || p.MirrorRepair.FinishedAt != nil && p.MirrorRepair.FoundAt.Before(s.Now().Add(-repairFor)) {
		return err
	}
	return s.notice("Project %s: %s.", p.Name, printable(p.MirrorRepair.Summary))
}

func (s *session) newEventsList() *cobra.Command {
	var f eventFlags
	var limit int
	var follow bool
	cmd := &cobra.Command{
		Use:   "list PROJECT",
		Short: "List the events of a project, newest first, or follow them",
		Long: `Lists the events of a project, newest first. With --follow it lists them oldest first,
then prints each event once its outcome is known, until it is interrupted; with
--json, one object per line. --limit 0 --follow prints only new events. If the server
restarts meanwhile, the command waits for it and misses no event.`,
		Example: "  authsync events list demo --follow\n" +
			"  authsync events list demo --outcome failed --since 24h --json",
		Args: takes(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.filter(s.Now())
			if err != nil {
				return err
			}
			if follow && f.idContains != "" {
				return usagef("--id-contains is not for --follow: use --event, --user or --record")
			}
			filter.IDContains = f.idContains
			if limit < 1 && (!follow || limit != 0) {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if filter.UserID, err = s.findUser(cmd.Context(), c, args[0], filter.UserID); err != nil {
				return err
			}
			if follow {
				return s.followEvents(cmd.Context(), c, args[0], filter, limit)
			}
			events, err := c.Events(cmd.Context(), args[0], filter, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(events)
			}
			if err := s.noticeRepair(cmd.Context(), c, args[0]); err != nil {
				return err
			}
			if err := s.printEvents(events...); err != nil {
				return err
			}
			return s.noteRejected(cmd.Context(), c, args[0])
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&f.idContains, "id-contains", "", "only events with this text in an id of theirs, their user or record; no index helps to find them")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many events; with --follow, of the existing ones")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "print events as their outcomes become known")
	return cmd
}
