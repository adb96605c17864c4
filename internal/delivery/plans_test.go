package delivery_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	planUsers   = 800 // each has 5 changes; one is ready, the others are blocked
	planChanges = 5
	planAsked   = 20 // what a statement is asked about
)

// planDestination is asked about; others of its project have as much.
func planDestination() uuid.UUID { return uuid.MustParse("00000000-0000-0000-0000-000000000001") }

func planProject() uuid.UUID { return uuid.MustParse("00000000-0000-0000-0000-0000000000aa") }

// loadOutbox fills the tables of the road out for three destinations.
func loadOutbox(t *testing.T, conn *pgx.Conn, users int) {
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
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, user_id, event_type, changed, changed_at, event_id, state, finished_at)
		SELECT $1, d.id, 1000 + i, format(CASE i % 3 WHEN 0 THEN 'user-%s' WHEN 1 THEN 'done-%s' ELSE 'failed-%s' END, i / 3 % $2::int),
			'user.updated', '{email}', now(), 'evt-' || i,
			CASE WHEN i % 3 = 1 THEN 'delivered' WHEN i % 3 = 2 THEN 'failed' WHEN i / 3 < $2::int THEN 'ready' ELSE 'blocked' END,
			CASE WHEN i % 3 > 0 THEN now() END
		FROM `+destinations+`, generate_series(0, 3 * $2::int * $3::int - 1) AS i
		ON CONFLICT DO NOTHING`, planProject(), users, planChanges)
	exec(`
		INSERT INTO authsync.external_ids (destination_id, user_id, external_id)
		SELECT d.id, format('user-%s', i), i::text FROM `+destinations+`, generate_series(0, $1::int - 1) AS i ON CONFLICT DO NOTHING`, users)
	exec(`
		INSERT INTO authsync.river_job (kind, max_attempts, args, state, finalized_at)
		SELECT 'retry_delivery', 14, '{}', 'completed', now() FROM generate_series(1, $1::int * 5)`, users)
	exec(`
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
		SELECT i, 0, now(), $1, 'evt-' || i, 'user.updated', format('user-%s', i / 3 % $2::int), 'applied', now() - interval '1 hour'
		FROM generate_series(1, 3 * $2::int * $3::int) AS i ON CONFLICT DO NOTHING`, planProject(), users, planChanges)
}

// hotStatements are those of the road out, each asked about planAsked deliveries, or about one.
func hotStatements(t *testing.T, conn *pgx.Conn) map[string]func(t *testing.T, tx pgx.Tx) {
	t.Helper()
	find := func(sql string) (ids []int64) {
		rows, err := conn.Query(t.Context(), sql, planDestination())
		require.NoError(t, err)
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		require.NoError(t, err)
		return append(ids, 0) // where there is none yet
	}
	ready := find(`SELECT o.id FROM authsync.deliveries AS o WHERE o.destination_id = $1 AND o.state = 'ready' ORDER BY o.change_id LIMIT 20`)
	failed := find(`SELECT o.id FROM authsync.deliveries AS o WHERE o.destination_id = $1 AND o.state = 'failed' ORDER BY o.user_id LIMIT 20`)
	one := ready[0]
	run := func(statement string, args ...any) func(t *testing.T, tx pgx.Tx) {
		return func(t *testing.T, tx pgx.Tx) {
			t.Helper()
			_, err := tx.Exec(t.Context(), statement, args...)
			require.NoError(t, err)
		}
	}
	planned := func(statement string, args ...any) func(t *testing.T, tx pgx.Tx) {
		return run(statement, append([]any{delivery.Planned}, args...)...)
	}
	d, p := planDestination(), planProject()
	const (
		results = `(
			SELECT jsonb_agg(jsonb_build_object(
				'id', t.id, 'state', t.state, 'attempts', t.attempts, 'coalesced', t.coalesced, 'outcome', $3::text, 'send', t.id,
				'status', 200, 'next_attempt_at', now(), 'keeps_external_id', false, 'external_id', 'contact'))
			FROM authsync.take_deliveries($1, $2, 20, '{}', NULL, NULL) AS t)`
		record  = `SELECT * FROM authsync.record_deliveries($1, ` + results + `, now(), 100, '1 minute', '1 minute', '1 day')`
		changes = `(
			SELECT jsonb_agg(jsonb_build_object(
				'change_id', 1000000 + i, 'user_id', format('user-%s', 7 * i), 'event_type', 'user.updated', 'changed', ARRAY['email'], 'changed_at', now(), 'event_id', 'e'))
			FROM generate_series(1, 20) AS i)`
		known  = `ARRAY(SELECT 1000 + 3 * i FROM generate_series(1, 20) AS i)`
		users  = `ARRAY(SELECT format('user-%s', i) FROM generate_series(1, 20) AS i)`
		events = `ARRAY(SELECT 'evt-' || 3 * i FROM generate_series(1, 20) AS i)`
	)
	return map[string]func(t *testing.T, tx pgx.Tx){
		"RelayPage":    run(`SELECT authsync.relay_page($1, 1000000, 2000000, `+changes+`, now())`, d),
		"TakeEvents":   run(`SELECT * FROM authsync.take_deliveries($1, false, 20, '{}', NULL, NULL)`, d),
		"TakeStates":   run(`SELECT * FROM authsync.take_deliveries($1, true, 20, '{}', NULL, NULL)`, d),
		"TakeOne":      run(`SELECT * FROM authsync.take_deliveries($1, true, 1, '{}', $2, 'ready')`, d, one),
		"Begin":        run(`SELECT authsync.begin_deliveries($1, $2)`, d, ready),
		"Record":       run(record, d, false, "delivered"),
		"RecordStates": run(record, d, true, "delivered"),
		"RecordFailed": run(record, d, false, "failed"),
		"RecordRetry":  run(record, d, false, "retry"),
		"Requeue":      run(`SELECT authsync.requeue_deliveries($1, $2)`, d, failed),
		"ChooseProbe":  run(`SELECT authsync.choose_probe($1)`, d),
		"Flows":        run(delivery.SelectFlows, p),
		"Target":       run(delivery.SelectTarget, d),
		"Lease":        run(delivery.LeaseDestination, d, uuid.New(), "me", int64(1), 1.0),
		"Again":        run(`SELECT * FROM authsync.retry_delivery($1, $2)`, p, one),
		"GiveBack":     run(`SELECT authsync.return_delivery($1)`, one),
		"Cancel":       run(`SELECT authsync.cancel_delivery($1, $2, now())`, p, one),
		"Deferrals":    planned(delivery.SelectDeferrals, ready),
		"SelectAgain":  planned(delivery.SelectAgain, one),
		"Repeats": run(`SELECT * FROM authsync.repeated_changes($1, 1000000, now(), `+known+`, `+users+`, `+events+`,
			array_fill('auth0'::text, ARRAY[20]), array_fill(now(), ARRAY[20]))`, d),
		"SelectKnown":  planned(delivery.SelectKnown, d, []int64{1003, 1006, 1009}),
		"RequestRelay": run(delivery.RequestRelayOf, p),
		"List":         planned(delivery.ListDeliveries, p, nil, nil, nil, nil, int64(0), planAsked),
		"ListOfUser":   planned(delivery.ListDeliveries, p, d, nil, "user-7", nil, int64(0), planAsked),
		"Find":         planned(delivery.FindDelivery, p, one),
		"TakePermit":   run(`SELECT * FROM authsync.take_permit('account', 'class', 10, '1 second', 0, 'UTC', '0 s', '1 s', now())`),
	}
}

func rowsRead(t *testing.T, conn *pgx.Conn, statement func(t *testing.T, tx pgx.Tx)) int64 {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	before := pgtest.RowsRead(t, tx, "authsync")
	statement(t, tx)
	return pgtest.RowsRead(t, tx, "authsync") - before
}

// What a statement reads depends on what it is asked about, whatever the planner believed of the tables when it made its plan.
func TestNoPlanReadsMoreThanWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	exec := func(t *testing.T, conn *pgx.Conn, sql string) {
		t.Helper()
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	for statistics, prepare := range map[string]func(t *testing.T, conn *pgx.Conn){
		"None": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadOutbox(t, conn, planUsers)
		},
		"OfTheTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			loadOutbox(t, conn, planUsers)
			exec(t, conn, `ANALYZE`)
		},
		// The plans are made then, and kept.
		"OfEmptyTables": func(t *testing.T, conn *pgx.Conn) {
			t.Helper()
			exec(t, conn, `ANALYZE`)
			for range 7 { // a plan is generic from the sixth time on
				for _, statement := range hotStatements(t, conn) {
					rowsRead(t, conn, statement)
				}
			}
			loadOutbox(t, conn, planUsers)
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
			for name, statement := range hotStatements(t, conn) {
				for range 7 {
					read := rowsRead(t, conn, statement)
					if read > 40*planAsked {
						t.Errorf("%s reads %d rows", name, read)
						break
					}
				}
			}
		})
	}
}
