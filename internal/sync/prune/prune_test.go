package prune_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/retention"
	"github.com/authsync/authsync/internal/sync/prune"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

const day = 24 * time.Hour

func now() time.Time { return time.Date(2026, 8, 30, 12, 0, 0, 0, time.UTC) }

func pruner(b *deliverytest.Bundle) *prune.Pruner {
	return prune.New(prune.Config{
		Pool: b.Control, Mirrors: b.Mirrors, Now: now, Batch: 3,
		Retention: retention.Defaults{Inbox: 5 * day, Ledger: 10 * day, Changes: 10 * day, Deliveries: 20 * day},
	})
}

func exec(t require.TestingT, b *deliverytest.Bundle, inProject bool, statement string, args ...any) {
	pool := b.Control
	if inProject {
		pool = b.Project
	}
	_, err := pool.Exec(context.Background(), statement, args...)
	require.NoError(t, err)
}

// change adds changes to the feed, one each day from firstDay days ago; each sets raw to its number.
const change = `
	INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at, changed_at)
	SELECT 'user', r.id, CASE WHEN r.n = 1 THEN 'created' ELSE 'updated' END, '{raw}', CASE WHEN r.n > 1 THEN '{}'::jsonb END, jsonb_build_object('id', r.id, 'n', r.n),
		CASE WHEN r.n > 1 THEN to_jsonb(r.n - 1) END, 'clerk', 'e' || r.place, r.at, r.at
	FROM (
		SELECT u.id, u.at, u.place, row_number() OVER (PARTITION BY u.id ORDER BY u.place) AS n
		FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS u (id, at, place)
	) AS r
	ORDER BY r.place`

func value(t require.TestingT, b *deliverytest.Bundle, inProject bool, query string, args ...any) string {
	pool := b.Control
	if inProject {
		pool = b.Project
	}
	var text string
	require.NoError(t, pool.QueryRow(context.Background(), query, args...).Scan(&text))
	return text
}

func feed(t require.TestingT, b *deliverytest.Bundle) string {
	return value(t, b, true, `SELECT coalesce(string_agg(c.record_id || (c.after ->> 'n'), ' ' ORDER BY c.id), '') FROM capydb_auth.changes AS c`)
}

// Whatever the history and the period: each record has its newest change past the period, all those within it, and every one
// of these still shows the row before it.
func TestPruneLeavesExactlyWhatIsKept(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	rapid.Check(t, func(rt *rapid.T) {
		exec(rt, b, true, `TRUNCATE capydb_auth.changes, capydb_auth.processed_events, capydb_auth.users`)
		exec(rt, b, true, `UPDATE capydb_auth.prune_progress SET changes_to = 0`)
		users := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 40).Draw(rt, "users")
		days := make([]int, len(users))
		for i := range days {
			days[i] = rapid.IntRange(0, 20).Draw(rt, "days ago")
		}
		slices.Sort(days)
		slices.Reverse(days)
		var at []time.Time
		for _, n := range days {
			at = append(at, now().Add(-time.Duration(n)*day-time.Hour))
		}
		exec(rt, b, true, change, users, at)
		exec(rt, b, true, `
			INSERT INTO capydb_auth.users (id, raw, provider, last_event_processed, last_event_sent_at, last_event_id, last_event_fields)
			SELECT u.id, to_jsonb(count(*)), 'clerk', now(), now(), 'e', 512 FROM unnest($1::text[]) AS u (id) GROUP BY u.id`, users)
		exec(rt, b, true, `
			INSERT INTO capydb_auth.processed_events (provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, processed_at)
			SELECT 'clerk', 'e' || u.place, 'user', u.id, u.at, u.place, 0, 'applied', u.at FROM unnest($1::text[], $2::timestamptz[]) WITH ORDINALITY AS u (id, at, place)`,
			users, at)
		before := shown(rt, b)
		var ledger, changes *int
		for range rapid.IntRange(1, 2).Draw(rt, "runs") { // the second one with a period of its own
			keptChanges, keptLedger := 10, 10
			if changes != nil {
				keptChanges, keptLedger = *changes, max(7, *ledger)
			}
			exec(rt, b, false, `UPDATE authsync.projects SET keep_changes = $1, keep_ledger = $2`, changes, ledger)
			require.NoError(rt, pruner(b).All(t.Context()))

			var want, known []string
			count := map[string]int{}
			for i, user := range users {
				count[user]++
				later := slices.Index(users[i+1:], user)
				superseded := later >= 0 && days[i+1+later] >= keptChanges
				if days[i] < keptChanges || !superseded {
					want = append(want, fmt.Sprint(user, count[user]))
				}
				if days[i] < keptLedger {
					known = append(known, fmt.Sprint("e", i+1))
				}
			}
			require.Equal(rt, strings.Join(want, " "), feed(rt, b))
			require.Equal(rt, strings.Join(known, " "), value(rt, b, true,
				`SELECT coalesce(string_agg(p.event_id, ' ' ORDER BY p.inbox_id), '') FROM capydb_auth.processed_events AS p`))
			for change, as := range shown(rt, b) {
				if i := slices.Index(want, change); days[indexOf(users, change)] < keptChanges && i >= 0 {
					require.Equal(rt, before[change], as, "what is within the period is shown as ever")
				}
			}
			ledger, changes = new(rapid.IntRange(7, 9).Draw(rt, "ledger")), new(rapid.IntRange(1, 9).Draw(rt, "changes"))
		}
	})
}

// indexOf is where a change such as a3, the third of a, is in the history.
func indexOf(users []string, change string) int {
	n := 0
	for i, user := range users {
		if user == change[:1] {
			if n++; fmt.Sprint(user, n) == change {
				return i
			}
		}
	}
	return -1
}

// shown is how record_changes shows each change.
func shown(t require.TestingT, b *deliverytest.Bundle) map[string]string {
	rows, err := b.Project.Query(context.Background(), `
		SELECT c.record_id || (c.after ->> 'raw') AS change, concat_ws(' ', c.kind, c.before, c.after) FROM capydb_auth.record_changes AS c`)
	require.NoError(t, err)
	all := map[string]string{}
	var name, text string
	_, err = forEach(rows, []any{&name, &text}, func() { all[name] = text })
	require.NoError(t, err)
	return all
}

func TestWhatADestinationNeedsStays(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	old := make([]time.Time, 9)
	for i := range old {
		old[i] = now().Add(-15 * day)
	}
	reset := func() {
		exec(t, b, true, `TRUNCATE capydb_auth.changes RESTART IDENTITY`)
		exec(t, b, true, `UPDATE capydb_auth.prune_progress SET changes_to = 0`)
		exec(t, b, true, change, []string{"a", "b", "a", "a", "b", "a", "c", "a", "b"}, old)
		exec(t, b, false, `DELETE FROM authsync.deliveries`)
	}
	id := b.Add(t, "sink", &deliverytest.Sink{})
	const deliver = `
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, first_change_id, record_type, record_id, order_key, event_type, changed, changed_at, state, finished_at, held_from)
		SELECT $1, $2, $3, $4, 'user', $5, 'user:' || $5, 'user.updated', '{}', now(), $6, CASE WHEN $6 NOT IN ('held', 'blocked', 'ready', 'retrying') THEN $7::timestamptz END, CASE WHEN $6 = 'held' THEN now() END`
	all := "c1 a5 b3"
	cases := map[string]struct {
		cursor     int
		change     int
		first      *int
		record     string
		state      string
		finished   time.Time
		feed, held string
	}{
		"AllRead":               {cursor: 9, feed: all},
		"RelayLags":             {cursor: 4, feed: "b1 a3 b2 a4 c1 a5 b3", held: "destination sink has not read"},
		"NothingRead":           {cursor: 0, feed: "a1 b1 a2 a3 b2 a4 c1 a5 b3", held: "destination sink has not read"},
		"ADeletionIsHeld":       {cursor: 9, change: 5, record: "b", state: "held", feed: "b1 a3 b2 a4 c1 a5 b3", held: "a deletion is held back from destination sink"},
		"ADeliveryIsBlocked":    {cursor: 9, change: 5, record: "b", state: "blocked", feed: "b1 a3 b2 a4 c1 a5 b3", held: "destination sink is not finished"},
		"CoalescedInto":         {cursor: 9, change: 9, first: new(5), record: "b", state: "retrying", feed: "b1 a3 b2 a4 c1 a5 b3", held: "destination sink is not finished"},
		"ADeliveryIsFinished":   {cursor: 9, change: 5, record: "b", state: "delivered", finished: now(), feed: all},
		"AFailedOneMayBeSent":   {cursor: 9, change: 6, record: "a", state: "failed", finished: now().Add(-19 * day), feed: "a3 b2 a4 c1 a5 b3", held: "may be retried"},
		"AFailedOneIsForgotten": {cursor: 9, change: 6, record: "a", state: "failed", finished: now().Add(-21 * day), feed: all},
		"OfAnotherRecord":       {cursor: 9, change: 6, record: "z", state: "ready", feed: all},
	}
	for name, c := range cases { // one after another: they share the bundle
		reset()
		exec(t, b, false, `UPDATE authsync.destination_progress SET cursor = $1`, c.cursor)
		if c.change > 0 {
			exec(t, b, false, deliver, b.ProjectID, id, c.change, c.first, c.record, c.state, c.finished)
		}
		require.NoError(t, pruner(b).All(t.Context()), name)
		require.Equal(t, c.feed, feed(t, b), name)
		state, err := prune.Of(t.Context(), b.Control, b.ProjectID)
		require.NoError(t, err)
		held := ""
		if state.HeldReason != nil {
			held = *state.HeldReason
		}
		require.Contains(t, held, c.held, name)
		require.Equal(t, c.held == "", held == "", name)
		require.Equal(t, held == "", state.HeldSince == nil, name)
		// When the destination is done, the rest goes.
		exec(t, b, false, `UPDATE authsync.destination_progress SET cursor = 9`)
		exec(t, b, false, `DELETE FROM authsync.deliveries`)
		require.NoError(t, pruner(b).All(t.Context()), name)
		require.Equal(t, all, feed(t, b), name)
	}
}

// As long as the inbox has a message, the ledger knows it: days are dropped whole, and late if something of them is not finished.
func TestTheLedgerOutlivesTheInbox(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	entry := func(days int) {
		exec(t, b, true, `
			INSERT INTO capydb_auth.processed_events (provider, event_id, record_type, record_id, received_at, inbox_id, inbox_ordinal, outcome, processed_at)
			SELECT 'clerk', 'e' || $1::integer, 'user', 'u', $2, $1::integer, 0, 'applied', $2`, days, now().Add(-time.Duration(days)*day))
	}
	for _, days := range []int{9, 11, 12, 14, 15} {
		entry(days)
	}
	exec(t, b, false, `INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body) VALUES ($1, 'clerk', $2, '{}', '')`,
		b.ProjectID, now().Add(-12*day))
	left := func() string {
		return value(t, b, true, `SELECT string_agg(p.event_id, ' ' ORDER BY p.inbox_id) FROM capydb_auth.processed_events AS p`)
	}
	require.NoError(t, pruner(b).All(t.Context()))
	require.Equal(t, "e9 e11 e12", left())
	exec(t, b, false, `DELETE FROM authsync.inbox`)
	require.NoError(t, pruner(b).All(t.Context()))
	require.Equal(t, "e9", left())
	require.Equal(t, "4 0", value(t, b, false, `SELECT ledger_rows || ' ' || change_rows FROM authsync.mirror_prunings WHERE finished_at = $1 AND last_error IS NULL`, now()))
}

// A project whose database is away is recorded as such, and the others are pruned.
func TestADatabaseThatIsAway(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	exec(t, b, true, change, []string{"a", "a"}, []time.Time{now().Add(-15 * day), now().Add(-15 * day)})
	exec(t, b, false, `INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('away', '')`)
	require.NoError(t, pruner(b).All(t.Context()))
	require.Equal(t, "a2", feed(t, b))
	require.Equal(t, "1 1", value(t, b, false, `SELECT count(*) FILTER (WHERE last_error IS NULL) || ' ' || count(*) FILTER (WHERE finished_at IS NULL) FROM authsync.mirror_prunings`))
}

func forEach(rows pgx.Rows, scans []any, do func()) (int64, error) {
	tag, err := pgx.ForEachRow(rows, scans, func() error { do(); return nil })
	return tag.RowsAffected(), err
}
