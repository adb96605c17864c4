package syncrun_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// tenant is a provider account in memory, with users 0 to users-1.
type tenant struct {
	users, pageSize int

	mu     sync.Mutex
	opened int
	// before is asked before each page; what it returns takes the page's place.
	before func(cursor string) (*userapi.Page, error)
	// openErr is what opening the account says.
	openErr error
	silent  bool // it does not say how many users there are
	digest  string
	closed  int
	served  []int // which source gave each page
}

func (a *tenant) Open(context.Context, uuid.UUID, string) (source.Account, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened++
	return source.Account{Source: &fakeSource{a, a.opened}, Importer: clerk.New(), Digest: a.digest}, a.openErr
}

// fakeSource is an account that was opened, as the nth.
type fakeSource struct {
	*tenant

	n int
}

func (s *fakeSource) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	s.mu.Lock()
	s.served = append(s.served, s.n)
	s.mu.Unlock()
	return s.tenant.Page(ctx, cursor)
}

func (a *tenant) Close() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed++
	return nil
}

func (a *tenant) lock(do func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	do()
}

func (a *tenant) timesOpened() (n int) {
	a.lock(func() { n = a.opened })
	return n
}

func (a *tenant) timesClosed() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.closed
}

// requireClosed waits until what was opened is closed, which follows the end of the run.
func (a *tenant) requireClosed(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.opened == a.closed
	}, "what was opened was not closed")
}

func (a *tenant) pagesServed() []int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.served
}

func (a *tenant) Count(context.Context) (int64, bool, error) { return int64(a.users), !a.silent, nil }

func (a *tenant) Page(ctx context.Context, cursor string) (userapi.Page, error) {
	if err := ctx.Err(); err != nil {
		return userapi.Page{}, err
	}
	a.mu.Lock()
	before := a.before
	a.mu.Unlock()
	if before != nil {
		if page, err := before(cursor); page != nil || err != nil {
			if page == nil {
				page = &userapi.Page{}
			}
			return *page, err
		}
	}
	return a.page(cursor), nil
}

func (a *tenant) page(cursor string) userapi.Page {
	first := 0
	if cursor != "" {
		first, _ = strconv.Atoi(cursor)
	}
	last := min(first+a.pageSize, a.users)
	page := userapi.Page{}
	for i := first; i < last; i++ {
		page.Users = append(page.Users, userapi.User{Object: object(i), FetchedAt: time.Now()})
	}
	if last < a.users {
		page.Next = strconv.Itoa(last)
	}
	return page
}

func (a *tenant) User(context.Context, string) (userapi.User, error) {
	return userapi.User{}, userapi.ErrGone
}

// object is user i as Clerk has it.
func object(i int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{"id": "user_%06d", "object": "user", "first_name": "User", "last_name": "%d",
		"primary_email_address_id": "idn_1", "email_addresses": [{"id": "idn_1", "email_address": "user%d@example.com"}],
		"created_at": 1760000000000, "updated_at": %d}`, i, i, i, 1760000000000+i))
}

type testBundle struct {
	control, project *pgxpool.Pool
	projectID        uuid.UUID
	provider         string // of the account
	account          *tenant
	accounts         source.Accounts // the tenant, unless a test has another
	store            *syncrun.Store
	mirrors          *mirror.Mirrors
	organizations    int              // of the account of a worker process
	clock            func() time.Time // of the workers; nil is PostgreSQL's
}

// setup makes a project whose provider has so many users; no worker runs yet.
func setup(tb testing.TB, users, pageSize int) *testBundle {
	tb.Helper()
	b := &testBundle{
		control: pgtest.Control(tb), project: pgtest.Project(tb), projectID: uuid.New(), provider: provider.Clerk,
		account: &tenant{users: users, pageSize: pageSize},
	}
	_, err := b.control.Exec(tb.Context(),
		`INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, b.projectID)
	require.NoError(tb, err)
	b.accounts = b.account
	b.store = syncrun.NewStore(b.control, b.account)
	url := pgtest.URL(tb, b.project)
	databases := newDatabases(url)
	tb.Cleanup(func() { require.NoError(tb, databases.Close(context.Background())) })
	b.mirrors = mirror.New(mirror.Config{Databases: databases})
	return b
}

// integrate lets runs read from a provider by what is stored as its credentials, as the server does, and
// starts a worker. A nil clock is that of the machine.
func (b *testBundle) integrate(t *testing.T, name string, c provider.Credentials, o provider.Options, clock *userapitest.Clock) {
	t.Helper()
	accounts := &source.Integrations{
		Credentials: func(context.Context, uuid.UUID, string) (provider.Credentials, provider.Options, error) {
			return c, o, nil
		},
		Deps: func(ctx context.Context, _ uuid.UUID) (userapi.Deps, error) {
			deps := userapi.Deps{Transport: userapitest.Transport(), Limits: userapi.NewLimits(), MaxPause: time.Hour}
			if clock != nil {
				deps.Now, deps.Sleep = clock.Now, clock.Sleep
			}
			deps.SQL = func(_ provider.Secret, tables provider.UserTables) (userapi.Source, error) {
				pool, err := pgdb.Open(context.WithoutCancel(ctx), pgtest.URL(t, b.project), pgdb.Options{MaxConns: 1})
				return sqlsource.New(sqlsource.Config{Pool: pool, Owned: true, Tables: tables}), err
			}
			return deps, nil
		},
		Providers: func(context.Context, uuid.UUID) ([]string, error) { return []string{name}, nil },
	}
	b.provider, b.accounts, b.store = name, accounts, syncrun.NewStore(b.control, accounts)
	b.work(t, b.mirrors, 0)
}

func newDatabases(url string) *tenantdb.Databases {
	return tenantdb.New(tenantdb.Config{
		URL:         func(context.Context, uuid.UUID) (string, error) { return url, nil },
		LockTimeout: 4 * time.Second,
	})
}

// work starts a worker that keeps no pause for longer than some milliseconds. After the test it has closed all that it opened.
func (b *testBundle) work(t *testing.T, mirrors syncrun.Mirrors, slice time.Duration) {
	t.Helper()
	client, end, err := newClient(b.control, syncrun.Config{
		Pool: b.control, Accounts: b.accounts, Mirrors: mirrors, Log: slog.New(slog.DiscardHandler), Slice: slice,
		Retry: func(pause time.Duration) time.Duration { return min(pause, 20*time.Millisecond) }, Now: b.clock,
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() {
		require.NoError(t, client.StopAndCancel(context.Background()))
		end()
	})
}

// newClient returns a client that is not started yet, and what ends the worker after it.
func newClient(pool *pgxpool.Pool, c syncrun.Config, periodic ...*river.PeriodicJob) (client *jobs.Client, end func(), err error) {
	client, err = jobs.New(jobs.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler), Periodic: periodic, FetchPoll: 5 * time.Millisecond,
		Timeout: waittest.Bound, // a worker may be stopped for as long as a crowded machine takes to do its work elsewhere
		Workers: []jobs.Register{func(workers *river.Workers, queues map[string]river.QueueConfig) {
			end = syncrun.Register(c, workers, queues)
			queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: 1}
		}},
	})
	return client, end, err
}

func (b *testBundle) start(tb testing.TB) syncrun.Run {
	tb.Helper()
	run, err := b.store.Start(tb.Context(), b.projectID, provider.Clerk, syncrun.Order{Kind: provider.KindBackfill})
	require.NoError(tb, err)
	return run
}

// eventually waits until the newest run is as it should be.
func (b *testBundle) eventually(t *testing.T, is func(syncrun.Run) bool) (run syncrun.Run) {
	t.Helper()
	waittest.Until(t, func() bool {
		var err error
		run, err = b.store.Latest(t.Context(), b.projectID, provider.Clerk, provider.KindBackfill)
		require.NoError(t, err)
		return is(run)
	}, "the run stays as it is: %+v", &run)
	return run
}

func (b *testBundle) ends(t *testing.T, state string) syncrun.Run {
	t.Helper()
	run := b.eventually(t, func(r syncrun.Run) bool { return r.Finished() })
	require.Equal(t, state, run.State, "%+v", run)
	return run
}

// mirrored reads what the mirror holds: users, changes, changes that made a user, ledger.
func (b *testBundle) mirrored(tb testing.TB) string {
	tb.Helper()
	return one(tb, b.project, `
		SELECT concat_ws(' ', (SELECT count(*) FROM capydb_auth.users), (SELECT count(*) FROM capydb_auth.user_changes),
			(SELECT count(DISTINCT user_id) FROM capydb_auth.user_changes WHERE kind = 'created'),
			(SELECT count(*) FROM capydb_auth.processed_events))`)
}

func one(tb testing.TB, pool *pgxpool.Pool, query string, args ...any) string {
	tb.Helper()
	var text string
	require.NoError(tb, pool.QueryRow(tb.Context(), query, args...).Scan(&text))
	return text
}
