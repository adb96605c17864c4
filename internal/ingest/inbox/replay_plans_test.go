package inbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func replayedProject() uuid.UUID { return uuid.MustParse("00000000-0000-0000-0000-000000000003") }

// loadReplayed makes events of five pages within three days, of which some match each filter.
func loadReplayed(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	for day := range 3 {
		require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now().AddDate(0, 0, -day)))
	}
	exec(t, pool, `
		WITH i AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT CASE n % 5 WHEN 0 THEN gen_random_uuid() ELSE $1 END, 'auth0', $2::timestamptz + n * interval '2 days' / $3::int, '{}', 'x'
			FROM generate_series(1, $3::int) AS n
			RETURNING id, project_id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, record_type, record_id, outcome)
		SELECT id, 0, received_at, project_id, 'evt_' || id, CASE WHEN id % 2 = 0 THEN 'user.updated' ELSE 'session.created' END, 'user_' || id % 2,
			CASE WHEN id % 2 = 1 THEN 'session' END, CASE WHEN id % 2 = 1 THEN 'sess_1' END,
			(ARRAY['applied', 'failed', 'pending', 'stale'])[1 + id % 4]
		FROM i`, replayedProject(), now().AddDate(0, 0, -2), 5*inbox.ReplayPage)
}

// A page of a replay reads what it returns, not what the pages before it have returned or what the next ones will.
func TestNoPageOfAReplayReadsWhatOthersReturn(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	loadReplayed(t, pool)
	project := replayedProject()
	for _, statistics := range []string{"none", "fresh"} { //nolint:paralleltest // its parts come before and after ANALYZE
		if statistics == "fresh" {
			exec(t, pool, `ANALYZE`)
		}
		for name, filter := range map[string]inbox.Filter{
			"All":         {ProjectID: project},
			"OfAProvider": {ProjectID: project, Provider: "auth0"},
			"OfAType":     {ProjectID: project, Type: "user.updated"},
			"OfAUser":     {ProjectID: project, UserID: "user_1"},
			"OfARecord":   {ProjectID: project, RecordType: "session", RecordID: "sess_1"},
			"Failed":      {ProjectID: project, Outcome: inbox.Failed},
			"Stale":       {ProjectID: project, Outcome: inbox.Stale},
			"Pending":     {ProjectID: project, Outcome: inbox.Pending},
			"OfADay":      {ProjectID: project, From: now().AddDate(0, 0, -1).Truncate(24 * time.Hour)},
		} {
			t.Run(statistics+name, func(t *testing.T) {
				tx, err := pool.Begin(t.Context())
				require.NoError(t, err)
				defer func() { require.NoError(t, tx.Rollback(context.Background())) }()
				read := pgtest.RowsRead(t, tx, "authsync")
				const each = 8 // an event, its message and project, those of the day's edge, and the job
				count := func() {
					t.Helper()
					now := pgtest.RowsRead(t, tx, "authsync")
					require.LessOrEqual(t, now-read, int64(each*inbox.ReplayPage))
					read = now
				}
				require.NoError(t, in.ReplayPages(t.Context(), tx, filter, count))
				matched, err := in.CountReplayIn(t.Context(), tx, filter, 100)
				require.NoError(t, err)
				require.Equal(t, 100, matched)
				require.LessOrEqual(t, pgtest.RowsRead(t, tx, "authsync")-read, int64(each*100))
			})
		}
	}
}
