package cli

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/client"
)

func (s *session) newAudit() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "audit",
		Short: "List and export who did what, when and from where",
		Long: `The audit log has an entry for each management action: calls of the API that change
something, what was done in the dashboard, sign-ins, changes of jobs in River UI, and
commands that write to the control database. Refused attempts of one kind, by the same
key and from the same address, share an entry a minute (TIMES).

Outcomes:
  pending    in progress, or its process ended before it could say
  succeeded  it was done
  failed     it was not done, or not entirely
  refused    the key may not do it, or no valid key was shown

Entries show no secrets: only a digest, by which equal ones are seen. They are kept for
400 days. An admin key is needed.`,
	})
	cmd.AddCommand(s.newAuditList(), s.newAuditExport())
	return cmd
}

// auditFlags narrow the audit log.
type auditFlags struct {
	project, key, action, outcome, since, until string
}

func (f *auditFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.project, "project", "", "only actions about this project (name or id)")
	flags.StringVar(&f.key, "key", "", "only actions of the key with this id")
	flags.StringVar(&f.action, "action", "", "only this action, such as destination.pause, or destination for all of its actions")
	flags.StringVar(&f.outcome, "outcome", "", "only actions with this outcome, such as refused")
	flags.StringVar(&f.since, "since", "", "only actions since then: RFC 3339, or how long ago, such as 24h")
	flags.StringVar(&f.until, "until", "", "only actions before then")
}

func (f *auditFlags) filter(now time.Time) (filter client.AuditFilter, err error) {
	filter = client.AuditFilter{Project: f.project, KeyID: f.key, Action: f.action, Outcome: f.outcome}
	if f.since != "" {
		if filter.Since, err = moment(f.since, now); err != nil {
			return filter, err
		}
	}
	if f.until != "" {
		filter.Until, err = moment(f.until, now)
	}
	return filter, err
}

func (s *session) newAuditList() *cobra.Command {
	var f auditFlags
	var limit int
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List management actions, newest first",
		Example: "  authsync audit list --project demo --since 24h\n" +
			"  authsync audit list --outcome refused\n" +
			"  authsync audit list --action key --json",
		Args: takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit is %d: it must be at least 1", limit)
			}
			filter, err := f.filter(s.Now())
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			entries, err := c.Audit(cmd.Context(), filter, limit)
			if err != nil {
				return err
			}
			if s.json {
				return s.printJSON(entries)
			}
			return s.printAudit(entries)
		},
	}
	f.register(cmd)
	cmd.Flags().IntVar(&limit, "limit", 50, "at most so many entries")
	return cmd
}

func (s *session) printAudit(entries []client.AuditEntry) error {
	t := table{
		head: []string{"WHEN", "WHO", "ACTION", "PROJECT", "OBJECT", "OUTCOME", "TIMES", "FROM"},
		none: "No actions.",
	}
	for _, e := range entries {
		who := e.Actor
		if e.KeyName != nil {
			who = *e.KeyName
		}
		from := e.Via
		if e.RemoteAddress != nil {
			from = *e.RemoteAddress
		}
		t.add(shortClock(e.OccurredAt), who, e.Action, orNull(e.ProjectName), orNull(e.ObjectID), e.Outcome,
			strconv.FormatInt(e.RequestCount, 10), from)
	}
	return s.print(t)
}

func (s *session) newAuditExport() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the audit log as JSON, one entry per line, oldest first",
		Long: `Writes the audit log to standard output as JSON, one entry per line, oldest first.

The owner of the control database can alter it by way of SQL, also this log. Export it
regularly to where that role has no rights, such as storage that is written once.`,
		Example: "  authsync audit export --since 24h > audit.jsonl",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			filter, err := f.filter(s.Now())
			if err != nil {
				return err
			}
			c, err := s.client()
			if err != nil {
				return err
			}
			filter.OldestFirst = true
			lines := json.NewEncoder(s.Out)
			return c.EachAudit(cmd.Context(), filter, func(e client.AuditEntry) error { return lines.Encode(e) })
		},
	}
	f.register(cmd)
	return cmd
}
