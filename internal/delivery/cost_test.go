package delivery_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	costUsers   = 800
	costChanges = 5 // of each user: one is ready, the others are blocked
	costFew     = 20
)

// backlog makes a destination for which a change of each user is ready and four are blocked.
func backlog(tb testing.TB, db *pgxpool.Pool, projectID uuid.UUID, name string) uuid.UUID {
	tb.Helper()
	id := uuid.New()
	exec := func(sql string, args ...any) {
		_, err := db.Exec(tb.Context(), sql, args...)
		require.NoError(tb, err)
	}
	exec(`INSERT INTO authsync.destinations (id, project_id, name, type, secrets_sealed) VALUES ($1, $2, $3, 'webhook', '')`, id, projectID, name)
	exec(`INSERT INTO authsync.destination_progress (destination_id, cursor) VALUES ($1, 0)`, id)
	exec(`SELECT authsync.relay_page($1, 0, $2, `+changesOf+`, now())`, id, costUsers*costChanges, 1, costUsers*costChanges, costUsers)
	return id
}

// changesOf are changes as authsync.make_deliveries takes them: from, to, and of how many users.
const changesOf = `(
	SELECT jsonb_agg(jsonb_build_object(
		'change_id', i, 'user_id', format('user-%s', i % $5), 'event_type', 'user.updated', 'changed', ARRAY['email'], 'changed_at', now()
	))
	FROM generate_series($3::bigint, $4::bigint) AS i)`

// outcomes are results of what is ready, as authsync.record_deliveries takes them.
const outcomes = `(
	SELECT jsonb_agg(jsonb_build_object(
		'id', t.id, 'state', t.state, 'attempts', t.attempts, 'coalesced', t.coalesced, 'outcome', $3::text, 'send', t.id,
		'status', 200, 'next_attempt_at', now(), 'keeps_external_id', false, 'external_id', 'contact'
	))
	FROM authsync.take_deliveries($1, $2, $4, '{}', NULL, NULL) AS t)`

const recordCall = `SELECT authsync.record_deliveries($1, ` + outcomes + `, now(), 100, '1 minute', '1 minute', '1 day')`

// What a call costs shall depend on what it is about, not on what else waits: with a walk over the
// whole destination in each, a backlog takes time that grows with its square.
func TestCallsReadOnlyWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	const (
		aReady = `(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'ready' ORDER BY change_id LIMIT 1)`
		ready  = `ARRAY(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'ready' ORDER BY change_id LIMIT 20)`
		failed = `ARRAY(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'failed')`
	)
	for _, c := range []struct {
		what   string
		before string // unmeasured
		args   []any
		call   string
		with   []any
		about  int // deliveries
	}{
		{what: "take events", call: `SELECT authsync.take_deliveries($1, false, 20, '{}', NULL, NULL)`, about: costFew},
		{what: "take states", call: `SELECT authsync.take_deliveries($1, true, 20, '{}', NULL, NULL)`, about: costFew * costChanges},
		{what: "record what was delivered", call: recordCall, with: []any{false, "delivered", costFew}, about: costFew},
		{what: "record states", call: recordCall, with: []any{true, "delivered", costFew}, about: costFew * costChanges},
		{what: "record what failed", call: recordCall, with: []any{false, "failed", costFew}, about: costFew},
		{what: "record what is tried again", call: recordCall, with: []any{false, "retry", costFew}, about: costFew},
		{
			what: "relay changes", call: `SELECT authsync.relay_page($1, $2, $4, ` + changesOf + `, now())`,
			with: []any{costUsers * costChanges, costUsers*costChanges + 1, costUsers*costChanges + costFew, costUsers}, about: costFew,
		},
		{
			what: "take up again", before: recordCall, args: []any{false, "failed", costFew},
			call: `SELECT authsync.requeue_deliveries($1, ` + failed + `)`, about: costFew,
		},
		{what: "note that sending begins", call: `SELECT authsync.begin_deliveries($1, ` + ready + `)`, about: costFew},
		{what: "choose a probe", call: `SELECT authsync.choose_probe($1)`, about: 1},
		{
			what: "hand back", before: recordCall, args: []any{false, "retry", 1},
			call: `SELECT authsync.return_delivery(id) FROM authsync.deliveries WHERE destination_id = $1 AND state = 'retrying'`, about: 1,
		},
		{
			what: "have one tried now", before: recordCall, args: []any{false, "retry", costFew},
			call: `SELECT authsync.retry_delivery(project_id, min(id)) FROM authsync.deliveries WHERE destination_id = $1 AND state = 'retrying' GROUP BY project_id`, about: costFew,
		},
		{
			what: "resume", before: recordCall, args: []any{false, "retry", costFew},
			call: `SELECT authsync.resume_destination($1, now())`, about: costFew,
		},
		{
			what: "cancel", call: `SELECT authsync.cancel_delivery((SELECT project_id FROM authsync.destinations WHERE id = $1), ` + aReady + `, now())`,
			about: 1,
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			conn, err := b.control.Acquire(t.Context()) // plans and counters belong to a session
			require.NoError(t, err)
			defer conn.Release()
			exec := func(sql string) {
				_, err := conn.Exec(t.Context(), sql)
				require.NoError(t, err)
			}
			read := func(id uuid.UUID) int64 {
				tx, err := conn.Begin(t.Context())
				require.NoError(t, err)
				defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
				if c.before != "" {
					_, err := tx.Exec(t.Context(), c.before, append([]any{pgx.QueryExecModeExec, id}, c.args...)...)
					require.NoError(t, err)
				}
				before := pgtest.RowsRead(t, tx, "authsync")
				_, err = tx.Exec(t.Context(), c.call, append([]any{pgx.QueryExecModeExec, id}, c.with...)...)
				require.NoError(t, err)
				return pgtest.RowsRead(t, tx, "authsync") - before
			}
			exec(`ANALYZE`)
			for range 7 { // plans are made while nothing is there; they are kept from the sixth time on
				read(uuid.New())
			}
			id := backlog(t, b.control, b.projectID, "one")
			backlog(t, b.control, b.projectID, "other")
			for _, statistics := range []string{"of empty tables", "none", "fresh"} {
				switch statistics {
				case "none":
					exec(`DISCARD PLANS`)
				case "fresh":
					exec(`ANALYZE`)
				}
				n := read(id)
				require.NotZero(t, n)
				require.LessOrEqual(t, n, int64(20*c.about+100), "rows read with statistics %s", statistics)
			}
		})
	}
}
