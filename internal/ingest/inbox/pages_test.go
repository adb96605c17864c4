package inbox_test

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

// What a page of events costs depends on the length of the page, not on how many events a project has had, whether or not
// the tables have been analyzed. Blocks are counted, not rows: an index that is searched by the last of its columns alone
// yields few rows and is read from end to end.
func TestAPageOfALargeProjectReadsFewBlocks(t *testing.T) {
	t.Parallel()
	const messages = 30_000
	project := uuid.MustParse("00000000-0000-0000-0000-000000000003")
	pool := daysBack(t, 3)
	from := now().AddDate(0, 0, -2)
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT $1, 'auth0', $2::timestamptz + n * interval '2 days' / $3::int, '{}', 'x' FROM generate_series(1, $3::int) AS n
			RETURNING id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, record_type, record_id, outcome, applied_at)
		SELECT id, 0, received_at, $1, 'evt_' || id, CASE WHEN id < 10 THEN 'user.deleted' ELSE 'user.updated' END, 'user_' || id % 1000,
			CASE WHEN id % 2 = 0 THEN 'session' END, CASE WHEN id % 2 = 0 THEN 'sess_' || id END,
			CASE WHEN id % 3 = 0 THEN 'stale' ELSE 'applied' END, received_at
		FROM i`, project, from, messages)

	for _, statistics := range []string{"none", "fresh"} { //nolint:paralleltest // its parts come before and after ANALYZE
		if statistics == "fresh" {
			exec(t, pool, `ANALYZE`)
		}
		for name, c := range map[string]struct {
			filter inbox.Filter
			found  int
			cursor string
		}{
			"Latest":        {inbox.Filter{}, 20, ""},
			"UntilADay":     {inbox.Filter{To: from.AddDate(0, 0, 1)}, 20, ""},
			"OfADay":        {inbox.Filter{From: from, To: from.AddDate(0, 0, 1)}, 20, ""},
			"OfAProvider":   {inbox.Filter{Provider: "auth0"}, 20, ""},
			"OfAUser":       {inbox.Filter{UserID: "user_7"}, 20, ""},
			"OfASession":    {inbox.Filter{RecordType: "session", RecordID: "sess_8"}, 1, ""},
			"Event":         {inbox.Filter{EventID: "evt_7"}, 1, ""},
			"NoEvent":       {inbox.Filter{EventID: "none"}, 0, ""},
			"OfARareType":   {inbox.Filter{Type: "user.deleted"}, 9, ""},
			"OfACommonType": {inbox.Filter{Type: "user.updated"}, 20, ""},
			"OfNoType":      {inbox.Filter{Type: "no.such"}, 0, ""},
			"Stale":         {inbox.Filter{Outcome: inbox.Stale}, 20, ""},
			"LaterStale":    {inbox.Filter{Outcome: inbox.Stale}, 20, "2000-0"},
			"StaleOfADay":   {inbox.Filter{Outcome: inbox.Stale, To: from.AddDate(0, 0, 1)}, 20, ""},
		} {
			t.Run(statistics+name, func(t *testing.T) {
				c.filter.ProjectID = project
				tx := rolledBack(t, pool)
				page, _, err := inbox.EventsIn(t.Context(), tx, c.filter, c.cursor, 20)
				require.NoError(t, err)
				require.Len(t, page, c.found)
				statement, args, err := inbox.PageStatement(c.filter, c.cursor, 20)
				require.NoError(t, err)
				var text []byte
				require.NoError(t, tx.QueryRow(t.Context(), `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) `+statement, args...).Scan(&text))
				var plans []map[string]any
				require.NoError(t, json.Unmarshal(text, &plans))
				require.Len(t, plans, 1)
				plan, ok := plans[0]["Plan"].(map[string]any)
				require.True(t, ok, "%s", text)
				require.Less(t, number(t, plan["Shared Hit Blocks"])+number(t, plan["Shared Read Blocks"]), 500.0, "%s", text)
				require.NotContains(t, plans[0], "JIT", "compiling it takes longer than reading the page")
			})
		}
	}
}

func number(t *testing.T, value any) float64 {
	t.Helper()
	n, ok := value.(float64)
	require.True(t, ok, "%v", value)
	return n
}
