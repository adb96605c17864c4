package syncrun_test

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// tenants are the accounts of several projects.
type tenants map[uuid.UUID]source.Accounts

func (t tenants) Open(ctx context.Context, projectID uuid.UUID, providerName string) (source.Account, error) {
	return t[projectID].Open(ctx, projectID, providerName)
}

// beside makes projects beside that of the bundle, each with a database and an account of its own.
func (b *testBundle) beside(t *testing.T, n int, newAccount func() *tenant) []uuid.UUID {
	t.Helper()
	all := tenants{b.projectID: b.account}
	urls := map[uuid.UUID]string{b.projectID: pgtest.URL(t, b.project)}
	var others []uuid.UUID
	for range n {
		id := uuid.New()
		_, err := b.control.Exec(t.Context(), `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1::uuid, 'p' || $1::text, '')`, id)
		require.NoError(t, err)
		all[id], urls[id] = newAccount(), pgtest.URL(t, pgtest.Project(t))
		others = append(others, id)
	}
	b.accounts = all
	databases := tenantdb.New(tenantdb.Config{URL: func(_ context.Context, id uuid.UUID) (string, error) { return urls[id], nil }})
	t.Cleanup(func() { require.NoError(t, databases.Close(context.Background())) })
	b.mirrors = mirror.New(mirror.Config{Databases: databases})
	b.store = syncrun.NewStore(b.control, b.accounts)
	return others
}

func (b *testBundle) startFor(t *testing.T, projects ...uuid.UUID) {
	t.Helper()
	for _, id := range projects {
		_, err := b.store.Start(t.Context(), id, provider.Clerk, syncrun.Order{Kind: provider.KindBackfill})
		require.NoError(t, err)
	}
}

// A provider that does not answer holds up nobody but its own project: another
// project's backfill is done while none of them has ended as much as a page.
func TestHangingProvidersHoldUpNobodyElse(t *testing.T) {
	t.Parallel()
	for name, n := range map[string]int{"Four": 4, "Twenty": 20} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, 100, 10)
			release := make(chan struct{})
			var hanging sync.WaitGroup
			hanging.Add(n)
			var answered atomic.Int64
			others := b.beside(t, n, func() *tenant {
				var once sync.Once
				return &tenant{users: 100, pageSize: 10, before: func(string) (*userapi.Page, error) {
					once.Do(hanging.Done)
					<-release
					answered.Add(1)
					return nil, nil
				}}
			})
			b.startFor(t, others...)
			b.work(t, b.mirrors, 0)
			t.Cleanup(func() { close(release) }) // before the workers are stopped
			hanging.Wait()
			b.start(t)
			require.Equal(t, int64(100), b.ends(t, syncrun.Done).Read)
			require.Zero(t, answered.Load())
		})
	}
}

// Where more runs are under way than there are places, turns go round by the page.
func TestManyRunsTakeTurns(t *testing.T) {
	t.Parallel()
	const workers, others, pages = 2, 6, 10
	b := setup(t, 10*pages, 10)
	var served atomic.Int64 // pages of the others
	ids := b.beside(t, others, func() *tenant {
		a := &tenant{users: 1_000_000, pageSize: 10}
		a.before = func(string) (*userapi.Page, error) {
			served.Add(1)
			return nil, nil
		}
		return a
	})
	b.startFor(t, ids...)
	client, _, err := newClient(b.control, syncrun.Config{
		Pool: b.control, Accounts: b.accounts, Mirrors: b.mirrors, Log: slog.New(slog.DiscardHandler), Workers: workers,
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	waittest.Until(t, func() bool { return served.Load() > others }, "all are under way")

	var before, atEnd int64 // from its first page on: how long its job waited to begin is the machine's affair
	b.account.before = func(cursor string) (*userapi.Page, error) {
		switch cursor {
		case "":
			before = served.Load()
		case "90":
			atEnd = served.Load()
		}
		return nil, nil
	}
	b.start(t)
	b.ends(t, syncrun.Done)
	// Each of its turns may have to wait for one turn of each other, and for those that are under way.
	// A job that was put back a moment later than another may have to wait for it twice; without turns it would be
	// for as long as the others last.
	require.LessOrEqual(t, atEnd-before, int64(4*(pages+1)*(others+workers)), "pages of others before its own ten were read")
}
