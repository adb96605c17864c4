package syncrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

// living is a provider account in memory whose users come, change and go.
type living struct {
	mu    sync.Mutex
	users map[string]map[string]any
	last  time.Time // of the clock
	asked []string  // users that were asked for one by one

	// step is called before each answer, with its number.
	step  func(n int)
	steps int
	// count is what the account says of its size; nil: the truth.
	count func() int64
	// listed tells whether the list shows a user; nil: it shows all.
	listed  func(id string) bool
	options provider.Options
	partial bool // its pages are not whole
	company bool // the project has another provider
}

func newLiving() *living { return &living{users: map[string]map[string]any{}} }

// now is the account's clock: no two changes have the same millisecond, and none
// is in the future.
func (l *living) now() time.Time {
	for {
		if now := time.Now().UTC().Truncate(time.Millisecond); now.After(l.last) {
			l.last = now
			return now
		}
		runtime.Gosched()
	}
}

// put signs a user up, or changes it, and gives the webhook that tells of it.
func (l *living) put(id, name string) mirror.Event { return l.putWith(id, name, nil) }

func (l *living) putWith(id, name string, last any) mirror.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := l.now()
	l.users[id] = map[string]any{"id": id, "first_name": name, "last_name": last, "username": "name " + name, "updated_at": at.UnixMilli()}
	return l.webhook("user.updated", at, l.users[id])
}

// silently changes a user, of which no webhook tells and no clock.
func (l *living) silently(id, name string) {
	l.edit(id, func(user map[string]any) { user["first_name"] = name })
}

func (l *living) edit(id string, change func(user map[string]any)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if user, there := l.users[id]; there {
		changed := maps.Clone(user)
		change(changed)
		l.users[id] = changed
	}
}

// remove deletes a user; what it gives back can be restored.
func (l *living) remove(id string) (was map[string]any, deletion mirror.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was = l.users[id]
	delete(l.users, id)
	return was, l.webhook("user.deleted", l.now(), map[string]any{"id": id, "deleted": true})
}

// restore brings a user back as it was, of which no webhook tells.
func (l *living) restore(was map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.users[fmt.Sprint(was["id"])] = was
}

func (l *living) webhook(kind string, at time.Time, data map[string]any) mirror.Event {
	body, err := json.Marshal(map[string]any{"type": kind, "timestamp": at.UnixMilli(), "data": data})
	if err != nil {
		panic(err)
	}
	d := provider.Message{InboxID: at.UnixMilli(), MessageID: fmt.Sprint("msg_", at.UnixMilli()), ReceivedAt: at.Add(time.Millisecond), Body: body}
	e := clerk.New().Decode(d, provider.Options{})[0]
	return mirror.Event{Event: e, Provider: provider.Clerk, InboxID: d.InboxID, ReceivedAt: d.ReceivedAt}
}

// names are the users as they should be in the end.
func (l *living) names() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	names := map[string]string{}
	for id, user := range l.users {
		names[id] = fmt.Sprint(user["first_name"])
	}
	return names
}

// setStep lets a function be called before each answer; nil: none.
func (l *living) setStep(step func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.step = nil; step != nil {
		l.step = func(int) { step() }
	}
}

func (l *living) next() {
	l.mu.Lock()
	step, n := l.step, l.steps
	l.steps++
	l.mu.Unlock()
	if step != nil {
		step(n)
	}
}

func (l *living) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return source.Account{Source: l, Importer: clerk.New(), Options: l.options, Alone: !l.company}, nil
}

func (l *living) Count(context.Context) (int64, bool, error) {
	l.next()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count != nil {
		return l.count(), true, nil
	}
	return int64(len(l.users)), true, nil
}

// Page lists two users a page, by their ids.
func (l *living) Page(_ context.Context, cursor string) (userapi.Page, error) {
	l.next()
	l.mu.Lock()
	defer l.mu.Unlock()
	page := userapi.Page{Partial: l.partial}
	asked := time.Now()
	for _, id := range slices.Sorted(maps.Keys(l.users)) {
		if id <= cursor || l.listed != nil && !l.listed(id) {
			continue
		}
		if len(page.Users) == 2 {
			page.Next = idOf(page.Users[1].Object)
			break
		}
		page.Users = append(page.Users, userapi.User{Object: marshal(l.users[id]), FetchedAt: asked})
	}
	return page, nil
}

func idOf(object json.RawMessage) string {
	var user struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(object, &user); err != nil {
		panic(err)
	}
	return user.ID
}

func marshal(object map[string]any) json.RawMessage {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	return text
}

func (l *living) User(_ context.Context, id string) (userapi.User, error) {
	l.next()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, id)
	asked := time.Now()
	user, there := l.users[id]
	if !there {
		return userapi.User{}, userapi.ErrGone
	}
	if user["unreadable"] != nil {
		return userapi.User{}, fault.New(fault.ProviderError, "it is another user than was asked for")
	}
	return userapi.User{Object: marshal(user), FetchedAt: asked}, nil
}

// setupLiving makes a project whose provider is a living account, and a worker.
func setupLiving(t *testing.T, l *living, slice time.Duration) *testBundle {
	t.Helper()
	b := setup(t, 0, 0)
	b.accounts, b.store = l, syncrun.NewStore(b.control, l)
	b.work(t, b.mirrors, slice)
	return b
}

// apply applies webhooks.
func (b *testBundle) apply(t require.TestingT, events ...mirror.Event) {
	results, err := b.mirrors.Apply(context.Background(), b.projectID, events)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err)
	}
}

// runs starts a run of a kind and waits for its end.
func (b *testBundle) runs(t require.TestingT, kind string) syncrun.Run {
	_, err := b.store.Start(context.Background(), b.projectID, b.provider, syncrun.Order{Kind: kind})
	require.NoError(t, err)
	return b.finishes(t, kind)
}

// reconcile runs a reconcile to its end.
func (b *testBundle) reconcile(t require.TestingT, o syncrun.Order) syncrun.Run {
	o.Kind = provider.KindReconcile
	started, err := b.store.Start(context.Background(), b.projectID, b.provider, o)
	require.NoError(t, err)
	run := b.finishes(t, o.Kind)
	require.Equal(t, started.ID, run.ID)
	return run
}

// users reads the users of the mirror: name, or that they are gone or placeholders.
func (b *testBundle) users(t require.TestingT) map[string]string {
	rows, err := b.project.Query(context.Background(), `
		SELECT id, CASE WHEN deleted_at IS NOT NULL THEN 'gone' WHEN last_event_processed IS NULL THEN 'placeholder' ELSE first_name END
		FROM capydb_auth.users`)
	require.NoError(t, err)
	users := map[string]string{}
	var id, is string
	_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error { users[id] = is; return nil })
	require.NoError(t, err)
	return users
}
