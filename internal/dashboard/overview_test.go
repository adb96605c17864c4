package dashboard_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

const (
	homeProjects = 21 // one of which has nearly all messages
	homeFailed   = 296
)

func homeProject(n int) uuid.UUID {
	return uuid.MustParse(fmt.Sprintf("00000000-0000-0000-0000-0000000000%02d", n))
}

// loadHome fills what the home page reads. The small projects had their last message long ago.
func loadHome(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	const days, messages = 10, 30_000
	_, err := pool.Exec(t.Context(), `SELECT authsync.make_inbox_partitions((now() - $1::int * interval '1 day')::date, $1::int + 2)`, days)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `
		WITH p AS (
			INSERT INTO authsync.projects (id, name, database_url_sealed)
			SELECT ('00000000-0000-0000-0000-0000000000' || lpad(n::text, 2, '0'))::uuid, 'p' || n, '' FROM generate_series(0, $2::int - 1) AS n RETURNING id
		), g AS (
			INSERT INTO authsync.integrations (project_id, provider, credentials_sealed) SELECT p.id, 'clerk', '' FROM p
		), d AS (
			INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed) SELECT p.id, 'crm', 'webhook', '' FROM p RETURNING id, project_id
		), l AS (
			INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, order_key, event_type, changed, changed_at, state, finished_at)
			SELECT d.project_id, d.id, n, 'user', 'u' || n, 'user:u' || n, 'user.updated', '{}', now(), 'delivered', now()
			FROM d, generate_series(1, 1000) AS n
		), r AS (
			INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, started_at, finished_at)
			SELECT p.id, 'clerk', 'backfill', 'failed', 'x', now(), now() FROM p, generate_series(1, 50)
		), c AS (
			INSERT INTO authsync.message_counts (project_id, slot, began_at, message_count) SELECT p.id, n, now(), 1 FROM p, generate_series(0, 95) AS n
		), i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT ('00000000-0000-0000-0000-0000000000' || lpad((CASE WHEN n <= 400 THEN n % 20 + 1 ELSE 0 END)::text, 2, '0'))::uuid, 'auth0',
				now() - interval '9 days' + n * interval '9 days' / $1::int, '{}', 'x'
			FROM generate_series(1, $1::int) AS n
			RETURNING id, project_id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
		SELECT id, 0, received_at, project_id, 'evt_' || id, 'user.updated', 'user_1', CASE WHEN id % 100 = 1 THEN 'failed' ELSE 'applied' END, received_at
		FROM i`, messages, homeProjects)
	require.NoError(t, err)
}

// What the home page reads depends on the projects that it shows, not on how much one of them has received and sent.
func TestHomeReadsLittleOfALargeProject(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	loadHome(t, pool)
	var ids []uuid.UUID
	for n := range homeProjects - 1 {
		ids = append(ids, homeProject(n))
	}
	read := func() (rows int64) {
		require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			before := pgtest.RowsRead(t, tx, "authsync")
			list, err := dashboard.ReadOverviews(t.Context(), tx, ids, time.Now())
			require.Len(t, list, len(ids))
			require.EqualValues(t, homeFailed, list[homeProject(0)].Failed)
			for _, o := range list {
				require.NotNil(t, o.LastReceivedAt)
			}
			rows = pgtest.RowsRead(t, tx, "authsync") - before
			return err
		}))
		return rows
	}
	const most = 96*homeProjects + homeFailed + 60*homeProjects
	require.Less(t, read(), int64(most), "without statistics")
	_, err := pool.Exec(t.Context(), `ANALYZE`)
	require.NoError(t, err)
	require.Less(t, read(), int64(most), "with statistics")
}
