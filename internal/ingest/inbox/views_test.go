package inbox_test

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// row runs a query that gives one row.
func row(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) map[string]any {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	m, err := pgx.CollectExactlyOneRow(rows, pgx.RowToMap)
	require.NoError(t, err)
	return m
}

func TestProjectLagSaysHowFarBehindAProjectIs(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	exec(t, pool, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', ''), (gen_random_uuid(), 'idle', '')`, delivery().ProjectID)
	done := stored(t, in)
	record(t, pool, in, done)
	finishJobs(t, pool)
	stored(t, in, func(d *inbox.Message) { d.ReceivedAt = time.Now().Add(-time.Hour) })
	stored(t, in, func(d *inbox.Message) { d.ReceivedAt = time.Now() })
	jobstest.Snooze(t, pool, jobstest.Fetch(t, pool, "worker", river.QueueDefault), time.Now().Add(time.Hour), []byte(`{"output": {"wait_reason": "no such host"}}`))
	exec(t, pool, `INSERT INTO authsync.river_job (kind, queue, max_attempts, args) VALUES ('retry_event', 'events', 25, jsonb_build_object('project_id', $1::text))`, delivery().ProjectID.String())

	lag := row(t, pool, `SELECT pending_messages::bigint, failing_events, last_applied_at, wait_reason,
		extract(epoch FROM oldest_pending_age)::bigint AS age FROM authsync.project_lag WHERE project = 'shop'`)
	require.Equal(t, int64(2), lag["pending_messages"])
	require.Equal(t, int64(1), lag["failing_events"])
	require.InDelta(t, 3600, lag["age"], 60)
	require.Equal(t, "no such host", lag["wait_reason"])
	page, _, err := in.Events(t.Context(), inbox.Filter{ProjectID: delivery().ProjectID}, "", 10)
	require.NoError(t, err)
	require.Len(t, page, 3)
	for _, e := range page[:2] {
		require.Equal(t, inbox.Pending, e.Outcome)
		require.Equal(t, "no such host", *e.Reason, "what waits says why")
	}
	require.Nil(t, page[2].Reason, "and nothing else does")
	pending, _, err := in.Events(t.Context(), inbox.Filter{ProjectID: delivery().ProjectID, Outcome: inbox.Pending}, "", 10)
	require.NoError(t, err)
	require.Equal(t, page[:2], pending)
	one, err := in.Event(t.Context(), page[0].InboxID, 0)
	require.NoError(t, err)
	require.Equal(t, page[0], one)
	require.Equal(t, 1, jobstest.Retry(t, pool, "apply_inbox"))
	job := jobstest.Fetch(t, pool, "worker", river.QueueDefault)
	require.NotNil(t, job)
	one, err = in.Event(t.Context(), page[0].InboxID, 0)
	require.NoError(t, err)
	require.Equal(t, page[0], one, "it is tried again, perhaps in vain")
	exec(t, pool, `UPDATE authsync.river_job SET attempted_at = now() - interval '11 seconds' WHERE id = $1`, job.ID)
	one, err = in.Event(t.Context(), page[0].InboxID, 0)
	require.NoError(t, err)
	require.Nil(t, one.Reason, "it is being applied")
	appliedAt, ok := lag["last_applied_at"].(time.Time)
	require.True(t, ok)
	require.True(t, now().Equal(appliedAt))

	idle := row(t, pool, `SELECT pending_messages::bigint, oldest_pending_age, last_received_at FROM authsync.project_lag WHERE project = 'idle'`)
	require.Equal(t, map[string]any{"pending_messages": int64(0), "oldest_pending_age": nil, "last_received_at": nil}, idle)
}

func TestEventFailuresShowTheJobThatTriesAgain(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	with, without, fine := stored(t, in), stored(t, in), stored(t, in)
	with.Outcome, with.Reason, without.Outcome = inbox.Failed, "no column", inbox.Failed
	record(t, pool, in, with, without, fine)
	exec(t, pool, `
		INSERT INTO authsync.river_job (kind, queue, max_attempts, attempt, state, finalized_at, scheduled_at, args, errors)
		SELECT 'retry_event', 'events', 25, n, CASE n WHEN 1 THEN 'discarded' ELSE 'retryable' END::authsync.river_job_state,
			CASE n WHEN 1 THEN now() END, '2026-08-14 12:00:00Z', jsonb_build_object('inbox_id', $1::bigint, 'ordinal', 0),
			ARRAY['{"error": "old"}', '{"error": "new"}']::jsonb[]
		FROM generate_series(1, 2) AS n`, with.InboxID)

	require.Equal(t, int64(2), value[int64](t, pool, `SELECT count(*) FROM authsync.event_failures`))
	f := row(t, pool, `SELECT event_id, reason, job_state::text, attempt, last_error, next_try_at FROM authsync.event_failures WHERE job_id IS NOT NULL`)
	require.Equal(t, with.EventID, f["event_id"])
	require.Equal(t, "no column", f["reason"])
	require.Equal(t, "retryable", f["job_state"], "the latest job")
	require.Equal(t, int16(2), f["attempt"])
	require.Equal(t, "new", f["last_error"])
	require.NotNil(t, f["next_try_at"])
	require.Equal(t, without.InboxID, value[int64](t, pool, `SELECT inbox_id FROM authsync.event_failures WHERE job_id IS NULL`))
}

func TestStuckShowsWhatMovesNoMore(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	overdue := stored(t, in, func(d *inbox.Message) { d.ReceivedAt = time.Now().Add(-2 * time.Minute) })
	stored(t, in, func(d *inbox.Message) { d.ReceivedAt = time.Now() })
	require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.stuck_jobs`))
	client := jobstest.ClientAt(t, pool, time.Now().Add(-3*time.Minute))
	for ordinal := range 2 { // one of which is taken
		_, err := client.Insert(t.Context(), inbox.RetryEventArgs{InboxID: overdue.InboxID, Ordinal: ordinal}, nil)
		require.NoError(t, err)
	}
	require.NotNil(t, jobstest.FetchAt(t, pool, "worker-7", inbox.EventsQueue, time.Now().Add(-2*time.Minute)))

	require.Equal(t, []int64{overdue.InboxID}, value[[]int64](t, pool, `SELECT array_agg(inbox_id ORDER BY inbox_id) FROM authsync.overdue_messages`))
	require.Equal(t, []string{"available", "running"}, value[[]string](t, pool, `SELECT array_agg(state::text ORDER BY state::text) FROM authsync.stuck_jobs`))
	require.Equal(t, "worker-7", value[string](t, pool, `SELECT worker FROM authsync.stuck_jobs WHERE state = 'running'`))
}
