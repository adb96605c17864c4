package mirror_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// columns are the mirrored columns other than raw, in the table's order.
func columns() []record.Column {
	return []record.Column{
		record.Email, record.FirstName, record.LastName, record.Username, record.ImageURL,
		record.CreatedAt, record.UpdatedAt, record.LastSignInAt, record.DeletedAt,
	}
}

// row is a user as model and table are compared: column → value, "raw" among them.
type row map[string]string

// statement is what an event says of a column.
type statement struct {
	version    version
	receivedAt time.Time
	unclocked  bool
	value      *string
}

// recordKey is the id of a user, or type and id of another record.
func recordKey(e mirror.Event) string {
	if ref := e.Record(); ref.Type != record.User {
		return string(ref.Type) + ":" + ref.ID
	}
	return e.UserID
}

// statements are what an event says, by "record.column".
func statements(e mirror.Event) map[string]statement {
	said := make(map[string]statement)
	profile := statement{version: version{e.At, e.SentAt, e.ID}, receivedAt: e.ReceivedAt, unclocked: e.AtIsReceipt}
	life := profile
	if !e.DeletedClock.IsZero() {
		life.version.at, life.unclocked = e.DeletedClock, e.DeletedClockIsReceipt
	}
	for column, value := range e.Fields {
		s := profile
		if column == record.DeletedAt {
			s = life
		}
		s.value = value
		said[recordKey(e)+"."+string(column)] = s
	}
	if e.Raw != nil {
		raw := string(e.Raw)
		profile.value = &raw
		said[recordKey(e)+".raw"] = profile
	}
	return said
}

// shown is the ordering rule in Go: of each column the statement with the greatest
// version; but what was received last without a clock is newer than that if it was received
// later, or its receipt is later than the other's clock.
func shown(events []mirror.Event) map[string]statement {
	clocked, unclocked := make(map[string]statement), make(map[string]statement)
	for _, e := range events {
		for column, s := range statements(e) {
			if s.unclocked {
				if held, ok := unclocked[column]; !ok || s.receivedAt.After(held.receivedAt) {
					unclocked[column] = s
				}
			} else if held, ok := clocked[column]; !ok || s.version.after(held.version) {
				clocked[column] = s
			}
		}
	}
	for column, u := range unclocked {
		c, ok := clocked[column]
		if !ok || u.receivedAt.After(c.receivedAt) || u.receivedAt.After(c.version.at) {
			clocked[column] = u
		}
	}
	return clocked
}

// model is the users that are shown; an absent key is NULL.
func model(events []mirror.Event) map[string]row {
	users := make(map[string]row)
	for _, e := range events {
		users[e.UserID] = row{}
	}
	for column, s := range shown(events) {
		if user, name, _ := strings.Cut(column, "."); s.value != nil {
			users[user][name] = *s.value
		}
	}
	return users
}

type version struct {
	at, sentAt time.Time
	id         string
}

func (v version) after(w version) bool {
	if c := v.at.Compare(w.at); c != 0 {
		return c > 0
	}
	if c := v.sentAt.Compare(w.sentAt); c != 0 {
		return c > 0
	}
	return v.id > w.id
}

// instants are few, so that ties and late events are common; some are over a minute apart.
func instant() *rapid.Generator[time.Time] {
	return rapid.Custom(func(t *rapid.T) time.Time {
		second := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5, 63, 64, 122}).Draw(t, "second")
		return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC)
	})
}

// clock draws the clock of an event: its sender's, which may be up to a minute ahead of
// the receipt, or none.
func clock(t *rapid.T, label string, receivedAt time.Time) (at time.Time, isReceipt bool) {
	if rapid.IntRange(0, 3).Draw(t, label+" or none") == 0 {
		return receivedAt, true
	}
	if at = instant().Draw(t, label); at.After(receivedAt.Add(time.Minute)) {
		at = receivedAt.Add(time.Minute)
	}
	return at, false
}

// history draws up to 30 events about up to three users whose ids begin with prefix.
func history(prefix string) *rapid.Generator[[]mirror.Event] {
	return rapid.Custom(func(t *rapid.T) []mirror.Event {
		events := make([]mirror.Event, rapid.IntRange(1, 30).Draw(t, "events"))
		for i := range events {
			events[i] = event(t, prefix, i)
		}
		return events
	})
}

func event(t *rapid.T, prefix string, i int) mirror.Event {
	e := mirror.Event{Provider: provider.Auth0, InboxID: int64(i)}
	e.ReceivedAt = instant().Draw(t, "received").Add(time.Duration(i+1) * time.Millisecond) // each its own
	e.ID = fmt.Sprintf("%s-evt-%02d", prefix, rapid.IntRange(0, 99).Draw(t, "id")*100+i)
	e.UserID = prefix + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user")
	e.SentAt = instant().Draw(t, "sent_at")
	e.Fields = provider.Fields{}
	if rapid.IntRange(0, 3).Draw(t, "kind") == 0 {
		e.Type = "user.deleted"
		e.DeletedClock, e.DeletedClockIsReceipt = clock(t, "deleted", e.ReceivedAt)
		text := e.DeletedClock.Truncate(time.Second).Format(time.RFC3339)
		e.Fields[record.DeletedAt] = &text
		if rapid.Bool().Draw(t, "without profile") {
			return e
		}
	} else {
		e.Type = "user.updated"
		e.Fields[record.DeletedAt] = nil
	}
	e.At, e.AtIsReceipt = clock(t, "at", e.ReceivedAt)
	e.NoLedger = rapid.Bool().Draw(t, "read by authsync itself")
	for _, c := range columns() {
		if c == record.DeletedAt || !rapid.Bool().Draw(t, "says "+string(c)) {
			continue
		}
		e.Fields[c] = nil
		if rapid.Bool().Draw(t, "value") {
			text := fmt.Sprintf("%s of %s", c, e.ID)
			switch c {
			case record.CreatedAt, record.UpdatedAt, record.LastSignInAt:
				text = instant().Draw(t, string(c)).Format(time.RFC3339)
			default:
			}
			e.Fields[c] = &text
		}
	}
	if rapid.Bool().Draw(t, "says raw") {
		e.Raw = json.RawMessage(fmt.Sprintf(`{"n": %d}`, i))
	}
	return e
}

// shuffled draws the events in another order, some of them several times: as a
// repetition by the sender (another delivery) or by the worker (the same one).
func shuffled(events []mirror.Event) *rapid.Generator[[]mirror.Event] {
	return rapid.Custom(func(t *rapid.T) []mirror.Event {
		all := append([]mirror.Event(nil), events...)
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(events)-1), 0, 10).Draw(t, "repeated") {
			again := events[i]
			if rapid.Bool().Draw(t, "another delivery") {
				again.InboxID += 1000
			}
			all = append(all, again)
		}
		return rapid.Permutation(all).Draw(t, "order")
	})
}

// cut draws how the events are cut into batches.
func cut(t *rapid.T, events []mirror.Event) [][]mirror.Event {
	var batches [][]mirror.Event
	for len(events) > 0 {
		n := rapid.IntRange(1, len(events)).Draw(t, "batch")
		batches, events = append(batches, events[:n]), events[n:]
	}
	return batches
}

// prefixes gives every run of a property its own users, so that all can share a database.
type prefixes struct {
	mu sync.Mutex
	n  int
}

func (p *prefixes) next() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.n++
	return fmt.Sprintf("p%d-", p.n)
}

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
