package repair_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/filter"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// sink is a destination in memory, and its type.
type sink struct {
	states bool

	mu      sync.Mutex
	arrived []destination.Message
}

func (s *sink) Name() string                            { return "webhook" }
func (s *sink) SecretNames() []string                   { return nil }
func (s *sink) NewSecret() (_, _ string, ok bool)       { return "", "", false }
func (s *sink) SendsSecretsTo(json.RawMessage) []string { return nil }
func (s *sink) Capabilities() destination.Capabilities {
	return destination.Capabilities{States: s.states, Batch: 1, Parallel: 4}
}

func (s *sink) New(destination.Config, destination.Deps) (destination.Destination, error) {
	return s, nil
}

func (s *sink) Preview(context.Context, destination.Message) ([]destination.Request, error) {
	return nil, nil
}

func (s *sink) Send(_ context.Context, messages []destination.Message) []destination.Result {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrived = append(s.arrived, messages...)
	return make([]destination.Result, len(messages))
}

func (s *sink) messages() []destination.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.arrived)
}

// told shows what arrived, such as "user.created evt_1", sorted.
func (s *sink) told() []string {
	all := []string{}
	for _, m := range s.messages() {
		all = append(all, m.EventType+" "+m.EventID)
	}
	slices.Sort(all)
	return all
}

// of shows what arrived about a user, in order.
func (s *sink) of(user string) string {
	var all []string
	for _, m := range s.messages() {
		if m.RecordID == user {
			all = append(all, m.EventType+" "+m.EventID)
		}
	}
	return strings.Join(all, ", ")
}

// heldFeed calls b.beforeRead once, before the next page of changes is read, and b.beforeCheck before the mirror is
// checked because a change is missing.
type heldFeed struct {
	deliverytest.Feed
	b *testBundle
}

func (f *heldFeed) ReadChanges(ctx context.Context, projectID uuid.UUID, after int64, limit int) ([]mirror.FeedChange, error) {
	f.b.hold(ctx, &f.b.beforeRead)
	return f.Feed.ReadChanges(ctx, projectID, after, limit)
}

func (f *heldFeed) Check(ctx context.Context, projectID uuid.UUID) error {
	f.b.hold(ctx, &f.b.beforeCheck)
	return f.Feed.Check(ctx, projectID)
}

// hold calls a hook once.
func (b *testBundle) hold(ctx context.Context, hook *func(context.Context)) {
	var before func(context.Context)
	b.set(func() { before, *hook = *hook, nil })
	if before != nil {
		before(ctx)
	}
}

// holding returns a hook, what says that it was reached, and what lets it go.
func holding() (hook func(context.Context), reached <-chan struct{}, release func()) {
	at, on := make(chan struct{}), make(chan struct{})
	return func(ctx context.Context) {
		close(at)
		select {
		case <-on:
		case <-ctx.Done():
		}
	}, at, func() { close(on) }
}

func (b *testBundle) newDeliveries(t *testing.T) {
	t.Helper()
	var err error
	b.deliveries, err = deliverytest.NewDeliveries(deliverytest.Config{
		Pool: b.control, Feed: &heldFeed{b.mirrors, b},
		Open: func(_ context.Context, id uuid.UUID) (destcache.Opened, error) {
			return destcache.Opened{Type: id.String(), Config: destination.Config{ID: id}}, nil
		},
		Type: func(name string) (destination.Type, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.sinks[uuid.MustParse(name)], nil
		},
		NewFilter: func(eventTypes, fields []string, condition *string) (subscription.Filter, error) {
			return filter.Compile(eventTypes, fields, condition)
		},
		Pause: func(pause time.Duration) time.Duration { return min(pause, 20*time.Millisecond) },
	})
	require.NoError(t, err)
}

// add makes a destination; of users, if there are no other event types.
func (b *testBundle) add(t *testing.T, name string, s *sink, from admin.From, eventTypes ...string) uuid.UUID {
	t.Helper()
	id := uuid.New()
	b.set(func() { b.sinks[id] = s })
	require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), `
			INSERT INTO authsync.destinations (id, project_id, name, type, secrets_sealed) VALUES ($1, $2, $3, 'webhook', '')`, id, b.projectID, name)
		if err == nil && len(eventTypes) > 0 {
			_, err = tx.Exec(t.Context(), `UPDATE authsync.destinations SET event_types = $2 WHERE id = $1`, id, eventTypes)
		}
		if err != nil {
			return err
		}
		cursor, err := b.deliveries.Admin.Cursor(t.Context(), b.projectID, from)
		require.NoError(t, err)
		return b.deliveries.Admin.Start(t.Context(), tx, id, b.projectID, cursor)
	}))
	return id
}

// relayed waits until a destination has been relayed all changes that there are.
func (b *testBundle) relayed(t *testing.T, id uuid.UUID) {
	t.Helper()
	require.NoError(t, delivery.RequestRelay(t.Context(), b.control, b.projectID))
	waittest.Until(t, func() bool {
		return value[int64](t, b.control, `SELECT cursor FROM authsync.destination_progress WHERE destination_id = $1`, id) >=
			value[int64](t, b.project, newestChange)
	}, "changes are not relayed: %s", b.logged())
}

// settled waits until nothing is on its way to a destination.
func (b *testBundle) settled(t *testing.T, id uuid.UUID) {
	t.Helper()
	b.relayed(t, id)
	waittest.Until(t, func() bool {
		return value[int](t, b.control, `SELECT count(*) FROM authsync.deliveries WHERE destination_id = $1 AND finished_at IS NULL`, id) == 0
	}, "deliveries do not end: %s", b.logged())
}

// ends counts deliveries by their state.
func (b *testBundle) ends(t *testing.T, id uuid.UUID) string {
	t.Helper()
	return value[string](t, b.control, `
		SELECT coalesce(string_agg(state || ' ' || n, ', ' ORDER BY state), '')
		FROM (SELECT state, count(*) AS n FROM authsync.deliveries WHERE destination_id = $1 GROUP BY state) AS s`, id)
}
