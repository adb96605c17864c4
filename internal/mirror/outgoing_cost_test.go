package mirror_test

import (
	"context"
	"regexp"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// spilled is how many blocks of temporary files a statement on users wrote and read, with so little memory
// that all goes there: a measure of its work that hangs on no clock. There are so many users, each
// with a row of that many bytes which a change made, and so many changes of the address after it.
func spilled(t *testing.T, users, bytes, changes int, statement string) int64 {
	t.Helper()
	tx, err := pgtest.Project(t).Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
	_, err = tx.Exec(t.Context(), `SET LOCAL work_mem = '64kB'`)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `
		INSERT INTO capydb_auth.users (id, provider, email, raw)
		SELECT 'u' || n, 'auth0', 'a', to_jsonb(repeat('x', $2::integer))
		FROM generate_series(1, $1::integer) AS n`, users, bytes)
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at)
		SELECT 'user', 'u' || n, CASE c WHEN 0 THEN 'created' ELSE 'updated' END, '{email}',
		       CASE WHEN c > 0 THEN '{"email": "b"}'::jsonb END, '{"email": "a"}', to_jsonb(repeat('x', $3::integer)), 'auth0', 'evt', now()
		FROM generate_series(0, $2::integer) AS c, generate_series(1, $1::integer) AS n
		ORDER BY c, n`, users, changes, bytes)
	require.NoError(t, err)
	var plan []byte
	require.NoError(t, tx.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+statement).Scan(&plan))
	written := regexp.MustCompile(`"Temp (?:Read|Written) Blocks": (\d+)`).FindAllSubmatch(plan, 2) // of the whole statement
	require.Len(t, written, 2)
	var blocks int64
	for _, found := range written {
		n, err := strconv.ParseInt(string(found[1]), 10, 64)
		require.NoError(t, err)
		blocks += n
	}
	return blocks
}

// Where users are large a window of them must be read in time, or nothing is delivered any more.
func TestRecordStatesCostInProportionToRecords(t *testing.T) {
	t.Parallel()
	const all = `
		SELECT count(*), sum(length(s.record_row::text))
		FROM capydb_auth.record_states(
			ARRAY(SELECT min(c.id) FROM capydb_auth.user_changes AS c GROUP BY c.user_id ORDER BY c.user_id),
			ARRAY(SELECT max(c.id) FROM capydb_auth.user_changes AS c GROUP BY c.user_id ORDER BY c.user_id),
			ARRAY(SELECT 1000000::bigint FROM (SELECT DISTINCT c.user_id FROM capydb_auth.user_changes AS c) AS u)) AS s`
	few, many := spilled(t, 16, 20_000, 1, all), spilled(t, 64, 20_000, 1, all)
	require.Positive(t, few)
	require.LessOrEqual(t, many, 6*few, "four times as many users")
}

// The row of a user who changes again and again is not written again for each of the changes.
func TestWalkOverManyChangesOfALargeUserIsCheap(t *testing.T) {
	t.Parallel()
	const oldest = `SELECT count(*) FROM capydb_auth.changes_by_id(ARRAY(SELECT min(c.id) FROM capydb_auth.user_changes AS c))`
	require.Less(t, spilled(t, 1, 50_000, 200, oldest), int64(100), "200 rows of 50 kB are 1,200 blocks")
}
