package mirror_test

import (
	"context"
	"fmt"
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

// Applying costs what the events cost, however long the feed is. Blocks are counted likewise: what looks for deletions among the changes
// of a call must not look through the index of all changes.
func TestApplyingReadsNoOtherChanges(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]string{
		"None":          `SELECT`,
		"OfEmptyTables": `ANALYZE`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn := session(t, pgtest.Project(t))
			withoutAutovacuum(t, conn)
			_, err := conn.Exec(t.Context(), prepare)
			require.NoError(t, err)
			calls := 0
			blocks := func() int64 {
				tx, err := conn.Begin(t.Context())
				require.NoError(t, err)
				before := pgtest.IndexBlocksRead(t, tx, "capydb_auth")
				calls++
				user := of(fmt.Sprintf("user-%d", calls), update(fmt.Sprintf("call-%d", calls), calls, "email", "ada@example.com"))
				deleted := of("deleted", update(fmt.Sprintf("deleted-%d", calls), 2*calls))
				if calls%2 == 0 {
					deleted = of("deleted", deletion(fmt.Sprintf("deleted-%d", calls), 2*calls))
				}
				_, err = tx.Exec(t.Context(), applySQL, mirror.EventArgs([]mirror.Event{user, deleted})...)
				require.NoError(t, err)
				read := pgtest.IndexBlocksRead(t, tx, "capydb_auth") - before
				require.NoError(t, tx.Commit(t.Context()))
				return read
			}
			for range 7 { // the plans are made now, and kept
				blocks()
			}
			_, err = conn.Exec(t.Context(), `
				INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, provider, event_id, event_at)
				SELECT 'user', format('user-%s', i), 'updated', '{raw}', '{}', '{}', 'auth0', 'evt-' || i, '2026-01-01' FROM generate_series(1, 20000) AS i`)
			require.NoError(t, err)
			for range 2 {
				require.LessOrEqual(t, blocks(), int64(120))
			}
			_, err = conn.Exec(t.Context(), `ANALYZE`)
			require.NoError(t, err)
			for range 2 {
				require.LessOrEqual(t, blocks(), int64(120), "fresh statistics")
			}
		})
	}
}
