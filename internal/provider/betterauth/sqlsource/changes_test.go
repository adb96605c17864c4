package sqlsource_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/betterauth/sqlsource"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const pluginTables = `
	CREATE TABLE organization (id text PRIMARY KEY, name text, slug text, "createdAt" timestamptz);
	CREATE TABLE member (id text PRIMARY KEY, "organizationId" text REFERENCES organization ON DELETE CASCADE, "userId" text, role text, "createdAt" timestamptz);
	CREATE TABLE account (id text PRIMARY KEY, "userId" text, "accessToken" text);`

// pullBundle is a Better Auth database as authsync's role and the application's see it.
type pullBundle struct {
	*testBundle

	app     *pgxpool.Pool
	project uuid.UUID
}

func setupPull(t *testing.T) *pullBundle {
	t.Helper()
	b := &pullBundle{testBundle: setup(t), project: uuid.New()}
	b.exec(t, betterAuthTables+pluginTables)
	t.Cleanup(func() {
		_, err := b.owner.Exec(context.WithoutCancel(t.Context()), `DROP SCHEMA IF EXISTS `+b.schema()+` CASCADE`)
		require.NoError(t, err)
	})
	var database string
	require.NoError(t, b.owner.QueryRow(t.Context(), `SELECT quote_ident(current_database())`).Scan(&database))
	b.exec(t, `GRANT CREATE ON DATABASE `+database+` TO `+b.role+`; GRANT SELECT, TRIGGER ON "user", organization, member TO `+b.role)
	role := "app_" + strings.ToLower(provider.RandomID(10))
	b.exec(t, `CREATE ROLE `+role+` LOGIN PASSWORD '`+password+`'; GRANT ALL ON ALL TABLES IN SCHEMA public TO `+role)
	address, err := url.Parse(pgtest.URL(t, b.owner))
	require.NoError(t, err)
	address.User = url.UserPassword(role, password)
	b.app, err = pgdb.Open(t.Context(), address.String(), pgdb.Options{MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(func() {
		b.app.Close()
		_, err := b.owner.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+`; DROP ROLE `+role)
		require.NoError(t, err)
	})
	return b
}

func (b *pullBundle) events() userapi.EventSource {
	source, _ := sqlsource.New(sqlsource.Config{Pool: b.reader, Project: b.project, Every: 5 * time.Millisecond}).(userapi.EventSource)
	return source
}

func (b *pullBundle) prepare(t *testing.T) {
	t.Helper()
	require.NoError(t, b.preparer().Prepare(t.Context()))
}

func (b *pullBundle) preparer() userapi.EventPreparer {
	preparer, _ := b.events().(userapi.EventPreparer)
	return preparer
}

// write runs a statement as the application does.
func (b *pullBundle) write(t *testing.T, statement string, args ...any) {
	t.Helper()
	_, err := b.app.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// taker keeps what is passed on, by event id, and the newest of each record.
type taker struct {
	mu     sync.Mutex
	bodies []string
	ids    map[string]int
	emails map[string]string // "" for one that is gone
	cursor string
	fail   func() error
}

func (k *taker) Connected(context.Context) error { return nil }

func (k *taker) Take(_ context.Context, batch userapi.EventBatch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, body := range batch.Bodies {
		var e struct {
			ID   string `json:"id"`
			Type string `json:"type"`
			Data struct {
				ID    string `json:"id"`
				Email string `json:"email"`
			} `json:"data"`
		}
		if err := json.Unmarshal(body, &e); err != nil {
			return err
		}
		if k.ids == nil {
			k.ids, k.emails = map[string]int{}, map[string]string{}
		}
		k.bodies = append(k.bodies, string(body))
		k.ids[e.ID]++
		k.emails[e.Data.ID] = e.Data.Email
	}
	k.cursor = batch.Cursor
	if k.fail != nil && len(batch.Bodies) > 0 {
		return k.fail()
	}
	return nil
}

func (k *taker) count() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.bodies)
}

// types are those of all events, decoded as the applier does.
func (k *taker) types(t *testing.T) (types []string) {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, body := range k.bodies {
		events := betterauth.New().Decode(provider.Message{Body: []byte(body), ReceivedAt: time.Now()}, provider.Options{})
		require.Len(t, events, 1)
		require.Equal(t, provider.Apply, events[0].Verdict, "%s: %s", body, events[0].Reason)
		types = append(types, events[0].Type+" "+events[0].Record().ID)
	}
	return types
}

// follow follows until stop is called or the test ends.
func (b *pullBundle) follow(t *testing.T, to *taker, from userapi.Position) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() {
		_, err := b.events().Follow(ctx, from, to)
		ended <- err
	}()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-ended
		})
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

// Whatever writes to the tables is seen, direct SQL included, and no secret is.
func TestChangesAreFollowed(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.prepare(t)
	var to taker
	b.follow(t, &to, userapi.Position{})
	step := 0
	for _, s := range []struct{ statement, event string }{
		{`INSERT INTO "user" (id, name, email, "resetToken", "updatedAt") VALUES ('u1', 'Ada', 'ada@example.com', 't0ken', now())`, "user.updated u1"},
		{`UPDATE "user" SET email = 'lovelace@example.com'`, "user.updated u1"},
		{`INSERT INTO organization (id, name, slug) VALUES ('o1', 'Acme', 'acme')`, "organization.updated o1"},
		{`INSERT INTO member (id, "organizationId", "userId", role) VALUES ('m1', 'o1', 'u1', 'owner')`, "membership.updated o1/u1"},
		{`DELETE FROM member`, "membership.deleted o1/u1"},
		{`DELETE FROM "user"`, "user.deleted u1"},
	} {
		b.write(t, s.statement)
		step++
		waittest.Until(t, func() bool { return to.count() == step }, s.statement)
		got := to.types(t)[step-1]
		if !strings.HasPrefix(s.event, "membership") {
			require.Equal(t, s.event, got)
		} else {
			require.Equal(t, strings.Fields(s.event)[0], strings.Fields(got)[0])
		}
	}
	b.write(t, `INSERT INTO account VALUES ('a1', 'u1', 't0ken'); INSERT INTO session (id, token) VALUES ('s1', 't0ken')`)
	require.NotContains(t, strings.Join(to.bodies, ""), "t0ken")
	require.Contains(t, to.bodies[1], "lovelace@example.com")
}

// A transaction that commits after a later one is not skipped, and one that rolls back is not seen.
func TestLateCommitIsNotSkipped(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.prepare(t)
	var to taker
	b.follow(t, &to, userapi.Position{})
	late, err := b.app.Begin(t.Context())
	require.NoError(t, err)
	lost, err := b.app.Begin(t.Context())
	require.NoError(t, err)
	_, err = late.Exec(t.Context(), `INSERT INTO "user" (id, name) VALUES ('late', 'x')`)
	require.NoError(t, err)
	_, err = lost.Exec(t.Context(), `INSERT INTO "user" (id, name) VALUES ('lost', 'x')`)
	require.NoError(t, err)
	b.write(t, `INSERT INTO "user" (id, name) VALUES ('first', 'x')`)
	waittest.Until(t, func() bool { return to.count() == 1 })
	require.NoError(t, lost.Rollback(t.Context()))
	require.NoError(t, late.Commit(t.Context()))
	waittest.Until(t, func() bool { return to.count() == 2 })
	require.Equal(t, []string{"user.updated first", "user.updated late"}, to.types(t))
}

// Whoever dies between storing changes and deleting them gives the same events again.
func TestChangesAreGivenAgainUntilDeleted(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.prepare(t)
	b.write(t, `INSERT INTO "user" (id, name) VALUES ('u1', 'x')`)
	killed := errors.New("killed after the commit")
	to := taker{fail: func() error { return killed }}
	_, err := b.events().Follow(t.Context(), userapi.Position{}, &to)
	require.ErrorIs(t, err, killed)
	to.fail = nil
	b.follow(t, &to, userapi.Position{Cursor: to.cursor})
	waittest.Until(t, func() bool { return to.count() == 2 })
	require.Len(t, to.ids, 1, "the same event id, so that the second is a duplicate")
}

// Many writers, some of which roll back, and a follower that is killed again and again: in the end
// the newest of each row was seen.
func TestConcurrentWriters(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.prepare(t)
	var to taker
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 0))
			for n := range 60 {
				tx, err := b.app.Begin(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				id := fmt.Sprintf("u%d_%d", w, random.IntN(5))
				_, err = tx.Exec(t.Context(), `INSERT INTO "user" (id, name, email) VALUES ($1, 'x', $2) ON CONFLICT (id) DO UPDATE SET email = excluded.email`, id, fmt.Sprintf("e%d", n))
				if err == nil && random.IntN(5) == 0 {
					_, err = tx.Exec(t.Context(), `DELETE FROM "user" WHERE id = $1`, id)
				}
				if random.IntN(4) == 0 {
					err = errors.Join(err, tx.Rollback(t.Context()))
				} else {
					err = errors.Join(err, tx.Commit(t.Context()))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	ended := make(chan struct{})
	go func() { defer close(ended); writers.Wait() }()
	for over := false; !over; {
		stop := b.follow(t, &to, userapi.Position{})
		seen := to.count()
		select {
		case <-ended:
			over = true
		case <-time.After(time.Millisecond):
			waittest.Until(t, func() bool {
				select {
				case <-ended:
					return true
				default:
					return to.count() > seen
				}
			})
		}
		_ = stop()
	}
	b.follow(t, &to, userapi.Position{})
	waittest.Until(t, func() bool { return b.left(t) == 0 })
	rows := map[string]string{}
	all, err := b.owner.Query(t.Context(), `SELECT id, email FROM "user"`)
	require.NoError(t, err)
	var id, email string
	for all.Next() { //nolint:forbidigo // err is looked at below
		require.NoError(t, all.Scan(&id, &email))
		rows[id] = email
	}
	require.NoError(t, all.Err())
	to.mu.Lock()
	defer to.mu.Unlock()
	for id, email := range to.emails {
		require.Equal(t, rows[id], email, id)
	}
	for id := range rows {
		require.Contains(t, to.emails, id)
	}
}

// left is how many changes wait.
func (b *pullBundle) left(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, b.owner.QueryRow(t.Context(), `SELECT count(*) FROM `+b.schema()+`.changes`).Scan(&n))
	return n
}

func (b *pullBundle) schema() string {
	return "authsync_changes_" + strings.ReplaceAll(b.project.String(), "-", "")[:12]
}

// What was changed before the triggers were there is made up for.
func TestTriggersThatWereNotThere(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	var to taker
	_, err := b.events().Follow(t.Context(), userapi.Position{}, &to)
	gap, is := errors.AsType[*userapi.LostError](err)
	require.True(t, is, "%v", err)
	require.NotEmpty(t, gap.Cursor)
	b.follow(t, &to, userapi.Position{Cursor: gap.Cursor})
	b.write(t, `INSERT INTO "user" (id, name) VALUES ('u1', 'x')`)
	waittest.Until(t, func() bool { return to.count() == 1 })
	_, err = b.events().Follow(t.Context(), userapi.Position{Cursor: "of triggers that were made before"}, &taker{})
	require.ErrorAs(t, err, &gap)
}

func TestTruncateIsMadeUpFor(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.prepare(t)
	b.exec(t, `TRUNCATE "user"`)
	_, err := b.events().Follow(t.Context(), userapi.Position{}, &taker{})
	gap, is := errors.AsType[*userapi.LostError](err)
	require.True(t, is, "%v", err)
	require.Contains(t, gap.Reason, "truncated")
	require.Zero(t, b.left(t))
}

// Remove leaves the database as it was, and needs no more than Prepare did.
func TestRemoveLeavesNothing(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	const objects = `
		SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'authsync%') + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'authsync%')
		     + (SELECT count(*) FROM pg_class) + (SELECT count(*) FROM pg_proc)`
	count := func() (n int) {
		require.NoError(t, b.owner.QueryRow(t.Context(), objects).Scan(&n))
		return n
	}
	before := count()
	require.NoError(t, b.preparer().Remove(t.Context()), "there is nothing to remove")
	b.prepare(t)
	b.prepare(t) // it is there
	require.Greater(t, count(), before)
	var superuser bool
	require.NoError(t, b.reader.QueryRow(t.Context(), `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`).Scan(&superuser))
	require.False(t, superuser)
	b.exec(t, `DROP TABLE member`)
	require.NoError(t, b.preparer().Remove(t.Context()))
	b.write(t, `INSERT INTO "user" (id, name) VALUES ('u1', 'x')`)
	b.exec(t, pluginTables[strings.Index(pluginTables, "CREATE TABLE member"):strings.Index(pluginTables, "CREATE TABLE account")])
	require.Equal(t, before, count())
}

// The application's statements never fail because of what is missing.
func TestTriggersNeverFailTheApplication(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.prepare(t)
	b.exec(t, `DROP TABLE `+b.schema()+`.changes`)
	b.write(t, `INSERT INTO "user" (id, name) VALUES ('u1', 'x')`)
}

func TestPrepareSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	b := setupPull(t)
	b.exec(t, `REVOKE TRIGGER ON "user" FROM `+b.role)
	err := b.preparer().Prepare(t.Context())
	require.True(t, fault.Is(err, fault.CredentialsRefused), "%v", err)
	require.ErrorContains(t, err, "TRIGGER and SELECT on the tables of Better Auth")
	b.exec(t, `GRANT TRIGGER ON "user" TO `+b.role+`; CREATE SCHEMA `+b.schema())
	err = b.preparer().Prepare(t.Context())
	require.ErrorContains(t, err, "was not made by authsync")
	require.NoError(t, b.preparer().Remove(t.Context()))
	b.exec(t, `DROP SCHEMA `+b.schema())
}
