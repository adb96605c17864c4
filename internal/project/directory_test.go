package project_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestAProofNamesItsSecretWhereverItStands(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.auth0(t, shop.ID, "old-secret-of-auth0")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "auth0", credentials(t, `{"webhook_signing_secret": {"add": "`+long("new-secret-of-auth0")+`"}}`), nil)
	require.NoError(t, err)
	stored, err := b.store.FindIntegration(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	d := b.directory(t, project.DirectoryConfig{})
	require.NoError(t, d.WaitLoaded(t.Context()))
	e, err := d.Lookup(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.Equal(t, []string{secretName(t, e, "new-secret-of-auth0"), secretName(t, e, "old-secret-of-auth0")}, stored.SecretNames)
	sum := sha256.Sum256([]byte(long("old-secret-of-auth0")))
	require.Equal(t, hex.EncodeToString(sum[:])[:4], stored.SecretNames[1])
}

func TestChangesAreFollowedWithinASecondByEveryProcess(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.auth0(t, shop.ID, "old-secret-of-auth0")
	d := b.directory(t, project.DirectoryConfig{})
	require.NoError(t, d.WaitLoaded(t.Context()))
	eventually := func(condition func() bool) {
		t.Helper()
		waittest.Until(t, condition)
	}

	e, err := d.Lookup(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.True(t, accepts(e, "old-secret-of-auth0"))

	b.auth0(t, shop.ID, "new-secret-of-auth0")
	eventually(func() bool {
		e, err := d.Lookup(t.Context(), shop.ID, "auth0")
		return err == nil && accepts(e, "new-secret-of-auth0") && !accepts(e, "old-secret-of-auth0")
	})

	_, err = b.store.PutIntegration(t.Context(), shop.ID, "auth0", nil, json.RawMessage(`{"absent_fields":"clear"}`))
	require.NoError(t, err)
	eventually(func() bool {
		o, err := d.Options(t.Context(), shop.ID, "auth0")
		return err == nil && o.AbsentFields == provider.ClearAbsent
	})

	_, err = b.store.UpdateProject(t.Context(), shop.ID, project.ProjectChange{DatabaseURL: new("postgres://u:p@new.example.com/shop?sslmode=disable")})
	require.NoError(t, err)
	eventually(func() bool {
		url, err := d.Database(t.Context(), shop.ID)
		return err == nil && url == "postgres://u:p@new.example.com/shop?sslmode=disable"
	})

	require.NoError(t, b.store.DeleteIntegration(t.Context(), shop.ID, "auth0"))
	eventually(func() bool {
		_, err := d.Lookup(t.Context(), shop.ID, "auth0")
		return err != nil
	})
	_, err = d.Lookup(t.Context(), shop.ID, "auth0")
	require.ErrorIs(t, err, project.ErrNoIntegration)

	require.NoError(t, b.store.DeleteProject(t.Context(), shop.ID))
	eventually(func() bool {
		_, err := d.Database(t.Context(), shop.ID)
		return err != nil
	})
	_, err = d.Database(t.Context(), shop.ID)
	require.ErrorIs(t, err, project.ErrNoProject)
}

func TestWhatIsNewIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	d := b.directory(t, project.DirectoryConfig{Interval: never, MinGap: time.Millisecond})
	require.NoError(t, d.WaitLoaded(t.Context()))

	for i := range 10 {
		p := b.project(t, fmt.Sprint("p", i))
		url, err := d.Database(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, someURL, url)

		_, err = d.Lookup(t.Context(), p.ID, "auth0")
		require.ErrorIs(t, err, project.ErrNoIntegration)
		b.auth0(t, p.ID, "secret-of-auth0")
		for _, name := range []string{"auth0", "AUTH0"} {
			e, err := d.Lookup(t.Context(), p.ID, name)
			require.NoError(t, err)
			require.Equal(t, p.ID, e.ProjectID)
			require.Equal(t, "auth0", e.Provider.Name())
		}
	}
	_, err := d.Lookup(t.Context(), uuid.New(), "auth0")
	require.ErrorIs(t, err, project.ErrNoProject)
}

// A look that had read the database before the project was made must not
// answer a question asked after it.
func TestMissIsNotAnsweredByALookThatBeganBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	pool, watcher := watchedPool(t, b)
	d := b.directory(t, project.DirectoryConfig{Pool: pool, Interval: never, MinGap: time.Millisecond})
	require.NoError(t, d.WaitLoaded(t.Context()))

	h := &hold{reached: make(chan struct{}), release: make(chan struct{})}
	watcher.hold.Store(h)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _, _ = d.Lookup(t.Context(), uuid.New(), "auth0") }) // begins a look
	<-h.reached

	shop := b.project(t, "shop")
	answer := make(chan error, 1)
	wg.Go(func() {
		_, err := d.Database(t.Context(), shop.ID)
		answer <- err
	})
	time.AfterFunc(50*time.Millisecond, func() { close(h.release) }) // time enough to ask
	require.NoError(t, <-answer)
}

func TestFreshLookupSeesAChangeAtOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.auth0(t, shop.ID, "old-secret-of-auth0")
	d := b.directory(t, project.DirectoryConfig{Interval: never})
	require.NoError(t, d.WaitLoaded(t.Context()))

	b.auth0(t, shop.ID, "new-secret-of-auth0")
	e, err := d.Lookup(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.True(t, accepts(e, "old-secret-of-auth0"), "what is known is answered from memory")
	e, err = d.LookupFresh(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.True(t, accepts(e, "new-secret-of-auth0"))
}

func TestFloodOfUnknownProjectsCostsFewQueries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.auth0(t, shop.ID, "secret-of-auth0")
	pool, watcher := watchedPool(t, b)
	d := b.directory(t, project.DirectoryConfig{Pool: pool, Interval: never, MinGap: 20 * time.Millisecond})
	require.NoError(t, d.WaitLoaded(t.Context()))

	before, begun := watcher.queries.Load(), time.Now()
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			for range 10 {
				if _, err := d.Lookup(t.Context(), uuid.New(), "auth0"); !errors.Is(err, project.ErrNoProject) {
					t.Error(err)
				}
			}
		})
	}
	for range 1000 {
		_, err := d.Lookup(t.Context(), shop.ID, "auth0")
		require.NoError(t, err)
	}
	wg.Wait()
	queries, allowed := watcher.queries.Load()-before, int64(time.Since(begun)/(20*time.Millisecond))+2
	require.LessOrEqual(t, queries, allowed)
	require.Less(t, queries, int64(2000), "2000 questions took %d queries", queries)
}

func TestLastStateIsServedWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.auth0(t, shop.ID, "secret-of-auth0")
	log := &records{}
	d := b.directory(t, project.DirectoryConfig{Interval: 10 * time.Millisecond, Log: slog.New(log)})
	require.NoError(t, d.WaitLoaded(t.Context()))

	admin, err := pgx.Connect(t.Context(), pgtest.ServerURL(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, admin.Close(context.WithoutCancel(t.Context()))) })
	name := b.pool.Config().ConnConfig.Database
	setAway(t, admin, name, true)
	waittest.Until(t, func() bool { return log.count("directory_not_followed") == 1 })

	e, err := d.Lookup(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.True(t, accepts(e, "secret-of-auth0"))
	_, err = d.Lookup(t.Context(), uuid.New(), "auth0")
	require.ErrorIs(t, err, project.ErrNotLoaded, "what it does not know it must not deny")
	require.NotErrorIs(t, err, project.ErrNoProject)
	_, err = d.LookupFresh(t.Context(), shop.ID, "auth0")
	require.ErrorIs(t, err, project.ErrNotLoaded)

	setAway(t, admin, name, false)
	waittest.Until(t, func() bool {
		_, err := d.LookupFresh(t.Context(), shop.ID, "auth0")
		return err == nil
	})
	require.Equal(t, 1, log.count("directory_not_followed"), "an outage is told once")
	waittest.Until(t, func() bool { return log.count("directory_follow_recovered") == 1 })
}

// setAway makes a database refuse everybody, superusers too, and throws out who is there.
func setAway(t *testing.T, admin *pgx.Conn, name string, away bool) {
	t.Helper()
	_, err := admin.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS %t", pgx.Identifier{name}.Sanitize(), !away))
	require.NoError(t, err)
	if away {
		_, err = admin.Exec(t.Context(), `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1`, name)
		require.NoError(t, err)
	}
}

func TestDirectoryThatNeverLoadedSaysSo(t *testing.T) {
	t.Parallel()
	ring, err := seal.ParseKeys(seal.NewKey())
	require.NoError(t, err)
	pool, err := pgdb.Open(t.Context(), "postgres://nobody@127.0.0.1:1/nowhere", pgdb.Options{})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	d := run(t, project.DirectoryConfig{Pool: pool, Keyring: ring, Interval: 10 * time.Millisecond})

	_, err = d.Lookup(t.Context(), uuid.New(), "auth0")
	require.ErrorIs(t, err, project.ErrNotLoaded)
	_, err = d.Database(t.Context(), uuid.New())
	require.ErrorIs(t, err, project.ErrNotLoaded)
	require.ErrorIs(t, d.WaitLoaded(t.Context()), project.ErrNotLoaded)
	require.False(t, d.Loaded())
}

func TestDirectoryThatDoesNotRunKeepsNobodyWaiting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ring, err := seal.ParseKeys(b.key)
	require.NoError(t, err)
	d, err := project.NewDirectory(project.DirectoryConfig{
		Pool: b.pool, Keyring: ring, Log: slog.New(slog.DiscardHandler), Timeout: 20 * time.Millisecond,
	})
	require.NoError(t, err)
	require.ErrorIs(t, d.WaitLoaded(t.Context()), project.ErrNotLoaded, "not yet")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, d.WaitLoaded(ctx), project.ErrNotLoaded, "the caller left")
	require.NoError(t, d.Run(ctx))
	_, err = d.Lookup(t.Context(), uuid.New(), "auth0")
	require.ErrorIs(t, err, project.ErrNotLoaded, "no more")
}

func TestOneUnusableRowSpoilsNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	b.auth0(t, shop.ID, "secret-of-auth0")
	b.auth0(t, other.ID, "secret-of-auth0")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "clerk", nil, json.RawMessage(`{"absent_fields":"clear"}`))
	require.NoError(t, err)
	// The credentials of another row: genuine, but not this row's.
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.integrations SET credentials_sealed =
		(SELECT credentials_sealed FROM authsync.integrations WHERE project_id = $1 AND provider = 'auth0')
		WHERE provider = 'clerk'`, shop.ID)
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.projects SET database_url_sealed = '\x00' WHERE id = $1`, other.ID)
	require.NoError(t, err)

	log := &records{}
	d := b.directory(t, project.DirectoryConfig{MinGap: time.Millisecond, Log: slog.New(log)})
	require.NoError(t, d.WaitLoaded(t.Context()))

	_, err = d.Lookup(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	_, err = d.Lookup(t.Context(), other.ID, "auth0")
	require.NoError(t, err)
	_, err = d.Database(t.Context(), shop.ID)
	require.NoError(t, err)

	e, err := d.Lookup(t.Context(), shop.ID, "clerk")
	require.ErrorIs(t, err, project.ErrUnusable)
	require.ErrorIs(t, err, project.ErrNotLoaded)
	require.ErrorIs(t, err, seal.ErrNotGenuine)
	require.Equal(t, "clerk", e.Provider.Name())
	options, err := d.Options(t.Context(), shop.ID, "clerk")
	require.NoError(t, err, "what was accepted can still be decoded")
	require.Equal(t, provider.ClearAbsent, options.AbsentFields)
	_, err = d.Database(t.Context(), other.ID)
	require.ErrorIs(t, err, project.ErrUnusable)

	third := b.project(t, "third") // makes it reload
	_, err = d.Database(t.Context(), third.ID)
	require.NoError(t, err)
	require.Equal(t, 1, log.count("integration_unusable"), "told once, not with every reload")
	require.Equal(t, 1, log.count("project_unusable"))
}

// What a newer version stored must not stop an older one that still runs beside it.
func TestUnknownKeysOfANewerVersionAreKeptAndPassedOver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	b.auth0(t, shop.ID, "secret-of-auth0")
	ring, err := seal.ParseKeys(b.key)
	require.NoError(t, err)
	newer, err := ring.Seal([]byte(`{"webhook_signing_secret": "`+long("secret-of-auth0")+`", "client_secret": "x"}`),
		"credentials", shop.ID.String(), "auth0")
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(),
		`UPDATE authsync.integrations SET credentials_sealed = $1, options = '{"absent_fields":"clear","of_tomorrow":1}'`, newer)
	require.NoError(t, err)

	d := b.directory(t, project.DirectoryConfig{})
	e, err := d.Lookup(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.True(t, accepts(e, "secret-of-auth0"))
	require.Equal(t, provider.ClearAbsent, e.Options.AbsentFields)

	i, err := b.store.PutIntegration(t.Context(), shop.ID, "auth0", credentials(t, `{"webhook_signing_secret": "`+long("b-secret")+`"}`), nil)
	require.NoError(t, err)
	require.True(t, i.Credentials["client_secret"].Set)
}

func TestVersionGrowsWithEachStatementOnProjectsAndIntegrations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	version := func() (v int64) {
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT version FROM authsync.directory_version`).Scan(&v))
		return v
	}
	last := version()
	for _, statement := range []string{
		`INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('a', ''), ('b', '')`,
		`UPDATE authsync.projects SET name = name || 'x'`,
		`INSERT INTO authsync.integrations (project_id, provider, credentials_sealed) SELECT id, 'clerk', '' FROM authsync.projects`,
		`UPDATE authsync.integrations SET options = '{"a": 1}'`,
		`DELETE FROM authsync.integrations`,
		`DELETE FROM authsync.projects`,
		`TRUNCATE authsync.integrations CASCADE`,
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		require.NoError(t, err, statement)
		require.Greater(t, version(), last, statement)
		last = version()
	}
	_, _, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x"})
	require.NoError(t, err)
	require.Equal(t, last, version(), "keys are not in the directory")
}
