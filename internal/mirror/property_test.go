package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestAnyOrderAndRepetitionGivesTheSameUsers(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	var names prefixes

	rapid.Check(t, func(rt *rapid.T) {
		prefix := names.next()
		events := history(prefix).Draw(rt, "history")
		deliveries := shuffled(events).Draw(rt, "deliveries")
		for _, b := range cut(rt, deliveries) {
			for _, e := range b {
				if rapid.Bool().Draw(rt, "is referenced before") {
					ensureUser(rt, pool, e.UserID)
				}
			}
			outcomes := apply(rt, pool, b)
			require.Len(rt, outcomes, len(b))
		}
		want := model(events)
		for user := range want {
			ensureUser(rt, pool, user)
		}
		require.Equal(rt, want, usersIn(rt, pool, prefix))
		require.Equal(rt, want, replayedChanges(rt, pool, prefix))

		before := everything(rt, pool, prefix)
		for _, b := range cut(rt, deliveries) {
			for i, outcome := range apply(rt, pool, b) {
				require.NotEmpty(rt, outcome, "event %d", i)
			}
		}
		require.Equal(rt, before, everything(rt, pool, prefix), "a second application changed something")
	})
}

func TestOutcomesAreThoseOfApplyingSingly(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	var names prefixes

	rapid.Check(t, func(rt *rapid.T) {
		prefix := names.next()
		deliveries := shuffled(history(prefix).Draw(rt, "history")).Draw(rt, "deliveries")
		var want, got []string
		first := make(map[string]mirror.Event)
		outcomes := make(map[string]string)
		for i, e := range deliveries {
			known, seen := first[e.ID]
			seen = seen && !e.NoLedger
			switch {
			case e.NoLedger:
				want = append(want, "not in the ledger: "+strconv.FormatBool(setsAnything(deliveries[:i], e)))
			case seen && known.InboxID == e.InboxID:
				want = append(want, outcomes[e.ID])
			case seen:
				want = append(want, "duplicate")
			default:
				first[e.ID] = e
				outcomes[e.ID] = "stale"
				if setsAnything(deliveries[:i], e) {
					outcomes[e.ID] = "applied"
				}
				want = append(want, outcomes[e.ID])
			}
		}
		for _, b := range cut(rt, deliveries) {
			for i, outcome := range apply(rt, pool, b) {
				if b[i].NoLedger {
					require.Contains(rt, []string{"applied", "unchanged", "stale"}, outcome)
					outcome = "not in the ledger: " + strconv.FormatBool(outcome != "stale")
				}
				got = append(got, outcome)
			}
		}
		require.Equal(rt, want, got)
	})
}

// ensureUser calls the function as a customer's transaction would.
func ensureUser(t require.TestingT, pool *pgxpool.Pool, id string) {
	var got string
	require.NoError(t, pool.QueryRow(context.Background(), `SELECT capydb_auth.ensure_user($1)`, id).Scan(&got))
	require.Equal(t, id, got)
}

// setsAnything reports whether e, after the events before it, changes which statement
// a column shows.
func setsAnything(before []mirror.Event, e mirror.Event) bool {
	was := shown(before)
	for column, is := range shown(append(slices.Clip(before), e)) {
		if held, ok := was[column]; !ok || held.version != is.version || held.unclocked != is.unclocked {
			return true
		}
	}
	return false
}

func TestTwoWorkersAtOnceGiveTheSameUsers(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	var names prefixes
	workers := []*mirror.Mirrors{newMirrors(t, pool), newMirrors(t, pool)}

	rapid.Check(t, func(rt *rapid.T) {
		prefix := names.next()
		events := history(prefix).Draw(rt, "history")
		batches := make([][][]mirror.Event, len(workers))
		for i := range workers {
			batches[i] = cut(rt, shuffled(events).Draw(rt, "deliveries"))
		}
		errs := make([]error, len(workers))
		var done sync.WaitGroup
		for i, w := range workers {
			done.Go(func() {
				for _, b := range batches[i] {
					results, err := w.Apply(context.Background(), projectID(), b)
					for delay := (*tenantdb.DelayError)(nil); errors.As(err, &delay); { // the other one is at work
						results, err = w.Apply(context.Background(), projectID(), b)
					}
					for _, r := range results {
						if err == nil {
							err = r.Err
						}
					}
					if err != nil {
						errs[i] = err
						return
					}
				}
			})
		}
		done.Wait()
		require.NoError(rt, errs[0])
		require.NoError(rt, errs[1])
		want := model(events)
		require.Equal(rt, want, usersIn(rt, pool, prefix))
		require.Equal(rt, want, replayedChanges(rt, pool, prefix))
		require.Equal(rt, len(distinctIDs(events)), ledgerSize(rt, pool, prefix), "each event is in the ledger once")
	})
}

func distinctIDs(events []mirror.Event) map[string]bool {
	ids := make(map[string]bool)
	for _, e := range events {
		if !e.NoLedger {
			ids[e.ID+e.UserID] = true
		}
	}
	return ids
}

// usersIn reads the users with the prefix in the form of the model.
func collectTexts(rows pgx.Rows) ([]string, error) { return pgx.CollectRows(rows, pgx.RowTo[string]) }

func usersIn(t require.TestingT, pool *pgxpool.Pool, prefix string) map[string]row {
	return readRows(t, pool, `
		SELECT id, to_jsonb(u) - ARRAY['id', 'provider', 'last_event_processed', 'last_event_sent_at', 'last_event_id', 'last_event_fields', 'field_versions']
			|| CASE WHEN last_event_processed IS NULL THEN '{"id": "a placeholder"}' ELSE '{}'::jsonb END
		FROM capydb_auth.users AS u WHERE id LIKE $1`, prefix)
}

// replayedChanges plays user_changes back: the last value of each column.
func replayedChanges(t require.TestingT, pool *pgxpool.Pool, prefix string) map[string]row {
	return readRows(t, pool, `
		SELECT user_id, jsonb_object_agg(column_name, value ORDER BY id)
		FROM capydb_auth.user_changes, jsonb_each(after) AS a (column_name, value)
		WHERE user_id LIKE $1 GROUP BY user_id
		UNION ALL
		SELECT id, '{}' FROM capydb_auth.users AS u
		WHERE id LIKE $1 AND NOT EXISTS (SELECT FROM capydb_auth.user_changes WHERE user_id = u.id)`, prefix)
}

func readRows(t require.TestingT, pool *pgxpool.Pool, query, prefix string) map[string]row {
	rows, err := pool.Query(context.Background(), query, prefix+"%")
	require.NoError(t, err)
	users := make(map[string]row)
	var (
		id   string
		data map[string]any
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &data}, func() error {
		users[id] = row{}
		for column, value := range data {
			switch v := value.(type) {
			case nil:
			case string:
				if at, err := time.Parse(time.RFC3339, v); err == nil {
					v = at.UTC().Format(time.RFC3339)
				}
				users[id][column] = v
			case map[string]any:
				users[id][column] = fmt.Sprintf(`{"n": %v}`, v["n"])
			}
		}
		data = nil
		return nil
	})
	require.NoError(t, err)
	return users
}

// everything reads all that is stored about the users with the prefix.
func everything(t require.TestingT, pool *pgxpool.Pool, prefix string) string {
	var all string
	err := pool.QueryRow(context.Background(), `
		SELECT jsonb_build_array(
			(SELECT jsonb_agg(u ORDER BY u.id) FROM capydb_auth.users AS u WHERE u.id LIKE $1),
			(SELECT jsonb_agg(c ORDER BY c.id) FROM capydb_auth.user_changes AS c WHERE c.user_id LIKE $1),
			(SELECT jsonb_agg(p ORDER BY p.event_id, p.record_id) FROM capydb_auth.processed_events AS p WHERE p.record_id LIKE $1)
		)::text`, prefix+"%").Scan(&all)
	require.NoError(t, err)
	return all
}

func ledgerSize(t require.TestingT, pool *pgxpool.Pool, prefix string) int {
	var n int
	err := pool.QueryRow(context.Background(),
		`SELECT count(*) FROM capydb_auth.processed_events WHERE record_id LIKE $1`, prefix+"%").Scan(&n)
	require.NoError(t, err)
	return n
}
