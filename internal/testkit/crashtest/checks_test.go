package crashtest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/record"
)

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func rowsOf[T any](t *testing.T, pool *pgxpool.Pool, query string) []T {
	t.Helper()
	rows, err := pool.Query(t.Context(), query)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[T])
	require.NoError(t, err)
	return found
}

// line is a row of one text.
type line struct{ Text string }

// requireHealed waits until no job is left to do and every delivery has an outcome.
func (b *bundle) requireHealed(t *testing.T, what string) {
	t.Helper()
	const left = `
		SELECT 'job ' || kind || ' is ' || state::text
		FROM authsync.river_job
		WHERE finalized_at IS NULL AND kind IN ('apply_inbox', 'retry_event', 'relay_changes', 'deliver', 'retry_delivery')
		UNION ALL
		SELECT 'change on its way, ' || state FROM authsync.deliveries WHERE finished_at IS NULL
		UNION ALL
		SELECT 'delivery without outcome' FROM authsync.inbox AS i
		WHERE NOT EXISTS (SELECT FROM authsync.event_outcomes AS e WHERE e.inbox_id = i.id)`
	begun := time.Now()
	var open []line
	for first := true; first || len(open) > 0 && time.Since(begun) < healLimit; first = false {
		wait(t, 200*time.Millisecond)
		b.control.Reset() // connections of before the last crash
		open = rowsOf[line](t, b.control, left)
	}
	require.Empty(t, open, "%s: left after %s", what, healLimit)
	t.Logf("healed within %s", time.Since(begun).Round(100*time.Millisecond))
	require.Empty(t, rowsOf[line](t, b.control,
		`SELECT kind || ' is ' || state::text || ': ' || coalesce(errors[cardinality(errors)] ->> 'error', '')
		 FROM authsync.river_job WHERE state IN ('cancelled', 'discarded')`), what)
	require.Empty(t, rowsOf[line](t, b.control,
		`SELECT coalesce(reason, '') FROM authsync.event_outcomes WHERE outcome = 'failed'`), what)
}

// ledgerRow is an event as the mirror remembers it, and how many changes it made.
type ledgerRow struct {
	EventID string
	Outcome string
	Entries int
	Changes int
}

// requireExactlyOnce compares the mirror with what was sent: each event that was
// acknowledged is in the ledger once; each that was applied made one change,
// each other none; and each row is that of the newest event the ledger has.
func (b *bundle) requireExactlyOnce(t *testing.T, what string) {
	t.Helper()
	ledger := map[string]ledgerRow{}
	for _, row := range rowsOf[ledgerRow](t, b.project, `
		SELECT e.event_id, min(e.outcome), count(*), coalesce(min(c.changes), 0)
		FROM capydb_auth.processed_events AS e
		LEFT JOIN (SELECT event_id, count(*) AS changes FROM capydb_auth.changes GROUP BY event_id) AS c USING (event_id)
		GROUP BY e.event_id`) {
		ledger[row.EventID] = row
		require.Equal(t, 1, row.Entries, "%s: event %s in the ledger", what, row.EventID)
		changes := 0
		if row.Outcome == "applied" {
			changes = 1
		}
		require.Equal(t, changes, row.Changes, "%s: changes made by event %s, which was %s", what, row.EventID, row.Outcome)
	}
	var lost []string
	for id := range maps.Keys(b.load.acked) {
		if _, ok := ledger[id]; !ok {
			lost = append(lost, id)
		}
	}
	require.Empty(t, lost, "%s: acknowledged and lost", what)
	require.NotEmpty(t, b.load.acked)

	expected := map[string]string{} // e-mail address by user, role by membership, of the newest event
	for n := int64(1); n <= b.load.next.Load(); n++ {
		_, sample := b.load.event(n)
		switch _, ok := ledger[sample.ID]; {
		case !ok:
		case sample.Type == membershipUpdated:
			expected[record.MembershipID(sample.OrganizationID, sample.UserID)] = fmt.Sprint(sample.Set["role"])
		default:
			expected[sample.UserID] = fmt.Sprint(sample.Set["email"])
		}
	}
	got := map[string]string{}
	for _, row := range rowsOf[struct{ ID, Value string }](t, b.project, `
		SELECT id, email FROM capydb_auth.users
		UNION ALL
		SELECT organization_id || '/' || user_id, role FROM capydb_auth.memberships`) {
		got[row.ID] = row.Value
	}
	require.Equal(t, expected, got, what)
	t.Logf("%d events acknowledged, %d in the ledger, %d answers refused on the way, %d users and memberships",
		len(b.load.acked), len(ledger), b.load.refused.Load(), len(got))
	repeated := rowsOf[struct{ N int }](t, b.control, `SELECT count(*) FROM authsync.event_outcomes WHERE outcome = 'duplicate'`)
	t.Logf("%d deliveries were repetitions", repeated[0].N)
	isMembership := func(id string) bool { return strings.HasPrefix(id, "org_") }
	require.Len(t, slices.DeleteFunc(slices.Collect(maps.Keys(got)), isMembership), users, what)
	require.True(t, slices.ContainsFunc(slices.Collect(maps.Keys(got)), isMembership), what)
}
