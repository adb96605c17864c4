package watch_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/watch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBundle is a control database with a worker, a project and an integration, all of it well, and a clock.
type testBundle struct {
	pool *pgxpool.Pool
	shop uuid.UUID
	mu   sync.Mutex
	at   time.Time
	skew time.Duration // of this machine's clock

	sizeLimit int64
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	// The database's own clock is in some views, so ours goes on from it.
	b := &testBundle{pool: pgtest.Control(t), at: time.Now().UTC().Truncate(time.Second)}
	require.NoError(t, inbox.Maintain(t.Context(), b.pool))
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('shop', '') RETURNING id`).Scan(&b.shop))
	b.exec(t, `INSERT INTO authsync.integrations (project_id, provider, credentials_sealed, updated_at) VALUES ($1, 'clerk', '', $2)`, b.shop, b.at)
	b.exec(t, `INSERT INTO authsync.river_leader (elected_at, expires_at, leader_id) VALUES ('infinity', 'infinity', 'w')`)
	return b
}

func (b *testBundle) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	_, err := b.pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

func (b *testBundle) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *testBundle) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = b.at.Add(d)
}

func (b *testBundle) config(t *testing.T) watch.Config {
	t.Helper()
	return watch.Config{
		Pool: b.pool, Now: b.now, Clock: func() time.Time { return time.Now().Add(b.skew) }, Log: slog.New(slog.DiscardHandler),
		SizeLimit: b.sizeLimit,
	}
}

// evaluate evaluates once, half a minute later.
func (b *testBundle) evaluate(t *testing.T, w *watch.Watcher) {
	t.Helper()
	b.pass(watch.Every)
	evaluated, err := w.Evaluate(t.Context())
	require.NoError(t, err)
	require.True(t, evaluated)
}

// list returns the problems in a state, oldest first.
func (b *testBundle) list(t *testing.T, state string) []watch.Problem {
	t.Helper()
	all, next, err := watch.Reader{Pool: b.pool}.List(context.Background(), watch.Filter{State: state}, "", 100)
	require.NoError(t, err)
	require.Empty(t, next)
	return all
}

// open returns the kinds of the open problems.
func (b *testBundle) open(t *testing.T) (kinds []string) {
	t.Helper()
	for _, p := range b.list(t, watch.StateOpen) {
		kinds = append(kinds, p.Kind)
	}
	return kinds
}
