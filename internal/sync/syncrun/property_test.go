package syncrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// world is a provider account that changes while it is read. Every step takes a second.
type world struct {
	prefix string
	second int
	users  map[string]map[string]any
	gone   map[string]bool
	events []mirror.Event
}

func (w *world) now() time.Time { return time.Date(2026, 3, 1, 12, 0, w.second, 0, time.UTC) }

// change is a sign-up, an edit or a deletion, and the webhook that tells of it.
func (w *world) change(t *rapid.T) {
	w.second++
	id := w.prefix + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "user")
	kind, data := "user.updated", map[string]any{"id": id, "deleted": true}
	if _, there := w.users[id]; there && rapid.IntRange(0, 2).Draw(t, "deleted") == 0 {
		kind = "user.deleted"
		delete(w.users, id)
		w.gone[id] = true
	} else {
		data = map[string]any{
			"id": id, "first_name": fmt.Sprint("first ", w.second), "last_name": nil, "username": fmt.Sprint("name ", w.second),
			"updated_at": w.now().UnixMilli(),
		}
		if rapid.Bool().Draw(t, "has a last name") {
			data["last_name"] = fmt.Sprint("last ", w.second)
		}
		w.users[id] = data
		delete(w.gone, id)
	}
	body, err := json.Marshal(map[string]any{"type": kind, "timestamp": w.now().UnixMilli(), "data": data})
	require.NoError(t, err)
	d := provider.Message{InboxID: int64(w.second), MessageID: fmt.Sprint(w.prefix, w.second), ReceivedAt: w.now().Add(time.Second / 2), Body: body}
	for _, e := range clerk.New().Decode(d, provider.Options{}) {
		w.events = append(w.events, mirror.Event{Event: e, Provider: provider.Clerk, InboxID: d.InboxID, ReceivedAt: d.ReceivedAt})
	}
}

// read is a page, a walk of reconcile or a refresh: the users as they are now.
func (w *world) read(t *rapid.T) {
	w.second++
	i := provider.Import{
		RunID: strconv.Itoa(w.second), FetchedAt: w.now(), Whole: true,
		Kind: rapid.SampledFrom([]string{provider.KindBackfill, provider.KindReconcile, provider.KindRefresh}).Draw(t, "kind"),
	}
	for _, object := range w.users {
		raw, err := json.Marshal(object)
		require.NoError(t, err)
		e := clerk.New().DecodeUser(raw, i, provider.Options{})
		require.Equal(t, provider.Apply, e.Verdict)
		w.events = append(w.events, mirror.Event{Event: e, Provider: provider.Clerk, ReceivedAt: i.FetchedAt, NoLedger: true})
	}
}

// TestPagesAndWebhooksInAnyOrderEndInTheProvidersState lets an account change
// while it is read, and what is read arrive in any order among the webhooks.
func TestPagesAndWebhooksInAnyOrderEndInTheProvidersState(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	databases := newDatabases(pgtest.URL(t, pool))
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	mirrors := mirror.New(mirror.Config{Databases: databases})
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		w := &world{prefix: fmt.Sprintf("r%d-", run), users: map[string]map[string]any{}, gone: map[string]bool{}}
		for range rapid.IntRange(1, 15).Draw(rt, "steps") {
			if rapid.IntRange(0, 2).Draw(rt, "step") == 0 {
				w.read(rt)
			} else {
				w.change(rt)
			}
		}
		for arrived := rapid.Permutation(w.events).Draw(rt, "arrival"); len(arrived) > 0; {
			n := rapid.IntRange(1, len(arrived)).Draw(rt, "batch")
			results, err := mirrors.Apply(context.Background(), uuid.Nil, arrived[:n])
			require.NoError(rt, err)
			for _, r := range results {
				require.NoError(rt, r.Err)
			}
			arrived = arrived[n:]
		}
		require.Equal(rt, w.state(), mirrorState(rt, pool, w.prefix))
	})
}

// state is the users as they should be in the end: names, or that they are gone.
func (w *world) state() map[string]string {
	state := statesOf(w.users)
	for id := range w.gone {
		state[id] = "gone"
	}
	return state
}

// statesOf are users as mirrorState shows them.
func statesOf(users map[string]map[string]any) map[string]string {
	states := map[string]string{}
	for id, u := range users {
		last := u["last_name"]
		if last == nil {
			last = "-"
		}
		states[id] = fmt.Sprint(u["first_name"], "/", last, "/", u["username"])
	}
	return states
}

func mirrorState(t require.TestingT, pool *pgxpool.Pool, prefix string) map[string]string {
	rows, err := pool.Query(context.Background(), `
		SELECT id, CASE WHEN deleted_at IS NOT NULL THEN 'gone'
			ELSE concat_ws('/', first_name, coalesce(last_name, '-'), username) END
		FROM capydb_auth.users WHERE id LIKE $1`, prefix+"%")
	require.NoError(t, err)
	state := map[string]string{}
	var id, is string
	_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error { state[id] = is; return nil })
	require.NoError(t, err)
	return state
}
