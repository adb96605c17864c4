package deliverytest

import (
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// A backlog has changes of so many users, and so many of each: one is ready, the others are blocked.
const (
	BacklogUsers   = 800
	BacklogChanges = 5
)

// Backlog makes a destination for which a change of each user is ready and four are blocked. As many deletions of other users are held.
func Backlog(tb testing.TB, db *pgxpool.Pool, projectID uuid.UUID, name string) uuid.UUID {
	tb.Helper()
	id := uuid.New()
	exec := func(sql string, args ...any) {
		_, err := db.Exec(tb.Context(), sql, args...)
		require.NoError(tb, err)
	}
	exec(`INSERT INTO authsync.destinations (id, project_id, name, type, secrets_sealed) VALUES ($1, $2, $3, 'webhook', '')`, id, projectID, name)
	exec(`INSERT INTO authsync.destination_progress (destination_id, cursor) VALUES ($1, 0)`, id)
	exec(`SELECT authsync.relay_page($1, 0, $2, `+ChangesOf+`, now())`, id, BacklogUsers*BacklogChanges, 1, BacklogUsers*BacklogChanges, BacklogUsers)
	// As many users are deleted, which is held back.
	exec(`
		SELECT authsync.add_past_deliveries($1, (
			SELECT jsonb_agg(jsonb_build_object(
				'change_id', 1000000 + i, 'record_type', 'user', 'record_id', format('held-%s', i), 'user_id', format('held-%s', i),
				'order_key', format('user:held-%s', i), 'event_type', 'user.deleted', 'changed', ARRAY['deleted_at'], 'changed_at', now(),
				'held_from', now()
			))
			FROM generate_series(1, $2::bigint) AS i), now(), NULL)`, id, BacklogUsers*BacklogChanges)
	return id
}

// ChangesOf are changes as authsync.make_deliveries takes them: from, to, and of how many users.
const ChangesOf = `(
	SELECT jsonb_agg(jsonb_build_object(
		'change_id', i, 'record_type', 'user', 'record_id', format('user-%s', i % $5), 'user_id', format('user-%s', i % $5),
		'order_key', format('user:user-%s', i % $5), 'event_type', 'user.updated', 'changed', ARRAY['email'], 'changed_at', now()
	))
	FROM generate_series($3::bigint, $4::bigint) AS i)`

// outcomes are results of what is ready, as authsync.record_deliveries takes them.
const outcomes = `(
	SELECT jsonb_agg(jsonb_build_object(
		'id', t.id, 'state', t.state, 'attempts', t.attempts, 'coalesced', t.coalesced, 'outcome', $3::text, 'send', t.id,
		'status', 200, 'next_attempt_at', now(), 'keeps_external_id', false, 'external_id', 'contact'
	))
	FROM authsync.take_deliveries($1, $2, $4, '{}', NULL, NULL) AS t)`

// RecordCall records such results.
const RecordCall = `SELECT authsync.record_deliveries($1, ` + outcomes + `, now(), 100, '1 minute', '1 minute', '1 day')`
