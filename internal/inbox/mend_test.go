package inbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgtest"
	"github.com/authsync/authsync/internal/waittest"
)

// minutesPass lets the next look be due.
func minutesPass(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	exec(t, pool, `UPDATE authsync.inbox_watch SET known_at = known_at - interval '2 minutes'`)
}

// mend looks at what was not known yet, and again minutes later.
func mend(t *testing.T, pool *pgxpool.Pool, in *inbox.Inbox) inbox.Mended {
	t.Helper()
	minutesPass(t, pool)
	first, err := in.Mend(t.Context())
	require.NoError(t, err)
	minutesPass(t, pool)
	second, err := in.Mend(t.Context())
	require.NoError(t, err)
	return inbox.Mended{Jobs: first.Jobs + second.Jobs, Deliveries: first.Deliveries + second.Deliveries}
}

// together makes one job, in the given state, for deliveries that had one each.
func together(t *testing.T, pool *pgxpool.Pool, state string, outcomes ...inbox.Outcome) (jobID int64) {
	t.Helper()
	ids := make([]int64, len(outcomes))
	for i, o := range outcomes {
		ids[i] = o.InboxID
	}
	exec(t, pool, `
		DELETE FROM authsync.river_job AS j
		USING unnest($1::bigint[]) AS d (id)
		WHERE j.kind = 'apply_deliveries' AND d.id <@ (j.args ->> 'inbox_ids')::int8multirange`, ids)
	return value[int64](t, pool, `
		INSERT INTO authsync.river_job (kind, max_attempts, state, finalized_at, args)
		SELECT 'apply_deliveries', 10000, $2::authsync.river_job_state, CASE WHEN $2 IN ('cancelled', 'discarded') THEN now() END,
			jsonb_build_object('project_id', $3::uuid, 'inbox_ids', range_agg(int8range(id, id, '[]'))::text,
				'received_from', $4::timestamptz, 'received_to', $4::timestamptz)
		FROM unnest($1::bigint[]) AS d (id)
		RETURNING id`, ids, state, outcomes[0].ProjectID, outcomes[0].ReceivedAt)
}

func TestMendMakesJobsForDeliveriesThatLostTheirs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		state   string // what became of the job of four deliveries; empty: it was deleted
		applied int    // so many of them had their outcome by then
		mended  int
	}{
		{"", 0, 4},
		{"", 2, 2},
		{"", 4, 0},
		{"cancelled", 0, 4},
		{"cancelled", 2, 2},
		{"cancelled", 4, 0},
		{"discarded", 0, 4},
		{"available", 0, 0},
		{"pending", 0, 0},
		{"retryable", 2, 0},
		{"running", 0, 0},
		{"scheduled", 0, 0},
	} {
		t.Run(fmt.Sprintf("%s after %d", c.state, c.applied), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Control(t)
			in := newInbox(t, pool, inbox.Config{})
			// Another job of the project runs all the while.
			other := []inbox.Outcome{stored(t, in), stored(t, in)}
			all := []inbox.Outcome{stored(t, in), stored(t, in), stored(t, in), stored(t, in)}
			other = append(other, stored(t, in))
			together(t, pool, "running", other...)
			record(t, pool, in, all[:c.applied]...)
			if c.state == "" {
				id := together(t, pool, "available", all...)
				exec(t, pool, `DELETE FROM authsync.river_job WHERE id = $1`, id)
			} else {
				together(t, pool, c.state, all...)
			}
			before := value[int64](t, pool, `SELECT coalesce(max(id), 0) FROM authsync.river_job`)

			got := mend(t, pool, in)
			require.Equal(t, inbox.Mended{Jobs: min(c.mended, 1), Deliveries: c.mended}, got)
			want := []int64{}
			for _, o := range all[len(all)-c.mended:] {
				want = append(want, o.InboxID)
			}
			require.Equal(t, want, value[[]int64](t, pool, coveredIDs+fmt.Sprintf(` AND j.id > %d`, before)))
			require.Zero(t, mend(t, pool, in), "again")
			require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.stuck_deliveries`))
			require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.stuck_jobs`))
		})
	}
}

// What came just now is left alone: a commit that is under way is not seen yet, and its job neither.
func TestMendLeavesDeliveriesAloneThatCameJustNow(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	require.Zero(t, mend(t, pool, in), "an empty inbox")
	stored(t, in)
	exec(t, pool, `DELETE FROM authsync.river_job`)
	look := func() int {
		m, err := in.Mend(t.Context())
		require.NoError(t, err)
		return m.Deliveries
	}
	minutesPass(t, pool)
	require.Zero(t, look(), "now it is known")
	exec(t, pool, `UPDATE authsync.inbox_watch SET known_at = known_at - interval '115 seconds'`)
	require.Zero(t, look())
	exec(t, pool, `UPDATE authsync.inbox_watch SET known_at = known_at - interval '5 seconds'`)
	require.Equal(t, 1, look())
}

// A database is away for hours, and somebody clears away the jobs that wait for it.
func TestMendWatchesDeliveriesUntilTheyHaveAnOutcome(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	applied, lost, dropped := stored(t, in), stored(t, in), stored(t, in)
	require.Zero(t, mend(t, pool, in))
	late := func() int64 { return value[int64](t, pool, `SELECT count(*) FROM authsync.inbox_late`) }
	require.Equal(t, int64(3), late())

	record(t, pool, in, applied)
	exec(t, pool, `DELETE FROM authsync.inbox WHERE id = $1`, dropped.InboxID) // as retention does
	exec(t, pool, `DELETE FROM authsync.river_job`)
	m, err := in.Mend(t.Context()) // at once: it knows them
	require.NoError(t, err)
	require.Equal(t, inbox.Mended{Jobs: 1, Deliveries: 1}, m)
	require.Equal(t, []int64{lost.InboxID}, value[[]int64](t, pool, coveredIDs))
	require.Equal(t, int64(1), late())

	record(t, pool, in, lost)
	finishJobs(t, pool)
	require.Zero(t, mend(t, pool, in))
	require.Zero(t, late())
}

// The jobs are as small as those of a replay, and of one project each: each job asks for a
// place in its project's lane.
func TestMendMakesJobsOfOneProjectAndOfBoundedSize(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	large, small := uuid.New(), uuid.New()
	fill(t, pool, large, inbox.JobMaxDeliveries+1)
	fill(t, pool, small, 3)
	fill(t, pool, large, inbox.JobMaxDeliveries)
	require.Equal(t, inbox.Mended{Jobs: 4, Deliveries: 2*inbox.JobMaxDeliveries + 4}, mend(t, pool, in))
	jobs := value[[]string](t, pool, `
		SELECT array_agg(concat_ws(' ', j.args ->> 'project_id', n, queue, max_attempts) ORDER BY j.id)
		FROM authsync.river_job AS j, LATERAL (SELECT sum(upper(r) - lower(r)) AS n FROM unnest((j.args ->> 'inbox_ids')::int8multirange) AS r) AS s`)
	slices.Sort(jobs)
	want := []string{
		large.String() + " 1 default 10000", large.String() + " 500 default 10000", large.String() + " 500 default 10000",
		small.String() + " 3 default 10000",
	}
	slices.Sort(want)
	require.Equal(t, want, jobs)
	require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.stuck_deliveries`))
}

// fill puts deliveries into the inbox that have no job.
func fill(t *testing.T, pool *pgxpool.Pool, projectID uuid.UUID, n int) {
	t.Helper()
	exec(t, pool, `
		INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
		SELECT $1, 'auth0', $3, '{}', '{}' FROM generate_series(1, $2::integer)`, projectID, n, now())
}

// Another process looks while the job is being made: it waits, and finds the job.
func TestTwoWhoMendMakeOneJob(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	fill(t, pool, delivery().ProjectID, 10)
	for range 2 {
		exec(t, pool, `SELECT authsync.watch_inbox(now(), 100)`)
		minutesPass(t, pool)
	}
	const settle = `SELECT count(*) FROM authsync.settle_inbox(100)`
	first, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = first.Rollback(context.Background()) }()
	var lost int64
	require.NoError(t, first.QueryRow(t.Context(), settle).Scan(&lost))
	require.Equal(t, int64(10), lost)

	second := make(chan int64, 1)
	go func() {
		var lost int64
		if err := pool.QueryRow(t.Context(), settle).Scan(&lost); err != nil {
			t.Errorf("settle: %v", err)
		}
		second <- lost
	}()
	waittest.Until(t, func() bool {
		return len(second) > 0 || value[bool](t, pool, `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`)
	})
	_, err = first.Exec(t.Context(), `
		INSERT INTO authsync.river_job (kind, max_attempts, args)
		SELECT 'apply_deliveries', 10000, jsonb_build_object('inbox_ids', format('{[%s,%s]}', min(id), max(id))) FROM authsync.inbox`)
	require.NoError(t, err)
	require.NoError(t, first.Commit(t.Context()))
	require.Zero(t, <-second)
}

// What a look costs shall depend on what came since the last one, and on what is late, not on
// what is in the inbox or how many jobs are finished.
func TestMendReadsOnlyWhatItIsAbout(t *testing.T) {
	t.Parallel()
	const many, few = 4000, 20
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now()))
	id := delivery().ProjectID
	outcomes := func(from int) { // of all but the newest few
		exec(t, pool, `
			INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
			SELECT i.id, 0, i.received_at, i.project_id, 'applied' FROM authsync.inbox AS i WHERE i.id > $1`, from)
	}
	jobs := func(state string, from, to int) {
		exec(t, pool, `
			INSERT INTO authsync.river_job (kind, max_attempts, state, finalized_at, args)
			SELECT 'apply_deliveries', 10000, $1::authsync.river_job_state, CASE WHEN $1 = 'completed' THEN now() END,
				jsonb_build_object('inbox_ids', format('{[%s,%s)}', n, n + 1))
			FROM generate_series($2::integer, $3::integer) AS n`, state, from, to)
	}
	fill(t, pool, id, many)
	outcomes(0)
	jobs("completed", 1, many)
	require.Zero(t, mend(t, pool, in))
	fill(t, pool, id, few) // late, and without a job
	fill(t, pool, id, few) // late, with a job
	jobs("scheduled", many+few+1, many+2*few)
	fill(t, pool, id, few) // applied
	outcomes(many + 2*few)
	minutesPass(t, pool)
	exec(t, pool, `SELECT authsync.watch_inbox(now(), 1)`)
	minutesPass(t, pool)

	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			exec(t, pool, `ANALYZE`)
		}
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		for _, c := range []struct {
			call  string
			about int64 // deliveries and jobs
			rows  int64 // of the answer
		}{
			{`SELECT authsync.watch_inbox(now(), 1000)`, 3 * few, 1},
			{`SELECT FROM authsync.inbox_late`, 2*few - 1, 2 * few},
			{`SELECT FROM authsync.settle_inbox(1000)`, 3 * few, few},
			{`SELECT authsync.watch_inbox(now(), 20)`, few, 1}, // a page of all
		} {
			if c.about == few {
				_, err := tx.Exec(t.Context(), `UPDATE authsync.inbox_watch SET watched_to = 0, known_at = '-infinity'`)
				require.NoError(t, err)
			}
			before := pgtest.RowsRead(t, tx, "authsync")
			tag, err := tx.Exec(t.Context(), c.call)
			require.NoError(t, err)
			read := pgtest.RowsRead(t, tx, "authsync") - before
			require.Equal(t, c.rows, tag.RowsAffected(), c.call)
			require.Greater(t, read, c.about)
			require.LessOrEqual(t, read, 5*c.about, "rows read by %s with %s statistics", c.call, statistics)
		}
		require.NoError(t, tx.Rollback(context.Background()))
	}
}

// The first look at an inbox that is there already goes page by page.
func TestTheFirstLookTakesPages(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	fill(t, pool, delivery().ProjectID, 25)
	exec(t, pool, `SELECT authsync.watch_inbox(now(), 10)`)
	minutesPass(t, pool)
	var more []bool
	for range 4 {
		more = append(more, value[bool](t, pool, `SELECT authsync.watch_inbox($1, 10)`, time.Now()))
	}
	require.Equal(t, []bool{true, true, false, false}, more)
	require.Equal(t, int64(25), value[int64](t, pool, `SELECT count(*) FROM authsync.inbox_late`))
}
