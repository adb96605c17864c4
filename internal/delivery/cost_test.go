package delivery_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// costFew is what a call is about.
const costFew = 20

// What a call costs shall depend on what it is about, not on what else waits: with a walk over the
// whole destination in each, a backlog takes time that grows with its square.
func TestCallsReadOnlyWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	const (
		aReady = `(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'ready' ORDER BY change_id LIMIT 1)`
		ready  = `ARRAY(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'ready' ORDER BY change_id LIMIT 20)`
		held   = `ARRAY(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'held' AND held_from IS NOT NULL ORDER BY state, held_from LIMIT 20)`
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
		{what: "take states", call: `SELECT authsync.take_deliveries($1, true, 20, '{}', NULL, NULL)`, about: costFew * deliverytest.BacklogChanges},
		{what: "record what was delivered", call: deliverytest.RecordCall, with: []any{false, "delivered", costFew}, about: costFew},
		{what: "record states", call: deliverytest.RecordCall, with: []any{true, "delivered", costFew}, about: costFew * deliverytest.BacklogChanges},
		{what: "record what failed", call: deliverytest.RecordCall, with: []any{false, "failed", costFew}, about: costFew},
		{what: "record what is tried again", call: deliverytest.RecordCall, with: []any{false, "retry", costFew}, about: costFew},
		{
			what: "relay changes", call: `SELECT authsync.relay_page($1, $2, $4, ` + deliverytest.ChangesOf + `, now())`,
			with: []any{deliverytest.BacklogUsers * deliverytest.BacklogChanges, deliverytest.BacklogUsers*deliverytest.BacklogChanges + 1, deliverytest.BacklogUsers*deliverytest.BacklogChanges + costFew, deliverytest.BacklogUsers}, about: costFew,
		},
		{
			what: "take up again", before: deliverytest.RecordCall, args: []any{false, "failed", costFew},
			call: `SELECT authsync.requeue_deliveries($1, ` + failed + `)`, about: costFew,
		},
		{what: "note that sending begins", call: `SELECT authsync.begin_deliveries($1, ` + ready + `, '{}', now())`, about: costFew},
		{what: "choose a probe", call: `SELECT authsync.choose_probe($1)`, about: 1},
		{
			what: "hand back", before: deliverytest.RecordCall, args: []any{false, "retry", 1},
			call: `SELECT authsync.return_delivery(id) FROM authsync.deliveries WHERE destination_id = $1 AND state = 'retrying'`, about: 1,
		},
		{
			what: "have one tried now", before: deliverytest.RecordCall, args: []any{false, "retry", costFew},
			call: `SELECT authsync.retry_delivery(project_id, min(id)) FROM authsync.deliveries WHERE destination_id = $1 AND state = 'retrying' GROUP BY project_id`, about: costFew,
		},
		{
			what: "resume", before: deliverytest.RecordCall, args: []any{false, "retry", costFew},
			call: `SELECT authsync.resume_destination($1, now())`, about: costFew,
		},
		{what: "release what is due", call: `SELECT authsync.release_due_deliveries($1, now() + interval '1 day', 20)`, about: costFew},
		{what: "look for what is due", call: `SELECT authsync.release_due_deliveries($1, now() - interval '1 day', 20)`, about: 1},
		{what: "confirm", call: `SELECT authsync.release_deliveries($1, ` + held + `, now())`, about: costFew},
		{
			what: "cancel what is held",
			call: `SELECT authsync.cancel_delivery((SELECT project_id FROM authsync.destinations WHERE id = $1), (` + held + `)[1], now())`, about: costFew,
		},
		{
			what: "undo", call: `SELECT authsync.add_past_deliveries($1, (
				SELECT jsonb_agg(jsonb_build_object(
					'change_id', 2000000 + i, 'record_type', 'user', 'record_id', format('held-%s', i), 'order_key', format('user:held-%s', i),
					'event_type', 'user.updated', 'changed', ARRAY['email'], 'changed_at', now(), 'withheld', 1000000 + i, 'is_undo', true))
				FROM generate_series(1, 20) AS i), now(), NULL)`, about: 2 * costFew,
		},
		{
			what: "cancel", call: `SELECT authsync.cancel_delivery((SELECT project_id FROM authsync.destinations WHERE id = $1), ` + aReady + `, now())`,
			about: 1,
		},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			conn, err := b.Control.Acquire(t.Context()) // plans and counters belong to a session
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
				rows, entries := pgtest.RowsRead(t, tx, "authsync"), pgtest.EntriesRead(t, tx, "authsync")
				_, err = tx.Exec(t.Context(), c.call, append([]any{pgx.QueryExecModeExec, id}, c.with...)...)
				require.NoError(t, err)
				return max(pgtest.RowsRead(t, tx, "authsync")-rows, pgtest.EntriesRead(t, tx, "authsync")-entries)
			}
			exec(`ANALYZE`)
			for range 7 { // plans are made while nothing is there; they are kept from the sixth time on
				read(uuid.New())
			}
			id := deliverytest.Backlog(t, b.Control, b.ProjectID, "one")
			deliverytest.Backlog(t, b.Control, b.ProjectID, "other")
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
