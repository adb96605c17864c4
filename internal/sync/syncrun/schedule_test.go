package syncrun_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// schedule stores an integration whose reconciles are due so often.
func (b *testBundle) schedule(t *testing.T, every string) {
	t.Helper()
	_, err := b.control.Exec(t.Context(), `
		INSERT INTO authsync.integrations (project_id, provider, credentials_sealed, options)
		VALUES ($1, 'clerk', '', jsonb_build_object('reconcile', jsonb_build_object('every', $2::text)))
		ON CONFLICT (project_id, provider) DO UPDATE SET options = excluded.options`, b.projectID, every)
	require.NoError(t, err)
}

func TestDueReconciles(t *testing.T) {
	t.Parallel()
	const clerk = "clerk"
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) string { return now.Add(-d).Format(time.RFC3339) }
	type past struct {
		kind, dryRun, state, started string
	}
	reconcile := func(state, started string) past { return past{provider.KindReconcile, "false", state, started} }
	for name, c := range map[string]struct {
		every string
		runs  []past
		due   bool
	}{
		"NothingYet":            {"24h", nil, true},
		"NoSchedule":            {"", nil, false},
		"TimeHasPassed":         {"24h", []past{reconcile("done", ago(24*time.Hour))}, true},
		"TimeHasNotPassed":      {"24h", []past{reconcile("done", ago(23*time.Hour))}, false},
		"Days":                  {"2d", []past{reconcile("done", ago(47*time.Hour))}, false},
		"Weeks":                 {"1w", []past{reconcile("done", ago(168*time.Hour))}, true},
		"AFailedOneWaitsAsLong": {"1h", []past{reconcile("failed", ago(time.Minute))}, false},
		"OneIsAtWork":           {"1h", []past{reconcile("running", ago(3*time.Hour))}, false},
		"ABackfillIsAtWork":     {"1h", []past{reconcile("done", ago(3*time.Hour)), {"backfill", "false", "waiting", ago(2 * time.Hour)}}, false},
		"TheFirstBackfill":      {"24h", []past{{"backfill", "false", "done", ago(time.Hour)}}, false},
		"LaterBackfillsDoNotPutItOff": {
			"24h", []past{{"backfill", "false", "done", ago(25 * time.Hour)}, {"backfill", "false", "done", ago(time.Hour)}}, true,
		},
		"DryRunsDoNotPutItOff": {
			"24h", []past{reconcile("done", ago(25*time.Hour)), {provider.KindReconcile, "true", "done", ago(time.Hour)}}, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, 0)
			b.schedule(t, c.every)
			for _, r := range c.runs {
				_, err := b.control.Exec(t.Context(), `
					INSERT INTO authsync.sync_runs (project_id, provider, kind, options, state, started_at, finished_at)
					VALUES ($1, $2, $3, jsonb_build_object('dry_run', $4::boolean), $5, $6::timestamptz,
						CASE WHEN $5 NOT IN ('running', 'waiting') THEN $6::timestamptz END)`, b.projectID, clerk, r.kind, r.dryRun, r.state, r.started)
				require.NoError(t, err)
			}
			rows, err := b.control.Query(t.Context(), `SELECT provider FROM authsync.due_reconciles($1)`, now)
			require.NoError(t, err)
			due, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			require.Equal(t, c.due, len(due) == 1)
		})
	}
}

// Where the options name no schedule, that which was stored with the credentials counts.
func TestDefaultScheduleIsOverridden(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options, fallback string
		due               bool
	}{
		"TheDefault":                {`{}`, "24h", true},
		"CredentialsDoNotAllowIt":   {`{}`, "", false},
		"TurnedOff":                 {`{"reconcile": {"every": "never"}}`, "24h", false},
		"LongerThanTheDefault":      {`{"reconcile": {"every": "2d"}}`, "24h", false},
		"ShorterThanTheDefault":     {`{"reconcile": {"every": "1h"}}`, "1w", true},
		"OtherOptionsChangeNothing": {`{"reconcile": {"max_deleted_percent": 7}}`, "24h", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, 0)
			_, err := b.control.Exec(t.Context(), `
				INSERT INTO authsync.integrations (project_id, provider, credentials_sealed, options, reconcile_default)
				VALUES ($1, 'clerk', '', $2::jsonb, nullif($3, ''))`, b.projectID, c.options, c.fallback)
			require.NoError(t, err)
			_, err = b.control.Exec(t.Context(), `
				INSERT INTO authsync.sync_runs (project_id, provider, kind, state, started_at, finished_at)
				VALUES ($1, 'clerk', 'backfill', 'done', now() - interval '25 hours', now())`, b.projectID)
			require.NoError(t, err)
			require.Equal(t, map[bool]string{true: "1", false: "0"}[c.due], one(t, b.control, `SELECT count(*)::text FROM authsync.due_reconciles(now())`))
		})
	}
}

// refusing is an account whose users cannot be read.
type refusing struct{}

func (refusing) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	return source.Account{}, fault.New(fault.Unsupported, "secret_key is missing")
}

// serve starts all workers, and the jobs that come by themselves.
func (b *testBundle) serve(t *testing.T, accounts source.Accounts) {
	t.Helper()
	b.store = syncrun.NewStore(b.control, accounts)
	client, _, err := newClient(b.control, syncrun.Config{
		Pool: b.control, Store: b.store, Accounts: accounts, Mirrors: b.mirrors, Log: slog.New(slog.DiscardHandler),
	}, syncrun.Periodic()...)
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
}

// TestSchedule lets the server start what is due, by itself.
func TestSchedule(t *testing.T) {
	t.Parallel()
	l := newLiving()
	l.put("a", "A")
	for name, c := range map[string]struct {
		accounts source.Accounts
		ends     string
	}{
		"Starts": {l, "done <nil>"},
		// It is on record, and is tried again when its time has passed, not each minute.
		"IsRefused": {refusing{}, "failed secret_key is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 0, 0)
			b.schedule(t, "1h")
			b.serve(t, c.accounts)
			waittest.Until(t, func() bool {
				run, err := b.store.Latest(t.Context(), b.projectID, provider.Clerk, provider.KindReconcile)
				return err == nil && run.Finished()
			})
			require.Equal(t, c.ends, one(t, b.control, `SELECT concat_ws(' ', state, coalesce(error, '<nil>')) FROM authsync.sync_runs`))
			require.Equal(t, "0", one(t, b.control, `SELECT count(*)::text FROM authsync.due_reconciles(now())`))
		})
	}
}
