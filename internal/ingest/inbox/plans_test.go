package inbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	planProjects = 40
	planMessages = 4000 // each has an outcome; every tenth waits as well
	planJobs     = 4000 // that ended, beside one for each project
	planAsked    = 20   // what a statement is asked about
)

// planProject is the project that is asked about.
func planProject() uuid.UUID { return uuid.MustParse("00000000-0000-0000-0000-000000000007") }

// loadInbox fills the tables of the road in.
func loadInbox(t *testing.T, conn *pgx.Conn, messages, jobs int) {
	t.Helper()
	_, err := conn.Exec(t.Context(), `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT ('00000000-0000-0000-0000-0000000000' || lpad((n % $3::int)::text, 2, '0'))::uuid, 'auth0', $1::timestamptz, '{}', 'x'
			FROM generate_series(1, $2::int) AS n
			RETURNING id, project_id, received_at
		), o AS (
			INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
			SELECT id, 0, received_at, project_id, 'evt_' || id, 'user.updated', 'user_' || id % 1000, 'failed', received_at FROM i
		)
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT project_id, ARRAY[id], 1, received_at, received_at FROM i WHERE id % 10 = 7`, now(), messages, planProjects)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), `
		WITH j AS (
			INSERT INTO authsync.river_job (kind, max_attempts, args, state, finalized_at)
			SELECT 'retry_event', 25, '{}', 'completed', $1::timestamptz FROM generate_series(1, $2::int)
		), r AS (
			INSERT INTO authsync.river_job (kind, max_attempts, args, state, attempted_at, attempted_by)
			SELECT 'apply_inbox', 25, '{}', 'running', $1::timestamptz, ARRAY['other'] FROM generate_series(1, $3::int)
			RETURNING id
		)
		INSERT INTO authsync.job_requests (kind, subject, args, job_id)
		SELECT 'apply_inbox', '00000000-0000-0000-0000-0000000000' || lpad((row_number() OVER () - 1)::text, 2, '0'), '{}', r.id FROM r`,
		now(), jobs, min(planProjects, jobs))
	require.NoError(t, err)
}

// hotStatements are the statements of the road in, each asked about planAsked messages, or one job.
func hotStatements() map[string]func(t *testing.T, tx pgx.Tx) {
	run := func(statement string, args ...any) func(t *testing.T, tx pgx.Tx) {
		return func(t *testing.T, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(t.Context(), statement, args...)
			require.NoError(t, err)
		}
	}
	const theJob = `(SELECT r.job_id FROM authsync.job_requests AS r WHERE r.kind = 'apply_inbox' AND r.subject = '00000000-0000-0000-0000-000000000007' LIMIT 1)`
	var ids []int64
	var ordinals []int
	var projects [][16]byte
	var texts, outcomes, headers []string
	var times []time.Time
	var bodies [][]byte
	for i := range planAsked {
		ids, ordinals, projects = append(ids, int64(i*40+7)), append(ordinals, 0), append(projects, planProject())
		texts, outcomes, headers = append(texts, "x"), append(outcomes, inbox.Applied), append(headers, "{}")
		times, bodies = append(times, now()), append(bodies, []byte("x"))
	}
	project := planProject()
	return map[string]func(t *testing.T, tx pgx.Tx){
		"Store": run(inbox.StoreDeliveries, projects, texts, texts, texts, times, headers, bodies, headers),
		"SecretUses": func(t *testing.T, tx pgx.Tx) {
			t.Helper()
			run(pgdb.FromIndexes)(t, tx)
			run(inbox.SelectSecretUses, project, "clerk", planAsked)(t, tx)
		},
		"LoadPending":    run(inbox.SelectPending, project, int64(0), int64(1), planAsked, 4<<20, project.String()),
		"Load":           run(inbox.SelectDeliveries, inbox.Planned, project, ids, now(), now()),
		"RecordOutcomes": run(inbox.UpsertOutcomes, ids, ordinals, times, projects, texts, texts, texts, texts, texts, times, outcomes, texts, now()),
		"Settle":         run(inbox.DeletePending, project, ids),
		"RequestJob":     run(`SELECT authsync.request_job('apply_inbox', $1, '{}')`, project.String()),
		"RequestNewJob":  run(`SELECT authsync.request_job('apply_inbox', 'another', '{}')`),
		"HasWork":        run(`SELECT authsync.has_work('apply_inbox', $1)`, project.String()),
		"FinishIfIdle":   run(`SELECT authsync.finish_if_idle('apply_inbox', $1, `+theJob+`, $2, $2, true)`, project.String(), now()),
		"RescueRequests": run(`SELECT authsync.rescue_requests(NULL)`),
		"RescueJobs":     run(`SELECT authsync.rescue_jobs('me', '{}', '{}', '45 s', '30 s', $1)`, now()),
	}
}

// What a statement reads depends on what it is asked about, whatever the planner believed of the tables when it made its plan.
func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	analyze := func(t *testing.T, conn *pgx.Conn) {
		t.Helper()
		_, err := conn.Exec(t.Context(), `ANALYZE`)
		require.NoError(t, err)
	}
	for statistics, prepare := range map[string]func(t *testing.T, conn *pgx.Conn){
		"None": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadInbox(t, conn, planMessages, planJobs)
		},
		"OfTheTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadInbox(t, conn, planMessages, planJobs)
			analyze(t, conn)
		},
		// The plans are made then, and kept.
		"OfEmptyTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			analyze(t, conn)
			for range 7 { // a plan is generic from the sixth time on
				for _, statement := range hotStatements() {
					rowsRead(t, conn, statement)
				}
			}
			loadInbox(t, conn, planMessages, planJobs)
		},
		"ThatLie": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadInbox(t, conn, 1, 1)
			analyze(t, conn)
			_, err := conn.Exec(t.Context(), `TRUNCATE authsync.job_requests`)
			require.NoError(t, err)
			loadInbox(t, conn, planMessages, planJobs)
			_, err = conn.Exec(t.Context(), `
				UPDATE pg_class SET reltuples = 1, relpages = 1000000
				WHERE relnamespace = 'authsync'::regnamespace AND relkind = 'r'`)
			require.NoError(t, err)
		},
	} {
		t.Run(statistics, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Control(t)
			require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now()))
			exec(t, pool, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, planProject())
			acquired, err := pool.Acquire(t.Context()) // plans and counters belong to a session
			require.NoError(t, err)
			t.Cleanup(acquired.Release)
			conn := acquired.Conn()
			prepare(t, conn)
			for name, statement := range hotStatements() {
				for range 7 {
					require.LessOrEqual(t, rowsRead(t, conn, statement), int64(20*planAsked), "rows read by %s", name)
				}
			}
		})
	}
}

// rowsRead runs a statement in a transaction that is rolled back, and counts.
func rowsRead(t *testing.T, conn *pgx.Conn, statement func(t *testing.T, tx pgx.Tx)) int64 {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	before, entries := pgtest.RowsRead(t, tx, "authsync"), pgtest.EntriesRead(t, tx, "authsync")
	statement(t, tx)
	return max(pgtest.RowsRead(t, tx, "authsync")-before, pgtest.EntriesRead(t, tx, "authsync")-entries)
}
