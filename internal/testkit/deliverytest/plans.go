package deliverytest

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// PlanAsked is how many deliveries a statement is asked about.
const PlanAsked = 20

const (
	planUsers   = 800 // each has 5 changes; one is ready, the others are blocked
	planChanges = 5
)

// planDestination is asked about; others of its project have as much.
func planDestination() uuid.UUID { return uuid.MustParse("00000000-0000-0000-0000-000000000001") }

func planProject() uuid.UUID { return uuid.MustParse("00000000-0000-0000-0000-0000000000aa") }

// loadPlanned fills the tables of the road out for three destinations.
func loadPlanned(t *testing.T, conn *pgx.Conn, users int) {
	t.Helper()
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql, args...)
		require.NoError(t, err)
	}
	const destinations = `(SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid AS id, n FROM generate_series(1, 3) AS n) AS d`
	exec(`INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '') ON CONFLICT DO NOTHING`, planProject())
	exec(`
		INSERT INTO authsync.destinations (id, project_id, name, type, secrets_sealed)
		SELECT d.id, $1, 'd' || d.n, 'webhook', '' FROM `+destinations+` ON CONFLICT DO NOTHING`, planProject())
	exec(`INSERT INTO authsync.destination_progress (destination_id, cursor) SELECT d.id, 1000000 FROM ` + destinations + ` ON CONFLICT DO NOTHING`)
	// A third is finished and a third failed, of users of their own.
	exec(`
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at,
			event_id, state, finished_at)
		SELECT $1, d.id, 1000 + i, 'user', u.id, u.id, 'user:' || u.id,
			'user.updated', '{email}', now(), 'evt-' || i,
			CASE WHEN i % 3 = 1 THEN 'delivered' WHEN i % 3 = 2 THEN 'failed' WHEN i / 3 < $2::int THEN 'ready' ELSE 'blocked' END,
			CASE WHEN i % 3 > 0 THEN now() END
		FROM `+destinations+`, generate_series(0, 3 * $2::int * $3::int - 1) AS i
		CROSS JOIN LATERAL (SELECT format(CASE i % 3 WHEN 0 THEN 'user-%s' WHEN 1 THEN 'done-%s' ELSE 'failed-%s' END, i / 3 % $2::int) AS id) AS u
		ON CONFLICT DO NOTHING`, planProject(), users, planChanges)
	// Each user has memberships that wait behind its own changes.
	exec(`
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at,
			event_id, state)
		SELECT $1, d.id, 500000 + i, 'membership', 'org/user-' || i % $2::int, 'user-' || i % $2::int, 'user:user-' || i % $2::int,
			'membership.updated', '{role}', now(), 'mevt-' || i, 'blocked'
		FROM `+destinations+`, generate_series(0, 2 * $2::int - 1) AS i
		ON CONFLICT DO NOTHING`, planProject(), users)
	// As many users are deleted, which is held back.
	exec(`
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at,
			event_id, state, held_from)
		SELECT $1, d.id, 700000 + i, 'user', 'held-' || i, 'held-' || i, 'user:held-' || i, 'user.deleted', '{deleted_at}', now(), 'hevt-' || i, 'held', now()
		FROM `+destinations+`, generate_series(0, $2::int - 1) AS i
		ON CONFLICT DO NOTHING`, planProject(), users)
	exec(`
		INSERT INTO authsync.external_ids (destination_id, record_type, record_id, external_id)
		SELECT d.id, 'user', format('user-%s', i), i::text FROM `+destinations+`, generate_series(0, $1::int - 1) AS i ON CONFLICT DO NOTHING`, users)
	exec(`
		INSERT INTO authsync.river_job (kind, max_attempts, args, state, finalized_at)
		SELECT 'retry_delivery', 14, '{}', 'completed', now() FROM generate_series(1, $1::int * 5)`, users)
	exec(`
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
		SELECT i, 0, now(), $1, 'evt-' || i, 'user.updated', format('user-%s', i / 3 % $2::int), 'applied', now() - interval '1 hour'
		FROM generate_series(1, 3 * $2::int * $3::int) AS i ON CONFLICT DO NOTHING`, planProject(), users, planChanges)
	// The organization of all memberships has as many.
	exec(`
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, record_type, record_id, outcome, applied_at)
		SELECT 1000000 + i, 0, now(), $1, 'oevt-' || i, 'organization.updated', 'organization', 'org', 'applied', now() - interval '1 hour'
		FROM generate_series(1, 3 * $2::int * $3::int) AS i ON CONFLICT DO NOTHING`, planProject(), users, planChanges)
}

// Plans is what statements may be asked about.
type Plans struct {
	DestinationID, ProjectID uuid.UUID
	Ready, Failed, Held      []int64 // deliveries; a last one does not exist
}

// Statement runs a statement in a transaction that is rolled back.
type Statement func(t *testing.T, tx pgx.Tx)

// Run is a statement that is prepared, with its plan cached.
func Run(statement string, args ...any) Statement {
	return func(t *testing.T, tx pgx.Tx) {
		t.Helper()
		_, err := tx.Exec(t.Context(), statement, args...)
		require.NoError(t, err)
	}
}

// RunPlanned is a statement that is planned each time.
func RunPlanned(statement string, args ...any) Statement {
	return Run(statement, append([]any{pgdb.Planned}, args...)...)
}

func findPlanned(t *testing.T, conn *pgx.Conn) *Plans {
	t.Helper()
	p := &Plans{DestinationID: planDestination(), ProjectID: planProject()}
	find := func(sql string) (ids []int64) {
		rows, err := conn.Query(t.Context(), sql, p.DestinationID)
		require.NoError(t, err)
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		require.NoError(t, err)
		return append(ids, 0) // where there is none yet
	}
	p.Ready = find(`SELECT o.id FROM authsync.deliveries AS o WHERE o.destination_id = $1 AND o.state = 'ready' ORDER BY o.change_id LIMIT 20`)
	p.Failed = find(`SELECT o.id FROM authsync.deliveries AS o WHERE o.destination_id = $1 AND o.state = 'failed' ORDER BY o.record_id LIMIT 20`)
	p.Held = find(`SELECT o.id FROM authsync.deliveries AS o WHERE o.destination_id = $1 AND o.state = 'held' ORDER BY o.record_id LIMIT 20`)
	return p
}

// rowsRead counts what a statement reads: rows, and entries of indexes.
func rowsRead(t *testing.T, conn *pgx.Conn, statement Statement) (rows, entries int64) {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	before, entriesBefore := pgtest.RowsRead(t, tx, "authsync"), pgtest.EntriesRead(t, tx, "authsync")
	statement(t, tx)
	return pgtest.RowsRead(t, tx, "authsync") - before, pgtest.EntriesRead(t, tx, "authsync") - entriesBefore
}

// CheckPlans fails if what a statement reads does not depend on what it is asked about alone, whatever the planner
// believed of the tables when it made its plan.
func CheckPlans(t *testing.T, statements func(p *Plans) map[string]Statement) {
	t.Helper()
	exec := func(t *testing.T, conn *pgx.Conn, sql string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	for statistics, prepare := range map[string]func(t *testing.T, conn *pgx.Conn){
		"None": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadPlanned(t, conn, planUsers)
		},
		"OfTheTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadPlanned(t, conn, planUsers)
			exec(t, conn, `ANALYZE`)
		},
		// The plans are made then, and kept.
		"OfEmptyTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			exec(t, conn, `ANALYZE`)
			for range 7 { // a plan is generic from the sixth time on
				for _, statement := range statements(findPlanned(t, conn)) {
					rowsRead(t, conn, statement)
				}
			}
			loadPlanned(t, conn, planUsers)
		},
	} {
		t.Run(statistics, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Control(t)
			acquired, err := pool.Acquire(t.Context()) // plans and counters belong to a session
			require.NoError(t, err)
			t.Cleanup(acquired.Release)
			conn := acquired.Conn()
			prepare(t, conn)
			for name, statement := range statements(findPlanned(t, conn)) {
				for range 7 {
					rows, entries := rowsRead(t, conn, statement)
					if rows > 40*PlanAsked || entries > 100*PlanAsked { // of a delivery several indexes are looked into
						t.Errorf("%s reads %d rows and %d entries of indexes", name, rows, entries)
						break
					}
				}
			}
		})
	}
}
