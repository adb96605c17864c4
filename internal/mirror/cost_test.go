package mirror_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// A destination that is far behind reads one record's changes page by page: a page costs what it holds, however many changes the
// record has before and after it, and also where no change of it touches raw.
func TestPagesOfOneRecordCostWhatTheyHold(t *testing.T) {
	t.Parallel()
	const page = 50
	db := pgtest.Project(t)
	_, err := db.Exec(t.Context(), `
		INSERT INTO capydb_auth.users (id, provider, last_event_processed, raw) VALUES ('u1', 'auth0', now(), '{}')`)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at)
		SELECT 'user', 'u1', 'updated', CASE WHEN i % 2 = 0 THEN '{deleted_at}'::text[] ELSE '{raw,deleted_at}' END, '{"deleted_at": null}', '{"deleted_at": null}', '{}',
			'auth0', format('evt-%s', i), now()
		FROM generate_series(1, 3000) AS i`)
	require.NoError(t, err)
	for _, after := range []int64{0, 1500, 2950} {
		for name, call := range map[string]string{
			"read_changes":   `SELECT capydb_auth.read_changes($1, $2)`,
			"record_changes": `SELECT before, after FROM capydb_auth.record_changes WHERE id > $1 ORDER BY id LIMIT $2`,
			"record_states": `SELECT capydb_auth.record_states(
				ARRAY(SELECT i FROM generate_series($1::bigint + 1, $1 + $2::integer) AS i), ARRAY(SELECT i FROM generate_series($1::bigint + 1, $1 + $2::integer) AS i), array_fill(3000::bigint, ARRAY[$2::integer]))`,
		} {
			tx, err := db.Begin(t.Context())
			require.NoError(t, err)
			_, err = tx.Exec(t.Context(), `SET LOCAL enable_seqscan = off`)
			require.NoError(t, err)
			before := pgtest.RowsRead(t, tx, "capydb_auth")
			_, err = tx.Exec(t.Context(), call, after, page)
			require.NoError(t, err)
			read := pgtest.RowsRead(t, tx, "capydb_auth") - before
			require.NoError(t, tx.Rollback(context.Background()))
			require.NotZero(t, read, call)
			require.LessOrEqual(t, read, int64(6*page), "rows read by %s behind %d", name, after)
		}
	}
}

// What reading the feed costs shall depend on the users whose changes are read, not on the
// size of the feed.
func TestReadingTheFeedReadsOnlyTheUsersConcerned(t *testing.T) {
	t.Parallel()
	const few, each = 20, 5
	db := pgtest.Project(t)
	_, err := db.Exec(t.Context(), `
		INSERT INTO capydb_auth.users (id, email, provider, last_event_processed)
		SELECT format('user-%s', i), format('%s-5@example.com', i), 'auth0', now() FROM generate_series(0, 799) AS i`)
	require.NoError(t, err)
	_, err = db.Exec(t.Context(), `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, provider, event_id, event_at)
		SELECT
			'user', format('user-%s', i % 800), CASE WHEN i < 800 THEN 'created' ELSE 'updated' END, '{email}',
			CASE WHEN i >= 800 THEN jsonb_build_object('email', format('%s-%s@example.com', i % 800, i / 800)) END,
			jsonb_build_object('email', format('%s-%s@example.com', i % 800, i / 800 + 1)), 'auth0', format('evt-%s', i), now()
		FROM generate_series(0, 3999) AS i`)
	require.NoError(t, err)
	for _, gather := range []string{``, `ANALYZE`, `VACUUM`} { // what was vacuumed is read from indexes alone
		_, err := db.Exec(t.Context(), gather)
		require.NoError(t, err)
		for _, call := range []string{
			`SELECT capydb_auth.read_changes(0, 20)`,
			`SELECT capydb_auth.read_changes(2000, 20)`,
			`SELECT capydb_auth.changes_by_id(ARRAY(SELECT i::bigint FROM generate_series(1, 20) AS i))`,
			`SELECT capydb_auth.record_states(
				ARRAY(SELECT i::bigint FROM generate_series(1, 20) AS i), ARRAY(SELECT i::bigint FROM generate_series(801, 820) AS i), array_fill(2400::bigint, ARRAY[20]))`,
			`SELECT capydb_auth.change_cursor(NULL)`,
		} {
			tx, err := db.Begin(t.Context())
			require.NoError(t, err)
			rows, entries := pgtest.RowsRead(t, tx, "capydb_auth"), pgtest.EntriesRead(t, tx, "capydb_auth")
			_, err = tx.Exec(t.Context(), call)
			require.NoError(t, err)
			read := max(pgtest.RowsRead(t, tx, "capydb_auth")-rows, pgtest.EntriesRead(t, tx, "capydb_auth")-entries)
			require.NoError(t, tx.Rollback(context.Background()))
			require.NotZero(t, read, call)
			require.LessOrEqual(t, read, int64(4*few*each), "rows read after %q by %s", gather, call)
		}
	}
}
