package repair_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

type directory struct{}

func (directory) Lookup(_ context.Context, id uuid.UUID, name string) (project.Endpoint, error) {
	kind, err := registry.Lookup(name)
	return project.Endpoint{ProjectID: id, Provider: kind}, err
}

// testBundle is a project whose events are applied, and whose mirror is repaired.
type testBundle struct {
	control, project *pgxpool.Pool
	projectID        uuid.UUID
	inbox            *inbox.Inbox
	mirrors          *mirror.Mirrors
	ledger           *repair.Ledger
	deliveries       *deliverytest.Deliveries
	beforeRead       func(context.Context) // see heldFeed
	beforeCheck      func(context.Context)
	beforeTombstones func(context.Context) // see heldLedger
	beforeInvited    func(context.Context) // see heldErasure
	erasures         *erasure.Store
	sinks            map[uuid.UUID]*sink // by destination

	mu        sync.Mutex
	url       string
	log       bytes.Buffer
	now       func() time.Time
	providers []string
	running   bool // a run is in the way of a reconcile
	started   []string
}

// Write takes the log.
func (b *testBundle) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.Write(line)
}

func (b *testBundle) logged() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.log.String()
}

func (b *testBundle) set(change func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change()
}

func (b *testBundle) database(context.Context, uuid.UUID) (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.url, nil
}

func (b *testBundle) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now()
}

// start stands in for syncrun.Store.Start.
func (b *testBundle) start(_ context.Context, _ uuid.UUID, name string, o syncrun.Order) (syncrun.Run, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.running:
		return syncrun.Run{}, &syncrun.RunningError{Run: syncrun.Run{Kind: provider.KindBackfill}}
	case name == provider.Clerk:
		return syncrun.Run{}, fault.New(fault.Unsupported, "there is no secret_key")
	}
	b.started = append(b.started, name+" "+o.Kind)
	return syncrun.Run{}, nil
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{
		control: pgtest.Control(t), project: pgtest.Project(t), projectID: uuid.New(), now: time.Now,
		providers: []string{provider.Auth0, provider.Clerk}, sinks: make(map[uuid.UUID]*sink),
	}
	b.url = pgtest.URL(t, b.project)
	_, err := b.control.Exec(t.Context(), `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, b.projectID)
	require.NoError(t, err)
	require.NoError(t, inbox.Maintain(t.Context(), b.control))
	log := slog.New(slog.NewTextHandler(b, nil))
	inserts, err := inbox.NewJobs(log)
	require.NoError(t, err)
	b.inbox = inbox.New(b.control, inserts, inbox.Config{})
	t.Cleanup(func() { require.NoError(t, b.inbox.Close(context.Background())) })
	b.ledger = repair.NewLedger(b.control, b.clock)
	databases := tenantdb.New(tenantdb.Config{URL: b.database, Log: log, Now: b.clock})
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	v := &vault{}
	b.mirrors = mirror.New(mirror.Config{Databases: databases, Ledger: &heldLedger{b.ledger, b}, ErasureKeys: v, Log: log, Now: b.clock})
	b.erasures = &erasure.Store{Pool: b.control, Vault: v, Now: b.clock}
	b.newDeliveries(t)
	client, err := jobs.New(jobs.Config{
		Pool: b.control, Log: slog.New(slog.DiscardHandler),
		Hooks: []rivertype.Hook{b.deliveries.Hook()},
		Workers: []jobs.Register{
			apply.Register(apply.Config{Pool: b.control, Inbox: b.inbox, Databases: databases, Mirrors: b.mirrors, Log: log, Directory: directory{}}, 16),
			repair.Register(repair.Config{
				Pool: b.control, Inbox: b.inbox, Mirrors: b.mirrors, Log: log, Start: b.start, Now: b.clock,
				Providers: func(context.Context, uuid.UUID) ([]string, error) { return b.providers, nil }, Erasures: b.erasures,
			}),
			erasure.Register(erasure.Config{
				Pool: b.control, Vault: v, Mirrors: &heldErasure{b.mirrors, b}, Log: log, SettleAfter: time.Nanosecond, Now: b.clock,
				Pause: func(time.Duration) time.Duration { return 20 * time.Millisecond },
			}),
			b.deliveries.Register,
		},
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	return b
}

// deliver stores messages, each with an event about one of ten users: who is created by the first, and
// changed, deleted and changed again by others.
func (b *testBundle) deliver(t *testing.T, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		require.NoError(t, b.send(t.Context(), i))
	}
}

// send stores one of these messages.
func (b *testBundle) send(ctx context.Context, i int) error {
	kind, at := "user.updated", time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(i)*10*time.Minute).Format(time.RFC3339)
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration((i-1)%10+1) * 10 * time.Minute).Format(time.RFC3339)
	switch {
	case i <= 10:
		kind = "user.created"
	case i%7 == 0:
		kind = "user.deleted"
	}
	_, err := b.inbox.Append(ctx, inbox.Message{ProjectID: b.projectID, Provider: provider.Auth0, Body: fmt.Appendf(nil,
		`{"type": %q, "id": "evt_%d", "time": %q, "data": {"object": {"user_id": "auth0|%d", "email": "u%d@example.com", "updated_at": %[3]q, "created_at": %[6]q}}}`,
		kind, i, at, i%10, i, made)})
	return err
}

// applied waits until all is applied that was delivered.
func (b *testBundle) applied(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		return value[bool](t, b.control, `
			SELECT NOT EXISTS (SELECT FROM authsync.inbox_pending)
			   AND NOT EXISTS (SELECT FROM authsync.job_requests WHERE kind = 'apply_inbox' AND job_id IS NOT NULL)`)
	}, "what was delivered is not applied: %s", b.logged())
	require.Empty(t, value[string](t, b.control, `SELECT coalesce(string_agg(reason, '; '), '') FROM authsync.event_outcomes WHERE outcome = 'failed'`))
}

// repaired waits until the mirror has been repaired so many times.
func (b *testBundle) repaired(t *testing.T, times int) {
	t.Helper()
	waittest.Until(t, func() bool {
		return value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs WHERE finished_at IS NOT NULL`) == times
	}, "the mirror is not repaired: %s", b.logged())
	b.applied(t)
	require.Equal(t, times, value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs`))
}

// retried is repaired, of a repair whose job waits.
func (b *testBundle) retried(t *testing.T, times int) {
	t.Helper()
	waittest.Until(t, func() bool {
		jobstest.Retry(t, b.control, jobs.RepairMirror)
		return value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs WHERE finished_at IS NOT NULL`) == times
	}, "the mirror is not repaired: %s", b.logged())
}

// state is the mirror as its readers see it, and its ledger.
func (b *testBundle) state(t *testing.T) string {
	t.Helper()
	return value[string](t, b.project, `
		SELECT concat_ws(E'\n',
			(SELECT string_agg(u::text, E'\n' ORDER BY u.id) FROM capydb_auth.users AS u),
			(SELECT string_agg(concat_ws(' ', e.event_id, e.inbox_id, e.outcome), E'\n' ORDER BY e.event_id) FROM capydb_auth.processed_events AS e))`)
}

func (b *testBundle) check(t *testing.T) {
	t.Helper()
	var delay *tenantdb.DelayError
	waittest.Until(t, func() bool {
		err := b.mirrors.Check(t.Context(), b.projectID)
		if err != nil { // a call that a busy machine made too slow, for instance: the time for the next one comes
			require.ErrorAs(t, err, &delay)
			b.set(func() {
				next := b.now().Add(delay.After)
				b.now = func() time.Time { return next }
			})
		}
		return err == nil
	}, "the mirror cannot be checked")
}

func value[T any](t *testing.T, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	require.NoError(t, pool.QueryRow(context.Background(), sql, args...).Scan(&v))
	return v
}

func exec(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}
