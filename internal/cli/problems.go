package cli

import (
	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newProblems() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "problems",
		Short: "Inspect the problems that authsync found",
		Long: `Shows what authsync itself found to be wrong, such as an integration that has fallen
silent, a project database that is down, or a destination that fails. A problem opens
once, closes by itself when its cause is gone, and is called to the webhooks of
AUTHSYNC_ALERT_URLS both times.`,
		Example: "  authsync problems list\n  authsync problems list --project demo --closed",
	}
	cmd.AddCommand(s.newProblemsList())
	return asGroup(cmd)
}

func (s *session) newProblemsList() *cobra.Command {
	var project string
	var closed bool
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List problems and what to do",
		Long: `Lists the open problems of the server and of all projects, newest first, each with
what to do. With --closed it lists those whose cause is gone, which are kept for 90 days.
A key that is limited to a project sees that project's problems only.`,
		Example: "  authsync problems list\n" +
			"  authsync problems list --project demo --closed\n" +
			"  authsync problems list --json",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			state := "open"
			if closed {
				state = "closed"
			}
			problems, err := c.Problems(cmd.Context(), project, state, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(problems)
			}
			return s.printProblems(state, problems)
		},
	}
	cmd.Flags().StringVar(&project, "project", "", "only problems of this project (id or name)")
	cmd.Flags().BoolVar(&closed, "closed", false, "those whose cause is gone instead of the open ones")
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many rows")
	return cmd
}

func (s *session) printProblems(state string, problems []client.Problem) error {
	t := table{
		head: []string{"OPENED", "CLOSED", "SEVERITY", "KIND", "PROJECT", "SUBJECT"},
		none: "No problem is " + state + ".",
	}
	for _, p := range problems {
		t.add(clock(p.OpenedAt), clockOrDash(p.ClosedAt), p.Severity, p.Kind, orNull(p.Project), orNull(p.Subject))
	}
	if err := s.print(t); err != nil {
		return err
	}
	for _, p := range problems {
		if err := s.printf("\n%s: %s\n  next: %s\n", p.Kind, printable(p.Detail), printable(p.NextStep)); err != nil {
			return err
		}
	}
	return nil
}
