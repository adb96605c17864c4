package inbox_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// pend makes messages pending that are there already, as a commit or a replay does.
func pend(t *testing.T, pool *pgxpool.Pool, project uuid.UUID, ids ...int64) {
	t.Helper()
	exec(t, pool, `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT $1, $2, 1, min(i.received_at), max(i.received_at) FROM authsync.inbox AS i WHERE i.id = ANY ($2)`, project, ids)
}

// pages reads a list to its end, and gives what it has seen, and the number of pages.
func pages(t *testing.T, in *inbox.Inbox, f inbox.Filter, limit int) (found []string, read int) {
	t.Helper()
	for cursor := ""; ; read++ {
		page, next, err := in.Events(t.Context(), f, cursor, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, len(page), limit)
		for _, e := range page {
			found = append(found, fmt.Sprintf("%d-%d", e.InboxID, e.Ordinal))
		}
		if cursor = next; cursor == "" {
			return found, read + 1
		}
	}
}

// However commits and replays overlap, and however often a message is pending, its pages have each event once, newest first.
func TestPagesOfWhatIsPendingHaveEachEventOnce(t *testing.T) {
	t.Parallel()
	pool := daysBack(t, 4)
	in := newInbox(t, pool, inbox.Config{})
	project := uuid.New()
	const messages, newest = 600, 7
	exec(t, pool, `
		INSERT INTO authsync.inbox (id, project_id, provider, received_at, headers, body) OVERRIDING SYSTEM VALUE
		SELECT CASE WHEN n > 500 THEN n * 1000 WHEN n > 400 THEN n * 100 ELSE n END, CASE WHEN n % 4 = 0 THEN gen_random_uuid() ELSE $1 END,
			CASE WHEN n % 3 = 0 THEN 'clerk' ELSE 'auth0' END, $2::timestamptz + n * interval '5 minutes', '{}', 'x'
		FROM generate_series(1, $3::int) AS n`, project, now().AddDate(0, 0, -3), messages)
	var ids []int64
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT array_agg(id ORDER BY id) FROM authsync.inbox WHERE project_id = $1`, project).Scan(&ids))
	// Some are deferred, with several events, and some of these pending as well.
	exec(t, pool, `
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
		SELECT i.id, o, i.received_at, i.project_id, (ARRAY['pending', 'applied', 'pending'])[1 + o]
		FROM authsync.inbox AS i, generate_series(0, 2) AS o WHERE i.project_id = $1 AND i.id % 7 = 0`, project)
	random := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		var row []int64
		first, reach := random.IntN(len(ids)-newest), 1+random.IntN(1+random.IntN(1+random.IntN(len(ids))))
		for n := first; n < min(first+reach, len(ids)-newest); n++ {
			if n == first || random.IntN(3) == 0 {
				row = append(row, ids[n])
			}
		}
		pend(t, pool, project, row...)
	}
	for _, id := range ids[len(ids)-newest:] {
		pend(t, pool, project, id)
	}
	for range 30 { // the newest of all, over and over
		pend(t, pool, project, ids[len(ids)-1])
	}
	for name, f := range map[string]inbox.Filter{
		"all": {}, "of a provider": {Provider: "clerk"}, "of some hours": {From: now().AddDate(0, 0, -3).Add(20 * time.Hour), To: now().AddDate(0, 0, -3).Add(30 * time.Hour)},
	} {
		f.ProjectID, f.Outcome = project, inbox.Pending
		var want []string
		require.NoError(t, pool.QueryRow(t.Context(), `
			SELECT array_agg(e.inbox_id || '-' || e.ordinal ORDER BY e.inbox_id DESC, e.ordinal DESC)
			FROM authsync.events AS e
			WHERE e.project_id = $1 AND e.outcome = 'pending' AND ($2 = '' OR e.provider = $2)
				AND e.received_at >= $3 AND ($4::timestamptz = '0001-01-01' OR e.received_at < $4)
				AND (EXISTS (SELECT FROM authsync.inbox_pending AS p WHERE e.inbox_id = ANY (p.inbox_ids))
					OR EXISTS (SELECT FROM authsync.event_outcomes AS o WHERE o.inbox_id = e.inbox_id AND o.outcome = 'pending'))`,
			project, f.Provider, f.From, f.To).Scan(&want))
		require.Greater(t, len(want), 20)
		for _, limit := range []int{1, 3, 20, 1000} {
			found, _ := pages(t, in, f, limit)
			require.Equal(t, want, found, "%s, %d in a page", name, limit)
		}
	}
}

// Of a backlog of any length, a page reads as many messages as it has events.
func TestAPageOfALongBacklogReadsFewMessages(t *testing.T) {
	t.Parallel()
	const messages = 60_000
	project := uuid.MustParse("00000000-0000-0000-0000-000000000003")
	pool := daysBack(t, 4)
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'auth0', $2::timestamptz + n * interval '4 s', '{}', 'x' FROM generate_series(1, $3::int) AS n
			RETURNING id, received_at
		), o AS (
			INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
			SELECT id, 0, received_at, $1, CASE WHEN id % 3 = 0 THEN 'pending' ELSE 'applied' END FROM i WHERE id > 58000
		)
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT $1, array_agg(id ORDER BY id), 1, min(received_at), max(received_at)
		FROM i
		GROUP BY CASE WHEN id < 30000 THEN id % 60 + 1 WHEN id < 40000 THEN id / 500 * 1000 WHEN id < 50000 THEN id % 2 + id / 50 * 1000 ELSE -id END`,
		project, now().AddDate(0, 0, -3), messages)
	for _, statistics := range []string{"none", "fresh"} { //nolint:paralleltest // its parts come before and after ANALYZE
		if statistics == "fresh" {
			exec(t, pool, `ANALYZE`)
		}
		for name, c := range map[string]struct {
			filter inbox.Filter
			cursor string
			found  int
			rows   int64
		}{
			"Newest":      {inbox.Filter{}, "", 20, 2000}, // two of three were applied
			"OfDeferred":  {inbox.Filter{}, "59500-0", 20, 2000},
			"OfOverlaps":  {inbox.Filter{}, "45000-0", 20, 1000},
			"OfReplays":   {inbox.Filter{}, "20000-0", 20, 1000},
			"OldestOfAll": {inbox.Filter{}, "11-0", 10, 1000},
			"OfNoUser":    {inbox.Filter{UserID: "nobody"}, "", 0, 40_000},
		} {
			t.Run(statistics+name, func(t *testing.T) {
				c.filter.ProjectID, c.filter.Outcome = project, inbox.Pending
				tx := rolledBack(t, pool)
				rows, blocks := pgtest.RowsRead(t, tx, "authsync"), pgtest.IndexBlocksRead(t, tx, "authsync")
				page, next, err := inbox.EventsIn(t.Context(), tx, c.filter, c.cursor, 20)
				require.NoError(t, err)
				require.Len(t, page, c.found)
				require.Equal(t, c.cursor == "11-0", next == "")
				require.LessOrEqual(t, pgtest.RowsRead(t, tx, "authsync")-rows, c.rows)
				require.LessOrEqual(t, pgtest.IndexBlocksRead(t, tx, "authsync")-blocks, 4*c.rows)
			})
		}
	}
}

// Messages that were applied are not pending, though a replay makes them wait again: a page of them may be empty, and leads on.
func TestWhatWasAppliedIsPassedOver(t *testing.T) {
	t.Parallel()
	pool := daysBack(t, 1)
	in := newInbox(t, pool, inbox.Config{})
	project := uuid.New()
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'auth0', $2, '{}', 'x' FROM generate_series(1, 5000) RETURNING id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
		SELECT id, 0, received_at, $1, 'applied' FROM i WHERE id NOT IN (3, 900)`, project, now())
	ids := make([]int64, 5000)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	for part := range slices.Chunk(ids, 500) {
		pend(t, pool, project, part...)
	}
	found, read := pages(t, in, inbox.Filter{ProjectID: project, Outcome: inbox.Pending}, 10)
	require.Equal(t, []string{"900-0", "3-0"}, found)
	require.Equal(t, 3, read)
}

// Part of an id finds events that no index does: of those that are looked at, page by page.
func TestEventsAreFoundByPartOfAnID(t *testing.T) {
	t.Parallel()
	pool := daysBack(t, 1)
	in := newInbox(t, pool, inbox.Config{})
	project := uuid.New()
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, message_id, received_at, headers, body)
			SELECT $1, 'auth0', CASE n WHEN 4990 THEN 'msg_nEEdle_1' END, $2, '{}', 'x' FROM generate_series(1, 5000) AS n RETURNING id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome, event_id, user_id, record_type, record_id)
		SELECT id, 0, received_at, $1, CASE WHEN id % 2 = 0 THEN 'stale' ELSE 'applied' END, CASE id WHEN 4980 THEN 'evt_NEEDLE' ELSE 'evt_' || id END,
			CASE id WHEN 2001 THEN 'user|needle' END, CASE id WHEN 2 THEN 'organization' END, CASE id WHEN 2 THEN 'org_needle%' END
		FROM i`, project, now())
	found, read := pages(t, in, inbox.Filter{ProjectID: project, IDContains: "Needle"}, 10)
	require.Equal(t, []string{"4990-0", "4980-0", "2001-0", "2-0"}, found)
	require.Equal(t, 3, read)
	found, _ = pages(t, in, inbox.Filter{ProjectID: project, IDContains: "needle"}, 1)
	require.Equal(t, []string{"4990-0", "4980-0", "2001-0", "2-0"}, found)
	found, _ = pages(t, in, inbox.Filter{ProjectID: project, IDContains: "needle", Outcome: inbox.Stale}, 10)
	require.Equal(t, []string{"4990-0", "4980-0", "2-0"}, found)
	found, _ = pages(t, in, inbox.Filter{ProjectID: project, IDContains: "needle_"}, 10)
	require.Equal(t, []string{"4990-0"}, found, "signs stand for themselves")
}
