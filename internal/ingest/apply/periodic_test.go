package apply_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// River's own default is a day for jobs that were cancelled and a week for those that were given up.
func TestWithoutRetentionJobsThatEndedStay(t *testing.T) {
	t.Parallel()
	b := &testBundle{control: pgtest.Control(t)}
	exec(t, b, `
		INSERT INTO authsync.river_job (kind, max_attempts, args, state, finalized_at)
		SELECT 'retry_event', 25, '{}', s::authsync.river_job_state, now() - interval '5 years'
		FROM unnest('{completed,cancelled,discarded}'::text[]) AS s`)
	log := slog.New(slog.DiscardHandler)
	inserts, err := inbox.NewJobs(log)
	require.NoError(t, err)
	b.inbox = inbox.New(b.control, inserts, inbox.Config{})
	t.Cleanup(func() { require.NoError(t, b.inbox.Close(context.Background())) })
	client, err := jobs.New(jobs.Config{
		Pool: b.control, Log: log, Periodic: apply.Periodic(),
		Workers: []jobs.Register{apply.Register(apply.Config{Pool: b.control, Inbox: b.inbox, Log: log}, workers)},
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	left := func() string {
		return value[string](t, b, `SELECT coalesce(string_agg(state::text, ' ' ORDER BY state::text), '') FROM authsync.river_job WHERE kind = 'retry_event'`)
	}
	waittest.Until(t, func() bool { return left() != "cancelled completed discarded" },
		"River does not clean up")
	require.Equal(t, "cancelled discarded", left())
}

// value reads one value from the control database.
func value[T any](t *testing.T, b *testBundle, query string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, b.control.QueryRow(t.Context(), query, args...).Scan(&v))
	return v
}

func exec(t *testing.T, b *testBundle, statement string, args ...any) {
	t.Helper()
	_, err := b.control.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}
