package admin_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// The health of a destination counts no further than 10,000: it is on many pages, also on the day when everything waits.
func TestHealthOfABacklogReadsNoMoreThanItCounts(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	project, destination := uuid.New(), uuid.New()
	_, err := pool.Exec(t.Context(), `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, project)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO authsync.destinations (id, project_id, name, type, secrets_sealed) VALUES ($1, $2, 'd', 'webhook', '')`, destination, project)
	require.NoError(t, err)
	oldest := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	_, err = pool.Exec(t.Context(), `
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, order_key, event_type, changed, changed_at, state)
		SELECT $1, $2, n, 'user', 'u' || n, 'user:u' || n / 2, 'user.updated', '{}', $3::timestamptz + n * interval '1 second', CASE n % 2 WHEN 0 THEN 'ready' ELSE 'blocked' END
		FROM generate_series(0, 79999) AS n`, project, destination, oldest)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `ANALYZE authsync.deliveries`)
	require.NoError(t, err)
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		before := pgtest.RowsRead(t, tx, "authsync")
		h, err := pgdb.CollectOne[admin.Health](t.Context(), tx, admin.SelectHealth, project)
		require.NoError(t, err)
		require.EqualValues(t, 10_000, h.Waiting)
		require.True(t, h.OldestWaitingAt.Equal(oldest))
		require.Less(t, pgtest.RowsRead(t, tx, "authsync")-before, int64(35_000))
		return nil
	}))
}
