package cli

import (
	"time"

	"github.com/spf13/cobra"
)

func (s *session) newDestinationsReplay() *cobra.Command {
	var from, to, user, eventType, state string
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
			in, err := s.replayInput(from, to, user, eventType, state)
			if err != nil {
				return err
			}
			switch {
			case all && len(in) > 0:
				return usagef("give --all or flags that choose changes, not both")
			case all:
				in["since"] = "beginning"
			case len(in) == 0:
				return usagef("say what to deliver again: flags such as --state failed, or --all")
			}
			in["dry_run"] = dryRun
			return s.replayDestination(cmd, args[0], args[1], in)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&from, "since", "", "changes since then: beginning, RFC 3339, or how long ago, such as 72h")
	flags.StringVar(&to, "until", "", "changes before then: RFC 3339, or how long ago")
	flags.StringVar(&user, "user", "", "changes of this user")
	flags.StringVar(&eventType, "event-type", "", "changes of this event type, such as user.deleted")
	flags.StringVar(&state, "state", "", "deliveries in this state: delivered, coalesced, failed or cancelled")
	flags.BoolVar(&all, "all", false, "all changes since the beginning")
	flags.BoolVar(&dryRun, "dry-run", false, "count, and deliver nothing")
	return cmd
}

func (s *session) replayInput(from, to, user, eventType, state string) (map[string]any, error) {
	in := map[string]any{}
	for name, value := range map[string]string{"user_id": user, "event_type": eventType, "state": state} {
		if value != "" {
			in[name] = value
		}
	}
	var err error
	if from != "" {
		if in["since"], err = beginning(from, s.Now()); err != nil {
			return nil, err
		}
	}
	if to != "" {
		at, err := moment(to, s.Now())
		if err != nil {
			return nil, err
		}
		in["until"] = at.UTC().Format(time.RFC3339Nano)
	}
	return in, nil
}

func (s *session) replayDestination(cmd *cobra.Command, project, name string, in map[string]any) error {
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
	return s.printf("On their way again: %d of %d. What becomes of them: authsync deliveries list %s --destination %s\n",
		done.Requeued, done.Matched, project, name)
}
