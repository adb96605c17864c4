package inbox_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// finishJobs has what waits settled and its jobs done.
func finishJobs(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	exec(t, pool, `DELETE FROM authsync.inbox_pending`)
	exec(t, pool, `DELETE FROM authsync.job_requests`)
	exec(t, pool, `DELETE FROM authsync.river_job WHERE kind = 'apply_inbox'`)
}

const coveredIDs = `
	SELECT coalesce(array_agg(n ORDER BY p.id, n), '{}')
	FROM authsync.inbox_pending AS p, unnest(p.inbox_ids) AS n`

func TestReplayMakesTheChosenDeliveriesWait(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	a, b := stored(t, in), stored(t, in)
	other := stored(t, in, func(d *inbox.Message) { d.ProjectID = uuid.New() })
	c := stored(t, in, func(d *inbox.Message) { d.ReceivedAt = now().Add(time.Hour) })
	second := a
	second.Ordinal, second.EventID = 1, "evt_second"
	record(t, pool, in, a, second, b, other) // c is pending
	finishJobs(t, pool)

	done, err := in.Replay(t.Context(), inbox.Filter{ProjectID: a.ProjectID}, "", time.Hour)
	require.NoError(t, err)
	require.Equal(t, inbox.Replayed{Jobs: 1}, done)
	require.Equal(t, []int64{a.InboxID, b.InboxID, c.InboxID}, value[[]int64](t, pool, coveredIDs))
	require.True(t, value[bool](t, pool, `
		SELECT p.received_from = $1 AND p.received_to = $2 AND p.project_id = $3 AND j.state = 'available'
		FROM authsync.inbox_pending AS p
		JOIN authsync.job_requests AS r ON r.kind = 'apply_inbox' AND r.subject = p.project_id::text
		JOIN authsync.river_job AS j ON j.id = r.job_id`, a.ReceivedAt, c.ReceivedAt, a.ProjectID))

	finishJobs(t, pool)
	done, err = in.Replay(t.Context(), inbox.Filter{EventID: "evt_second"}, "", time.Hour)
	require.NoError(t, err)
	require.Equal(t, inbox.Replayed{Jobs: 1}, done)
	require.Equal(t, []int64{a.InboxID}, value[[]int64](t, pool, coveredIDs))

	finishJobs(t, pool)
	done, err = in.Replay(t.Context(), inbox.Filter{InboxIDs: []int64{a.InboxID, other.InboxID}}, "", time.Hour)
	require.NoError(t, err)
	require.Equal(t, inbox.Replayed{Jobs: 2}, done, "one a project")

	finishJobs(t, pool)
	done, err = in.Replay(t.Context(), inbox.Filter{EventID: "evt_unknown"}, "", time.Hour)
	require.NoError(t, err)
	require.Zero(t, done)
}

func TestReplayOfManyTakesEachOnceAndFillsPartsNoFurtherThanTheirBounds(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	const count = inbox.ReplayPage + 700
	exec(t, pool, `
		INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
		SELECT $1, 'auth0', $2, '{}', CASE WHEN n <= 20 THEN convert_to(repeat('x', 1 << 20), 'UTF8') ELSE 'x' END
		FROM generate_series(1, $3::int) AS n`, delivery().ProjectID, now(), count)
	for most, want := range map[int]int{count - 1: count - 1, count: count, count + 1: count} {
		matched, err := in.CountReplay(t.Context(), inbox.Filter{}, "", most)
		require.NoError(t, err)
		require.Equal(t, want, matched)
	}
	done, err := in.Replay(t.Context(), inbox.Filter{}, "", time.Hour)
	require.NoError(t, err)
	// Page 1: 8 + 8 deliveries of 1 MiB, then 4 and 496 small ones, 3 * 500 - 16, the rest; page 2: 500 and 200.
	require.Equal(t, int64(done.Jobs), value[int64](t, pool, `SELECT count(*) FROM authsync.inbox_pending`))
	require.Equal(t, int64(1), value[int64](t, pool, `SELECT count(*) FROM authsync.river_job`), "however much waits")
	require.Equal(t, value[[]int64](t, pool, `SELECT array_agg(id ORDER BY id) FROM authsync.inbox`), value[[]int64](t, pool, coveredIDs))
	require.Zero(t, value[int64](t, pool, `
		SELECT count(*) FROM authsync.inbox_pending AS p
		CROSS JOIN LATERAL (
			SELECT count(*) AS deliveries, sum(octet_length(i.body)) AS bytes FROM authsync.inbox AS i
			WHERE i.id = ANY (p.inbox_ids)
		) AS held
		WHERE held.deliveries > $1 OR held.bytes > 8 << 20`, inbox.JobMaxDeliveries))
	require.Equal(t, inbox.Replayed{Jobs: 8}, done)
}

func TestReplayOfFailedEventsTriesThemNow(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	waits, lost, fine := stored(t, in), stored(t, in), stored(t, in)
	lost.Ordinal = 3
	waits.Outcome, lost.Outcome = inbox.Failed, inbox.Failed
	more := lost
	more.Ordinal = 4
	more.Outcome = inbox.Applied
	record(t, pool, in, waits, lost, more, fine)
	finishJobs(t, pool)
	matched, err := in.CountReplay(t.Context(), inbox.Filter{}, "", 9)
	require.NoError(t, err)
	require.Equal(t, 3, matched, "messages, not events")
	// The job of the first waits for its next try, that of the second was discarded.
	retry := func(o inbox.Outcome, end func(job *rivertype.JobRow)) int64 {
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		result, err := newJobs(t).InsertTx(t.Context(), tx, inbox.RetryEventArgs{
			ProjectID: o.ProjectID, InboxID: o.InboxID, ReceivedAt: o.ReceivedAt, Ordinal: o.Ordinal,
		}, nil)
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
		job := jobstest.Fetch(t, pool, "worker", inbox.EventsQueue)
		require.Equal(t, result.Job.ID, job.ID)
		end(job)
		return job.ID
	}
	waiting := retry(waits, func(job *rivertype.JobRow) { jobstest.Fail(t, pool, job, time.Now().Add(time.Hour)) })
	discarded := retry(lost, func(job *rivertype.JobRow) { jobstest.Discard(t, pool, job) })

	for range 2 { // a second time makes no more jobs
		done, err := in.Replay(t.Context(), inbox.Filter{Outcome: inbox.Failed}, "", time.Hour)
		require.NoError(t, err)
		require.Equal(t, inbox.Replayed{Jobs: 2}, done)
		require.Equal(t, int64(3), value[int64](t, pool, `SELECT count(*) FROM authsync.river_job WHERE kind = 'retry_event'`))
	}
	require.Equal(t, "available", value[string](t, pool, `SELECT state::text FROM authsync.river_job WHERE id = $1`, waiting))
	require.True(t, value[bool](t, pool, `SELECT bool_and(queue = 'events' AND scheduled_at <= now()) FROM authsync.river_job WHERE kind = 'retry_event' AND id <> $1`, discarded))
	require.Equal(t, "available", value[string](t, pool, `
		SELECT state::text FROM authsync.river_job
		WHERE kind = 'retry_event' AND id > $1 AND args @> jsonb_build_object('inbox_id', $2::bigint, 'ordinal', 3)`, discarded, lost.InboxID))
}

// A replay that is continued takes each message once, also one of which a page had only the first events, and none that has
// arrived meanwhile.
func TestReplayContinuesWhereItEnded(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	const messages = inbox.ReplayPage + 100
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'auth0', $2, '{}', 'x' FROM generate_series(1, $3::int) RETURNING id, project_id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
		SELECT i.id, n, i.received_at, i.project_id, 'applied' FROM i, generate_series(0, 2) AS n`, delivery().ProjectID, now(), messages)
	existing := value[[]int64](t, pool, `SELECT array_agg(id ORDER BY id) FROM authsync.inbox`)

	filter := inbox.Filter{ProjectID: delivery().ProjectID}
	pages, cursor := 0, ""
	for {
		left, err := in.CountReplay(t.Context(), filter, cursor, 2*messages)
		require.NoError(t, err)
		require.Equal(t, messages-int(value[int64](t, pool, `SELECT coalesce(sum(messages), 0) FROM authsync.inbox_pending`)), left)
		done, err := in.Replay(t.Context(), filter, cursor, 0)
		require.NoError(t, err)
		if pages++; done.Next == "" {
			break
		}
		require.Positive(t, done.Jobs)
		cursor = done.Next
		exec(t, pool, `INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body) VALUES ($1, 'auth0', $2, '{}', 'x')`, filter.ProjectID, now())
	}
	require.Equal(t, (3*messages)/inbox.ReplayPage+1, pages)
	require.Equal(t, existing, value[[]int64](t, pool, coveredIDs))

	for _, bad := range []string{"x", "1", "1-2", "1-2-x", "-"} {
		_, err := in.Replay(t.Context(), filter, bad, 0)
		require.ErrorIs(t, err, fault.ErrBadCursor, bad)
	}
}

// What is pending is applied anyway: of it, a replay takes up what was deferred.
func TestReplayOfWhatIsPendingTakesUpDeferredEvents(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	deferred := stored(t, in)
	deferred.Outcome = inbox.Pending
	record(t, pool, in, deferred)
	finishJobs(t, pool)
	stored(t, in)
	filter := inbox.Filter{ProjectID: deferred.ProjectID, Outcome: inbox.Pending}
	matched, err := in.CountReplay(t.Context(), filter, "", 9)
	require.NoError(t, err)
	require.Equal(t, 1, matched)
	exec(t, pool, `DELETE FROM authsync.inbox_pending`)
	done, err := in.Replay(t.Context(), filter, "", 0)
	require.NoError(t, err)
	require.Equal(t, inbox.Replayed{Jobs: 1}, done)
	require.Equal(t, []int64{deferred.InboxID}, value[[]int64](t, pool, coveredIDs))
}
