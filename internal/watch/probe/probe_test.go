package probe_test

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
	"github.com/authsync/authsync/internal/watch"
	"github.com/authsync/authsync/internal/watch/probe"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// account is a provider with event streams.
type account struct {
	userapi.Source // nil: users are not read

	mu        sync.Mutex
	err       error
	failed    int
	disabled  bool
	asked     int // for redeliveries
	enabled   int
	openErr   error
	options   provider.Options
	runs      []syncrun.Run
	startErr  error
	streamErr error
}

func (a *account) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return source.Account{Source: a, Options: a.options}, a.openErr
}

func (a *account) Redeliver(_ context.Context, _ string, r userapi.RedeliverRequest) (userapi.Redelivery, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.err != nil {
		return userapi.Redelivery{}, a.err
	}
	s := userapi.RedeliveryStream{ID: "est_1", Enabled: !a.disabled, Failed: a.failed, Complete: true}
	if !r.DryRun {
		a.asked++
		a.failed, s.Requested = 0, true
	}
	return userapi.Redelivery{Streams: []userapi.RedeliveryStream{s}}, nil
}

func (a *account) Reenable(context.Context, string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.enabled++
	a.disabled = a.streamErr != nil
	return a.streamErr
}

func (a *account) start(_ context.Context, _ uuid.UUID, _ string, o syncrun.Order) (syncrun.Run, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.startErr != nil {
		return syncrun.Run{}, a.startErr
	}
	a.runs = append(a.runs, syncrun.Run{ID: uuid.New(), Kind: o.Kind, State: "running"})
	return a.runs[len(a.runs)-1], nil
}

func (a *account) latest(context.Context, uuid.UUID, string, string) (syncrun.Run, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[len(a.runs)-1], nil
}

// finish ends the newest run.
func (a *account) finish(state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.runs[len(a.runs)-1].State, a.runs[len(a.runs)-1].FinishedAt = state, &now
}

// testBundle is a server with a project, its database and an integration of Auth0.
type testBundle struct {
	pool    *pgxpool.Pool
	account *account
	watcher *watch.Watcher
	worker  *probe.Worker
	shop    uuid.UUID
	urls    map[uuid.UUID]string

	mu sync.Mutex
	at time.Time
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.Control(t), account: &account{}, urls: map[uuid.UUID]string{}, at: time.Now().UTC().Truncate(time.Second)}
	require.NoError(t, inbox.Maintain(t.Context(), b.pool))
	b.exec(t, `INSERT INTO authsync.river_leader (elected_at, expires_at, leader_id) VALUES ('infinity', 'infinity', 'w')`)
	b.shop = b.project(t, "shop", pgtest.URL(t, b.pool))
	b.exec(t, `INSERT INTO authsync.integrations (project_id, provider, credentials_sealed) VALUES ($1, 'auth0', '')`, b.shop)
	b.watcher = watch.New(watch.Config{Pool: b.pool, Now: b.now})
	b.worker = probe.NewWorker(probe.Config{
		Pool: b.pool, DatabaseURL: func(_ context.Context, id uuid.UUID) (string, error) { return b.urls[id], nil },
		Accounts: b.account, Start: b.account.start, Latest: b.account.latest, Now: b.now,
	})
	return b
}

func (b *testBundle) project(t *testing.T, name, url string) (id uuid.UUID) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), `INSERT INTO authsync.projects (name, database_url_sealed) VALUES ($1, '') RETURNING id`, name).Scan(&id))
	b.urls[id] = url
	return id
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

// look probes and evaluates after a while, in which nobody was away, and returns the open problems as kind and project.
func (b *testBundle) look(t *testing.T, after time.Duration) (open []string) {
	t.Helper()
	b.mu.Lock()
	b.at = b.at.Add(after)
	b.mu.Unlock()
	require.NoError(t, b.worker.Look(t.Context()))
	_, err := b.watcher.Evaluate(t.Context())
	require.NoError(t, err)
	problems, err := watch.Open(t.Context(), b.pool, nil)
	require.NoError(t, err)
	for _, p := range problems {
		open = append(open, p.Kind+" "+*p.Project)
	}
	return open
}

// project databases need no mirror to be probed.
func TestADatabaseThatIsDown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.urls[b.shop] = pgtest.URL(t, pgtest.Project(t))
	require.Empty(t, b.look(t, 0))
	good := b.urls[b.shop]
	b.urls[b.shop] = "postgres://u:secret@127.0.0.1:1/none"
	require.Empty(t, b.look(t, 2*time.Minute), "a restart is no problem")
	require.Empty(t, b.look(t, 30*time.Second))
	require.Equal(t, []string{"project_database_down shop"}, b.look(t, 30*time.Second))
	problems, err := watch.Open(t.Context(), b.pool, &b.shop)
	require.NoError(t, err)
	require.NotContains(t, problems[0].Detail, "secret")
	require.Contains(t, problems[0].Next, "authsync projects update shop --database-url-file FILE")
	require.Equal(t, []string{"project_database_down shop"}, b.look(t, 2*time.Minute), "still")
	again, err := watch.Open(t.Context(), b.pool, &b.shop)
	require.NoError(t, err)
	require.Equal(t, problems[0].ID, again[0].ID, "it is the same problem")
	require.True(t, again[0].LastSeenAt.After(problems[0].LastSeenAt))
	b.urls[b.shop] = good
	require.Empty(t, b.look(t, 2*time.Minute))
}

// Databases that take connections and never answer delay neither the evaluation nor the probes of others.
func TestHostileDatabasesDelayNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.urls[b.shop] = pgtest.URL(t, pgtest.Project(t))
	require.Empty(t, b.look(t, 0))
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, silent.Close()) })
	for n := range 20 { // more than run at once
		b.project(t, fmt.Sprintf("hostile%d", n), "postgres://u:p@"+silent.Addr().String()+"/d?sslmode=disable")
	}
	b.urls[b.shop] = "postgres://u:p@127.0.0.1:1/none"
	b.mu.Lock()
	b.at = b.at.Add(2 * time.Minute)
	b.mu.Unlock()
	probing, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- b.worker.Look(probing) }()
	held, err := silent.Accept() // from now on it is probing
	require.NoError(t, err)
	t.Cleanup(func() { _ = held.Close() })
	// The evaluation reads what was found so far.
	_, err = b.watcher.Evaluate(t.Context())
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-ended, "it ends at once, without recording what it did not find out")
	var recorded int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.probes b JOIN authsync.projects p ON p.id = b.project_id
		WHERE b.subject = 'database' AND p.name <> 'shop' AND b.probed_at IS NOT NULL`).Scan(&recorded))
	require.Zero(t, recorded)
	// Those that failed come last: the good ones are found first even if the job has no time for the rest.
	b.exec(t, `UPDATE authsync.probes AS b SET failing_since = now(), consecutive_failures = 1, next_probe_at = '-infinity' FROM authsync.projects AS p
		WHERE p.id = b.project_id AND p.name <> 'shop' AND b.subject = 'database'`)
	b.exec(t, `UPDATE authsync.probes AS b SET next_probe_at = '-infinity', failing_since = NULL, consecutive_failures = 0 FROM authsync.projects AS p
		WHERE p.id = b.project_id AND p.name = 'shop'`)
	probing, cancel = context.WithCancel(t.Context())
	go func() { ended <- b.worker.Look(probing) }()
	waittest.Until(t, func() bool {
		var failures int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT consecutive_failures FROM authsync.probes WHERE project_id = $1 AND subject = 'database'`, b.shop).Scan(&failures))
		return failures > 0
	})
	cancel()
	require.NoError(t, <-ended)
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.probes WHERE subject = 'database' AND probed_at IS NOT NULL`).Scan(&recorded))
	require.Equal(t, 1, recorded, "none of those that do not answer came before it")
}

func TestACertificateThatExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.urls[b.shop] = pgtest.URL(t, pgtest.Project(t))
	require.Empty(t, b.look(t, 0))
	b.exec(t, `UPDATE authsync.probes SET certificate_expires_at = $1, next_probe_at = 'infinity' WHERE subject = 'database'`, b.now().Add(13*24*time.Hour))
	require.Equal(t, []string{"certificate_expiring shop"}, b.look(t, time.Minute))
	b.exec(t, `UPDATE authsync.probes SET certificate_expires_at = $1 WHERE subject = 'database'`, b.now().Add(300*24*time.Hour))
	require.Empty(t, b.look(t, time.Minute))
}

type lack struct{ error }

func (lack) LacksPermission() string { return "read:event_streams" }
func (l lack) Unwrap() error         { return l.error }

func TestCredentialsThatTheProviderRejects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.urls[b.shop] = pgtest.URL(t, pgtest.Project(t))
	b.account.err = lack{fault.New(fault.CredentialsRefused, "it lacks a permission")}
	require.Empty(t, b.look(t, 0), "whoever may not look is not wrong")
	b.account.err = fault.New(fault.CredentialsRefused, "unknown client")
	require.Equal(t, []string{"credentials_rejected shop"}, b.look(t, 5*time.Minute))
	b.account.err = fault.New(fault.ProviderUnavailable, "503")
	require.Equal(t, []string{"credentials_rejected shop"}, b.look(t, 5*time.Minute), "nothing new is known")
	b.account.err = nil
	require.Empty(t, b.look(t, 5*time.Minute))
}

func TestAStoppedStreamIsHealedAsFarAsAllowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.urls[b.shop] = pgtest.URL(t, pgtest.Project(t))
	require.Empty(t, b.look(t, 0))
	b.account.failed, b.account.disabled = 3, true
	stopped := []string{"stream_stopped shop"}
	require.Equal(t, stopped, b.look(t, 5*time.Minute))
	require.Equal(t, 1, b.account.asked)
	require.Zero(t, b.account.enabled, "the option does not allow it")
	b.account.failed = 1
	require.Equal(t, stopped, b.look(t, time.Minute))
	require.Equal(t, 1, b.account.asked, "those that were asked for may still come")
	require.Empty(t, b.account.runs, "while it is disabled more is lost")

	b.account.options.Heal = &provider.HealOptions{Reenable: true}
	b.account.streamErr = fault.New(fault.ProviderError, "5000 deliveries are failed")
	require.Equal(t, stopped, b.look(t, 10*time.Minute))
	require.Equal(t, 2, b.account.asked)
	problems, err := watch.Open(t.Context(), b.pool, nil)
	require.NoError(t, err)
	require.Contains(t, problems[0].Detail, "authsync could not heal it: 5000 deliveries are failed")
	b.account.streamErr = nil
	require.Equal(t, stopped, b.look(t, time.Minute))
	require.False(t, b.account.disabled)

	require.Equal(t, stopped, b.look(t, time.Minute), "it is open until what was lost is there")
	require.Len(t, b.account.runs, 1)
	require.Equal(t, provider.KindReconcile, b.account.runs[0].Kind)
	require.Equal(t, stopped, b.look(t, time.Minute))
	b.account.finish("failed")
	require.Equal(t, stopped, b.look(t, time.Minute))
	require.Equal(t, stopped, b.look(t, 5*time.Minute))
	require.Len(t, b.account.runs, 2, "another one follows")
	b.account.finish(syncrun.Done)
	require.Empty(t, b.look(t, time.Minute))
	require.Empty(t, b.look(t, 5*time.Minute))
	require.Len(t, b.account.runs, 2)
	var rows int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.problems`).Scan(&rows))
	require.Equal(t, 1, rows)
}

// After a silence the mirror is reconciled, whatever the provider can tell of its streams.
func TestAGapIsReconciled(t *testing.T) {
	t.Parallel()
	for name, openErr := range map[string]error{"WithStreams": nil, "Without": fault.New(fault.Unsupported, "no streams")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.account.openErr = openErr
			b.urls[b.shop] = pgtest.URL(t, pgtest.Project(t))
			b.exec(t, `INSERT INTO authsync.integration_activity (project_id, provider, first_message_at, last_message_at, last_inbox_id, usual_gaps, learned_at, silent_at)
				VALUES ($1, 'auth0', '2026-01-01', $2, 1, array_fill(0::real, ARRAY[168]), $2, $2)`, b.shop, b.now())
			b.look(t, 0)
			for range 18 { // the time that providers get after a pause
				b.look(t, 2*time.Minute)
			}
			require.Equal(t, []string{"silence shop"}, b.look(t, 5*time.Minute/2))
			b.look(t, 5*time.Minute/2)
			b.look(t, 5*time.Minute/2)
			require.Empty(t, b.account.runs, "it is silent still")
			b.exec(t, `UPDATE authsync.integration_activity SET silent_at = NULL`)
			require.Empty(t, b.look(t, 5*time.Minute/2))
			b.look(t, 5*time.Minute/2)
			b.look(t, 5*time.Minute/2)
			require.Len(t, b.account.runs, 1)
			b.account.finish(syncrun.Done)
			b.look(t, 5*time.Minute/2)
			var open bool
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT gap_since IS NOT NULL FROM authsync.probes WHERE subject = 'auth0'`).Scan(&open))
			require.False(t, open)
		})
	}
}
