package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
)

func (s *session) newMigrate() *cobra.Command {
	cmd := asGroup(&cobra.Command{
		Use:   "migrate",
		Short: "Install or upgrade the control database",
		Long: `Installs, upgrades and inspects schema authsync in the control database
(DATABASE_URL, otherwise that of the running dev server). authsync dev migrates
automatically; authsync serve refuses to start until authsync migrate up has run.
The server installs and upgrades the mirrors in project databases.`,
	})
	cmd.AddCommand(s.newMigrateUp(), s.newMigrateDown(), s.newMigrateStatus())
	return cmd
}

// migration is what a migrate command did, for --json.
type migration struct {
	From      uint     `json:"from"`
	To        uint     `json:"to"`
	RiverFrom int      `json:"river_from"`
	RiverTo   int      `json:"river_to"`
	Functions bool     `json:"functions_applied"`
	Dropped   []string `json:"dropped"`
	Repaired  []string `json:"repaired"`
	Kept      []string `json:"kept"`
}

func (s *session) printMigration(r schema.Report) error {
	if s.json {
		return s.printJSON(migration{
			From: r.From, To: r.To, RiverFrom: r.RiverFrom, RiverTo: r.RiverTo,
			Functions: r.CodeApplied, Dropped: append([]string{}, r.Dropped...),
			Repaired: append([]string{}, r.Repaired...), Kept: append([]string{}, r.Kept...),
		})
	}
	if !r.Changed() {
		return s.printf("Nothing to do: schema authsync is at version %d, River at %d.\n", r.To, r.RiverTo)
	}
	var did []string
	if r.From != r.To {
		did = append(did, fmt.Sprintf("schema authsync went from version %d to %d", r.From, r.To))
	}
	if r.RiverFrom != r.RiverTo {
		did = append(did, fmt.Sprintf("River from %d to %d", r.RiverFrom, r.RiverTo))
	}
	if r.CodeApplied {
		did = append(did, "functions and views were applied")
	}
	if len(r.Repaired) > 0 {
		did = append(did, "repaired: "+strings.Join(r.Repaired, ", "))
	}
	if len(r.Dropped) > 0 {
		did = append(did, "dropped "+strings.Join(r.Dropped, ", "))
	}
	if len(r.Kept) > 0 {
		did = append(did, "kept: "+strings.Join(r.Kept, ", "))
	}
	return s.printf("Done: %s.\n", strings.Join(did, "; "))
}

func (s *session) newMigrateUp() *cobra.Command {
	return &cobra.Command{
		Use:   "up",
		Short: "Upgrade the control database to the version of this binary",
		Long: `Runs the pending migrations, including River's, and applies functions and views that
changed, or that were dropped or changed by hand. Objects that authsync did not create
are never touched. Safe to repeat, to run from several processes at once, and while
servers of the previous version are running.`,
		Example: "  DATABASE_URL=postgres://authsync@db/authsync authsync migrate up",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := s.database()
			if err != nil {
				return err
			}
			report, err := s.migrate(cmd.Context(), url.Reveal(), "migrate up", func() (schema.Report, error) {
				return schema.Up(cmd.Context(), url.Reveal(), schema.Control, schema.Options{})
			})
			if err != nil {
				return err
			}
			return s.printMigration(report)
		},
	}
}

func (s *session) newMigrateDown() *cobra.Command {
	var steps int
	var yes bool
	cmd := &cobra.Command{
		Use:   "down --steps N",
		Short: "Revert the newest migrations, dropping their tables and data",
		Long: `Reverts the newest migrations. The tables they created are dropped with all their
data; reverting the first one drops the inbox and all projects.`,
		Example: "  authsync migrate down --steps 1 --yes",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if steps < 1 {
				return usagef("--steps is missing: say number of migrations to revert, such as --steps 1")
			}
			url, err := s.database()
			if err != nil {
				return err
			}
			if err := s.confirm(yes, "Tables of "+pgdb.SafeURL(url.Reveal())+" are dropped, and the data in them"); err != nil {
				return err
			}
			report, err := s.migrate(cmd.Context(), url.Reveal(), "migrate down", func() (schema.Report, error) {
				return schema.Down(cmd.Context(), url.Reveal(), schema.Control, steps, schema.Options{})
			})
			if err != nil {
				return err
			}
			return s.printMigration(report)
		},
	}
	cmd.Flags().IntVar(&steps, "steps", 0, "number of migrations to revert")
	yesFlag(cmd, &yes)
	return cmd
}

// schemaState is the answer of migrate status.
type schemaState struct {
	Database string `json:"database"`
	State    string `json:"state"` // current, compatible, behind, newer, interrupted, damaged or missing
	Version  uint   `json:"version"`
	Latest   uint   `json:"latest"`

	RiverVersion int    `json:"river_version"`
	RiverLatest  int    `json:"river_latest"`
	Functions    string `json:"functions"` // current or behind

	Problems []string `json:"problems"`
}

func describeState(st schema.State) schemaState {
	state := schemaState{
		Database: st.Database, State: st.Word(), Version: st.Version, Latest: st.Latest,
		RiverVersion: st.RiverVersion, RiverLatest: st.RiverLatest,
		Functions: "current", Problems: []string{},
	}
	if !st.CodeUpToDate() {
		state.Functions = "behind"
	}
	for _, p := range st.Problems {
		state.Problems = append(state.Problems, p.String())
	}
	for _, o := range st.InTheWay {
		state.Problems = append(state.Problems, o+" has a name that authsync needs")
	}
	return state
}

func (s *session) newMigrateStatus() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Compare the control database with this binary",
		Long: `Compares the control database with the version of this binary; changes nothing.
The state is current, compatible (upgraded by a newer authsync, but this one still
works), behind (run authsync migrate up), newer (run a newer authsync), interrupted
(a migration did not finish), damaged (something was dropped or changed by hand) or
missing. The exit status is 0 only for current and compatible.`,
		Example: "  authsync migrate status\n  authsync migrate status --json",
		Args:    takes(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			url, err := s.database()
			if err != nil {
				return err
			}
			status, err := schema.Status(cmd.Context(), url.Reveal(), schema.Control)
			if err != nil {
				return err
			}
			state := describeState(status)
			if s.json {
				err = s.printJSON(state)
			} else {
				t := table{head: []string{"WHAT", "STATE", "INSTALLED", "THIS BINARY"}}
				t.add("schema authsync", state.State, strconv.FormatUint(uint64(state.Version), 10), strconv.FormatUint(uint64(state.Latest), 10))
				t.add("River", "", strconv.Itoa(state.RiverVersion), strconv.Itoa(state.RiverLatest))
				t.add("functions, views", state.Functions, strconv.Itoa(status.CodeRevision), strconv.Itoa(status.LatestRevision))
				err = s.print(t)
				for _, problem := range state.Problems {
					err = errors.Join(err, s.printf("%s\n", problem))
				}
			}
			if err == nil && state.State != "current" && state.State != "compatible" {
				return errReported
			}
			return err
		},
	}
}

// auditLogExists is true if the table and its trigger function are there.
const auditLogExists = `
	SELECT to_regclass('authsync.audit_log') IS NOT NULL AND to_regproc('authsync.protect_audit_log') IS NOT NULL`

// migrate records a migration of the control database around what does it. The first one makes the log, so that it is
// recorded when it is done, and the one that drops the log is not on record. What changes nothing has no entry.
func (s *session) migrate(ctx context.Context, url, command string, run func() (schema.Report, error)) (report schema.Report, err error) {
	begun, err := s.onLog(ctx, url, func(log *audit.Log) (int64, error) {
		if command == "migrate up" {
			return 0, nil // it is safe to interrupt and to repeat, and most of the time there is nothing to do
		}
		return log.Begin(ctx, origin(command), audit.Action{Name: migrationAction})
	})
	if err != nil {
		return report, err
	}
	report, err = run()
	if err == nil && !report.Changed() && begun == 0 {
		return report, nil
	}
	_, recording := s.onLog(ctx, url, func(log *audit.Log) (int64, error) {
		id := begun
		if id == 0 {
			var err error
			if id, err = log.Begin(ctx, origin(command), audit.Action{Name: migrationAction}); err != nil {
				return 0, err
			}
		}
		result := audit.Result{Outcome: audit.Succeeded, Changes: map[string]any{"from": report.From, "to": report.To}}
		if err != nil {
			result.Outcome = audit.Failed
		}
		return id, log.Finish(ctx, id, result)
	})
	if err == nil {
		err = recording
	}
	return report, err
}

const migrationAction = "schema.migrate"

// onLog gives the audit log of a control database to what writes to it, if that has one.
func (s *session) onLog(ctx context.Context, url string, write func(*audit.Log) (int64, error)) (id int64, err error) {
	conn, err := pgdb.Connect(ctx, url, pgdb.Options{})
	if err != nil {
		return 0, pgdb.Redact(err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var exists bool
	if err := conn.QueryRow(ctx, auditLogExists).Scan(&exists); err != nil || !exists {
		return 0, err
	}
	return write(&audit.Log{Database: conn, Now: s.Now})
}
