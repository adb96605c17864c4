package inbox_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// TestALargeInboxIsNotReadToFindTheFew asks on the worst day: what waits, what failed, who is behind. What an answer costs
// hangs on what is found, not on how much there is, whether or not the tables have been analyzed.
func TestALargeInboxIsNotReadToFindTheFew(t *testing.T) {
	t.Parallel()
	const messages = 40_000
	shop := uuid.MustParse("00000000-0000-0000-0000-000000000003")
	pool := daysBack(t, 4)
	exec(t, pool, `
		WITH p AS (
			INSERT INTO authsync.projects (id, name, database_url_sealed)
			SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'p' || n, '' FROM generate_series(0, 9) AS n
		), i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT ('00000000-0000-0000-0000-00000000000' || n % 10)::uuid, CASE WHEN n = 103 THEN 'clerk' ELSE 'auth0' END,
				$1::timestamptz + n * interval '6 s', '{}', 'x'
			FROM generate_series(1, $2::int) AS n
			RETURNING id, project_id, received_at
		), o AS (
			INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, outcome, applied_at)
			SELECT id, 0, received_at, project_id, 'evt_' || id, 'user.updated', 'user_' || id % 1000,
				CASE WHEN id % 8000 = 3 THEN 'failed' WHEN id % 8000 = 13 THEN 'stale' ELSE 'applied' END, received_at
			FROM i WHERE id % 10000 <> 23
		)
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT project_id, ARRAY[id], 1, received_at, received_at FROM i WHERE id % 10000 = 23`, now().AddDate(0, 0, -3), messages)

	for _, statistics := range []string{"none", "fresh"} { //nolint:paralleltest // its parts come before and after ANALYZE
		if statistics == "fresh" {
			exec(t, pool, `ANALYZE`)
		}
		for name, c := range map[string]struct {
			filter inbox.Filter
			found  int
		}{
			"PendingOfAProject":  {inbox.Filter{ProjectID: shop, Outcome: inbox.Pending}, 4},
			"Failed":             {inbox.Filter{ProjectID: shop, Outcome: inbox.Failed}, 5},
			"Stale":              {inbox.Filter{ProjectID: shop, Outcome: inbox.Stale}, 5},
			"Duplicate":          {inbox.Filter{ProjectID: shop, Outcome: inbox.Duplicate}, 0},
			"StaleOfAProvider":   {inbox.Filter{ProjectID: shop, Outcome: inbox.Stale, Provider: "clerk"}, 0},
			"RareProvider":       {inbox.Filter{ProjectID: shop, Provider: "clerk"}, 1},
			"ProviderWithoutAny": {inbox.Filter{ProjectID: shop, Provider: "better_auth"}, 0},
			"LatestOfAProject":   {inbox.Filter{ProjectID: shop}, 20},
		} {
			t.Run(statistics+name, func(t *testing.T) {
				tx := rolledBack(t, pool)
				before, entries := pgtest.RowsRead(t, tx, "authsync"), pgtest.EntriesRead(t, tx, "authsync")
				page, _, err := inbox.EventsIn(t.Context(), tx, c.filter, "", 20)
				require.NoError(t, err)
				require.Len(t, page, c.found)
				require.Less(t, max(pgtest.RowsRead(t, tx, "authsync")-before, pgtest.EntriesRead(t, tx, "authsync")-entries), int64(400))
			})
		}
		for _, view := range []string{"project_lag", "overdue_messages", "event_failures", "stuck_jobs"} {
			t.Run(statistics+view, func(t *testing.T) {
				tx := rolledBack(t, pool)
				before, entries := pgtest.RowsRead(t, tx, "authsync"), pgtest.EntriesRead(t, tx, "authsync")
				rows, err := tx.Query(t.Context(), `SELECT * FROM authsync.`+view)
				require.NoError(t, err)
				_, err = pgx.CollectRows(rows, pgx.RowToMap)
				require.NoError(t, err)
				require.Less(t, max(pgtest.RowsRead(t, tx, "authsync")-before, pgtest.EntriesRead(t, tx, "authsync")-entries), int64(1000))
			})
		}
	}
}

// daysBack gives a control database whose inbox has partitions for some days up to today.
func daysBack(t *testing.T, days int) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Control(t)
	for day := range days {
		require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now().AddDate(0, 0, -day)))
	}
	return pool
}

// rolledBack gives a transaction that leaves nothing behind.
func rolledBack(t *testing.T, pool *pgxpool.Pool) pgx.Tx {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) })
	return tx
}
