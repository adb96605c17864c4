package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newDestinationsReplay() *cobra.Command {
	var from, to, user, record, eventType, state string
	var all, dryRun bool
	cmd := &cobra.Command{
		Use:   "replay PROJECT NAME",
		Short: "Deliver changes again, or those of the past",
		Long: `Delivers again what the flags choose, under the ids that the deliveries had, so that
a receiver can tell what it has had. --since also reaches changes from before the
destination was made. --dry-run counts, and sends nothing.`,
		Example: "  authsync destinations replay shop crm --state failed\n" +
			"  authsync destinations replay shop crm --since 72h --event-type user.deleted --dry-run\n" +
			"  authsync destinations replay shop crm --all",
		Args: takes(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := s.replayOrder(from, to, user, record, eventType, state)
			if err != nil {
				return err
			}
			switch {
			case all && in != client.ReplayOrder{}:
				return usagef("give --all or flags that choose changes, not both")
			case all:
				in.Since = "beginning"
			case in == client.ReplayOrder{}:
				return usagef("say what to deliver again: flags such as --state failed, or --all")
			}
			in.DryRun = dryRun
			return s.replayDestination(cmd, args[0], args[1], in)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "since", "", "changes since then: beginning, RFC 3339, or how long ago, such as 72h")
	flags.StringVar(&to, "until", "", "changes before then: RFC 3339, or how long ago")
	flags.StringVar(&user, "user", "", "changes of this user, its memberships and sessions")
	flags.StringVar(&record, "record", "", "changes of this record, such as organization/org_123")
	flags.StringVar(&eventType, "event-type", "", "changes of this event type, such as user.deleted")
	flags.StringVar(&state, "state", "", "deliveries in this state: delivered, coalesced, failed or cancelled")
	flags.BoolVar(&all, "all", false, "all changes since the beginning")
	flags.BoolVar(&dryRun, "dry-run", false, "count, and deliver nothing")
	return cmd
}

func (s *session) replayOrder(from, to, user, record, eventType, state string) (in client.ReplayOrder, err error) {
	in = client.ReplayOrder{UserID: user, EventType: eventType, State: state}
	if in.RecordType, in.RecordID, err = splitRecord(record); err != nil {
		return in, err
	}
	if from != "" {
		if in.Since, err = beginning(from, s.Now()); err != nil {
			return in, err
		}
	}
	in.Until, err = s.bound(to)
	return in, err
}

func (s *session) replayDestination(cmd *cobra.Command, project, name string, in client.ReplayOrder) error {
	c, err := s.client()
	if err != nil {
		return err
	}
	done, err := c.ReplayDestination(cmd.Context(), project, name, in)
	if err != nil {
		return err
	}
	if s.json {
		return s.printJSON(done)
	}
	if done.DryRun {
		return s.printf("Would be delivered again: %d. Nothing was done.\n", done.Matched)
	}
	return s.printf("Queued again: %d of %d. See them: authsync deliveries list %s --destination %s\n",
		done.Requeued, done.Matched, project, name)
}
