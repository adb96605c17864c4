package mirror_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// A record with few changes, or whose earlier ones are no longer in the feed, costs what it has: the search in the index ends
// with the record. Blocks are counted, because a search that goes on reads no row.
func TestTheChangesOfARecordAreFoundWithoutThoseOfOthers(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	_, err := pool.Exec(t.Context(), `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, provider, event_id, event_at)
		SELECT 'user', format('user-%s', i), 'updated', '{raw}', '{}', '{}', 'auth0', 'evt-' || i, '2026-01-01' FROM generate_series(1, 20000) AS i`)
	require.NoError(t, err)
	conn, err := pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	for _, statistics := range []string{"none", "fresh"} {
		if statistics == "fresh" {
			_, err = conn.Exec(t.Context(), `ANALYZE`)
			require.NoError(t, err)
		}
		for name, c := range map[string]struct {
			sql  string
			args []any
		}{
			"History":      {mirror.SelectChanges, []any{mirror.Planned, "user", "user-9999", int64(1 << 62), 20}},
			"Latest":       {mirror.LatestChange, []any{mirror.Planned, "user", "user-99999"}},
			"ChangesByID":  {`SELECT * FROM capydb_auth.changes_by_id('{19999}')`, nil},
			"CloseChanges": {`SELECT * FROM capydb_auth.close_changes('{user-9999}', '{x}', '{2026-01-01}', '1 second')`, nil},
		} {
			tx, err := conn.Begin(t.Context())
			require.NoError(t, err)
			before := pgtest.IndexBlocksRead(t, tx, "capydb_auth")
			_, err = tx.Exec(t.Context(), c.sql, c.args...)
			require.NoError(t, err)
			require.LessOrEqual(t, pgtest.IndexBlocksRead(t, tx, "capydb_auth")-before, int64(40), "%s, statistics: %s", name, statistics)
			require.NoError(t, tx.Rollback(context.Background()))
		}
	}
}
