package refresh_test

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// stored is what an integration has.
type stored struct {
	credentials provider.Credentials
	options     provider.Options
}

type testBundle struct {
	control, project *pgxpool.Pool
	projectID        uuid.UUID
	clock            *userapitest.Clock
	mirrors          *mirror.Mirrors
	accounts         *source.Shared
	one              *refresh.One
	jobs             *river.Client[pgx.Tx]
	queue            *refresh.Queue
	readTime         time.Duration
	tables           func(provider.Secret, provider.UserTables) (userapi.Source, error) // opens those of Better Auth

	mu           sync.Mutex
	integrations map[string]stored
	pauses       []time.Duration // that the worker wanted to keep
}

// setup makes a project without integrations; no worker runs yet.
func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{
		control: pgtest.Control(t), project: pgtest.Project(t), projectID: uuid.New(),
		clock: userapitest.NewClock(), integrations: map[string]stored{},
	}
	_, err := b.control.Exec(t.Context(),
		`INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, b.projectID)
	require.NoError(t, err)
	url, log := pgtest.URL(t, b.project), slog.New(slog.DiscardHandler)
	databases := tenantdb.New(tenantdb.Config{URL: func(context.Context, uuid.UUID) (string, error) { return url, nil }})
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	b.mirrors = mirror.New(mirror.Config{Databases: databases})
	b.accounts = source.NewShared(&source.Integrations{
		Credentials: b.credentials, Providers: b.providers,
		Deps: func(context.Context, uuid.UUID) (userapi.Deps, error) {
			deps := b.clock.Deps()
			deps.SQL = b.tables
			return deps, nil
		},
	})
	t.Cleanup(b.accounts.Close)
	inserts, err := inbox.NewJobs(log)
	require.NoError(t, err)
	b.jobs, b.queue = inserts, refresh.NewQueue(b.accounts)
	b.one = &refresh.One{Pool: b.control, Accounts: b.accounts, Mirror: b.mirrors, Providers: b.providers}
	return b
}

func (b *testBundle) credentials(_ context.Context, _ uuid.UUID, name string) (provider.Credentials, provider.Options, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	i, ok := b.integrations[name]
	if !ok {
		return provider.Credentials{}, provider.Options{}, project.ErrNoIntegration
	}
	return i.credentials, i.options, nil
}

func (b *testBundle) providers(context.Context, uuid.UUID) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Keys(b.integrations)), nil
}

// store sets an integration; nil removes it.
func (b *testBundle) store(name string, i *stored) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.integrations, name)
	if i != nil {
		b.integrations[name] = *i
	}
}

// auth0 makes a tenant with so many users and stores its credentials.
func (b *testBundle) auth0(t *testing.T, users int) *demoprovider.Auth0 {
	t.Helper()
	fake := demoprovider.NewAuth0(demoprovider.NewAccount(users), b.clock.Now)
	b.store(provider.Auth0, &stored{
		provider.Credentials{Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: demoprovider.Auth0ClientSecret},
		provider.Options{BaseURL: userapitest.Start(t, fake)},
	})
	return fake
}

// clerk does the same with an instance of Clerk.
func (b *testBundle) clerk(t *testing.T, users int) *demoprovider.Clerk {
	t.Helper()
	fake := demoprovider.NewClerk(demoprovider.NewAccount(users), b.clock.Now)
	b.store(provider.Clerk, &stored{provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: userapitest.Start(t, fake)}})
	return fake
}

// work starts a worker that keeps no pause for longer than some milliseconds, and
// notes how long it would have been.
func (b *testBundle) work(t *testing.T, mirrors refresh.Mirror) {
	t.Helper()
	config := refresh.Config{
		Pool: b.control, Queue: b.queue, Accounts: b.accounts, Mirror: mirrors, Log: slog.New(slog.DiscardHandler), ReadTime: b.readTime,
		Retry: func(pause time.Duration) time.Duration {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.pauses = append(b.pauses, pause)
			return min(pause, 10*time.Millisecond)
		},
	}
	client, err := jobs.New(jobs.Config{
		Pool: b.control, Log: config.Log, FetchPoll: 5 * time.Millisecond,
		Workers: []jobs.Register{func(workers *river.Workers, queues map[string]river.QueueConfig) {
			refresh.Register(config, workers, queues)
		}},
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
}

func (b *testBundle) kept() []time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.pauses)
}

// want asks for users of Auth0 in a transaction of its own.
func (b *testBundle) want(t *testing.T, ids ...string) {
	t.Helper()
	require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
		return b.queue.Request(t.Context(), tx, b.projectID, provider.Auth0, ids)
	}))
}

// quiet waits until nothing is wanted any more and no job is left.
func (b *testBundle) quiet(t *testing.T) {
	t.Helper()
	b.becomes(t, b.control, "0 0 0", `
		SELECT concat_ws(' ', (SELECT count(*) FROM authsync.refresh_requests), (SELECT count(*) FROM authsync.job_requests WHERE job_id IS NOT NULL),
			(SELECT count(*) FROM authsync.river_job WHERE finalized_at IS NULL))`)
}

// becomes waits until a query gives a text.
func (b *testBundle) becomes(t *testing.T, pool *pgxpool.Pool, want, query string) {
	t.Helper()
	var got string
	waittest.Until(t, func() bool {
		got = one(t, pool, query)
		return got == want
	}, "it does not become %q: %s", want, query)
}

func one(t *testing.T, pool *pgxpool.Pool, query string, args ...any) string {
	t.Helper()
	var text string
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&text))
	return text
}

// exec changes the mirror behind everybody's back.
func (b *testBundle) exec(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := b.project.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}
