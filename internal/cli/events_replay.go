package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newEventsReplay() *cobra.Command {
	var f eventFlags
	var dryRun, all bool
	cmd := &cobra.Command{
		Use:   "replay PROJECT [ID...]",
		Short: "Apply events again",
		Long: `Applies events from the inbox again: those given by id, or all that match the flags.
Applied events are skipped, since the mirror has them. Failed events are retried
immediately instead of at their next scheduled attempt.

--dry-run shows which events would be replayed, and does nothing.`,
		Example: "  authsync events replay demo 17.0 18.0\n" +
			"  authsync events replay demo --outcome failed --since 24h --dry-run\n" +
			"  authsync events replay demo --all",
		Args: takes(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			filter, err := f.filter(s.Now())
			if err != nil {
				return err
			}
			ids, given := args[1:], f != eventFlags{}
			switch {
			case len(ids) > 0 && (given || all):
				return usagef("give ids or flags that choose events, not both")
			case len(ids) == 0 && !given && !all:
				return usagef("say which events: ids, flags such as --outcome failed, or --all")
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			if dryRun {
				return s.replayDry(cmd, c, args[0], ids, filter)
			}
			jobs := 0
			if len(ids) == 0 {
				if jobs, err = c.Replay(cmd.Context(), args[0], filter); err != nil {
					return err
				}
			}
			for _, id := range ids {
				n, err := c.ReplayEvent(cmd.Context(), args[0], id)
				if err != nil {
					return err
				}
				jobs += n
			}
			if s.json {
				return s.printJSON(map[string]int{"jobs": jobs})
			}
			return s.printf("Queued again (jobs: %d). See the outcomes: authsync events list %s\n", jobs, args[0])
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "all events still in the inbox")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "show which events would be replayed, and do nothing")
	return cmd
}

func (s *session) replayDry(cmd *cobra.Command, c *client.Client, project string, ids []string, f client.EventFilter) error {
	events := []client.Event{}
	for _, id := range ids {
		e, err := c.Event(cmd.Context(), project, id, false)
		if err != nil {
			return err
		}
		events = append(events, e.Event)
	}
	if len(ids) == 0 {
		var err error
		if events, err = c.Events(cmd.Context(), project, f, 0); err != nil {
			return err
		}
	}
	if s.json {
		return s.printJSON(events)
	}
	if err := s.printEvents(events...); err != nil {
		return err
	}
	return s.notice("Events that would be taken up again: %d. Nothing was done.", len(events))
}
