package project_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// os/exec of the throw-away server that pgtest keeps until the process ends.
		goleak.IgnoreTopFunction("os/exec.(*Cmd).Wait"),
		goleak.IgnoreAnyFunction("os.(*Process).Wait"),
	)
}

// installer notes which databases got the mirror, and fails as told.
type installer struct {
	mu       sync.Mutex
	urls     []string
	owners   []uuid.UUID
	released []uuid.UUID
	err      error
	then     func() // nil: nothing happens meanwhile
}

func (i *installer) Install(_ context.Context, databaseURL string, projectID uuid.UUID, _ bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.urls, i.owners = append(i.urls, databaseURL), append(i.owners, projectID)
	if i.then != nil {
		i.then()
	}
	return i.err
}

func (i *installer) Release(_ context.Context, _ string, projectID uuid.UUID) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.released = append(i.released, projectID)
	return i.err
}

func (i *installer) failWith(err error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.err = err
}

type testBundle struct {
	store  *project.Store
	pool   *pgxpool.Pool
	mirror *installer
	key    string
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := &testBundle{pool: pgtest.Control(t), mirror: &installer{}, key: seal.NewKey()}
	b.store = storeWithKeys(t, b, b.key)
	return b
}

func storeWithKeys(t *testing.T, b *testBundle, keys ...string) *project.Store {
	t.Helper()
	return storeWith(t, b, project.Config{}, keys...)
}

func storeAt(t *testing.T, b *testBundle, now func() time.Time) *project.Store {
	t.Helper()
	return storeWith(t, b, project.Config{Now: now}, b.key)
}

func storeAllowing(t *testing.T, b *testBundle, allow egress.Targets, keys ...string) *project.Store {
	t.Helper()
	return storeWith(t, b, project.Config{Targets: egress.New(egress.Config{Allow: allow})}, keys...)
}

// storeWith fills in what the configuration leaves open.
func storeWith(t *testing.T, b *testBundle, c project.Config, keys ...string) *project.Store {
	t.Helper()
	ring, err := seal.ParseKeys(strings.Join(keys, ","))
	require.NoError(t, err)
	c.Pool, c.Keyring, c.Mirror, c.Log, c.Destinations = b.pool, ring, b.mirror, slog.New(slog.DiscardHandler), fakeTypes{}
	if c.Targets == nil {
		c.Targets = egress.New(egress.Config{})
	}
	store, err := project.NewStore(c)
	require.NoError(t, err)
	return store
}

const someURL = "postgres://shop:s3cret@db.example.com:5433/shop?sslmode=disable"

func (b *testBundle) project(t *testing.T, name string) project.Project {
	t.Helper()
	p, err := b.store.CreateProject(t.Context(), name, someURL, false)
	require.NoError(t, err)
	return p
}

func TestProjects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")

	t.Run("AreFoundByIDAndByName", func(t *testing.T) {
		t.Parallel()
		for _, ref := range []string{shop.ID.String(), strings.ToUpper(shop.ID.String()), "shop"} {
			p, err := b.store.FindProject(t.Context(), ref)
			require.NoError(t, err)
			require.Equal(t, shop, p)
		}
		_, err := b.store.FindProject(t.Context(), uuid.NewString())
		require.ErrorIs(t, err, project.ErrNoProject)
	})

	t.Run("ShowTheirDatabaseWithoutThePassword", func(t *testing.T) {
		t.Parallel()
		require.Equal(t, "postgres://shop@db.example.com:5433/shop", shop.Database)
		full, err := b.store.DatabaseURL(t.Context(), shop.ID)
		require.NoError(t, err)
		require.Equal(t, someURL, full)
	})

	t.Run("KeepTheURLSealed", func(t *testing.T) {
		t.Parallel()
		var sealed []byte
		require.NoError(t, b.pool.QueryRow(t.Context(),
			`SELECT database_url_sealed FROM authsync.projects WHERE id = $1`, shop.ID).Scan(&sealed))
		require.NotContains(t, string(sealed), "s3cret")
		require.NotContains(t, string(sealed), "db.example.com")
	})

	t.Run("HaveNamesOfTheirOwn", func(t *testing.T) {
		t.Parallel()
		_, err := b.store.CreateProject(t.Context(), "shop", someURL, false)
		require.ErrorIs(t, err, project.ErrNameTaken)
	})

	for name, bad := range map[string]struct{ name, url, want string }{
		"NameIsEmpty":         {"", someURL, "name is"},
		"NameHasCapitals":     {"Shop", someURL, "name is"},
		"NameBeginsWithADash": {"-shop", someURL, "name is"},
		"NameEndsInALineFeed": {"shop\n", someURL, "name is"},
		"NameIsTooLong":       {strings.Repeat("a", 64), someURL, "name is"},
		"NameLooksLikeAnID":   {uuid.NewString(), someURL, "must not look like the id"},
		"URLIsNone":           {"x", "shop s3cret", "not a PostgreSQL connection URL"},
		"URLIsMalformed":      {"x", "postgres://u:s3cret%zz@h/d", "has a % that begins no escape"},
		"URLHasABadPort":      {"x", "postgres://u:s3cret@h:99999/d", "has an invalid port"},
		"URLIsOfAnotherKind":  {"x", "mysql://u:s3cret@h/d", "not a PostgreSQL connection URL"},
		"URLNamesNoUser":      {"x", "postgres://h/s3cret", "has no user"},
		"URLNamesAFile":       {"x", "postgres://u@h/d?passfile=/root/s3cret", "has the parameter passfile, which names a file on the server"},
		"URLNamesASocket":     {"x", "postgres://u:s3cret@/d?host=/run/postgresql", "names a local socket"},
		"URLChangesTheMode":   {"x", "postgres://u:s3cret@h/d?default_query_exec_mode=simple_protocol", "has the parameter default_query_exec_mode"},
		"URLSizesThePool":     {"x", "postgres://u:s3cret@h/d?pool_max_conns=9", "has the parameter pool_max_conns"},
		"URLHasABadMode":      {"x", "postgres://u:s3cret@h/d?sslmode=bogus", "has an invalid value of sslmode"},
		"URLNamesNoHost":      {"x", "postgres:///s3cret", "has no host"},
		"URLNamesNoDatabase":  {"x", "postgres://u:s3cret@h/", "has no database name"},
	} {
		t.Run(name+"AndIsRefused", func(t *testing.T) {
			t.Parallel()
			_, err := b.store.CreateProject(t.Context(), bad.name, bad.url, false)
			require.True(t, fault.Is(err, fault.Invalid), err)
			require.ErrorContains(t, err, bad.want)
			require.NotContains(t, err.Error(), "s3cret")
		})
	}
}

func TestProjectsAreListedByNameInPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var second project.Project
	for _, name := range []string{"c", "a", "b"} {
		p := b.project(t, name)
		if name == "b" {
			second = p
		}
	}
	names := func(projects []project.Project) (names []string) {
		for _, p := range projects {
			names = append(names, p.Name)
		}
		return names
	}

	page, next, err := b.store.ListProjects(t.Context(), nil, "", 2)
	require.NoError(t, err)
	require.Equal(t, []string{"a", "b"}, names(page))
	page, next, err = b.store.ListProjects(t.Context(), nil, next, 2)
	require.NoError(t, err)
	require.Equal(t, []string{"c"}, names(page))
	require.Empty(t, next)

	page, next, err = b.store.ListProjects(t.Context(), nil, "", 3)
	require.NoError(t, err)
	require.Len(t, page, 3)
	require.Empty(t, next, "a full page that is the last one has no next")

	page, _, err = b.store.ListProjects(t.Context(), &second.ID, "", 2)
	require.NoError(t, err)
	require.Equal(t, []project.Project{second}, page)

	for _, cursor := range []string{"!", "a2V5czox"} { // no base64; "keys:1", of another list
		_, _, err = b.store.ListProjects(t.Context(), nil, cursor, 2)
		require.ErrorIs(t, err, fault.ErrBadCursor)
	}
}

func TestDeletingDetaches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "clerk", nil, nil)
	require.NoError(t, err)
	_, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x", ProjectID: &shop.ID})
	require.NoError(t, err)

	require.NoError(t, b.store.DeleteProject(t.Context(), shop.ID))
	require.Equal(t, []uuid.UUID{shop.ID}, b.mirror.released)

	_, err = b.store.FindProject(t.Context(), "shop")
	require.ErrorIs(t, err, project.ErrNoProject)
	_, err = b.store.Authenticate(t.Context(), secret)
	require.ErrorIs(t, err, project.ErrNoKey)
	require.ErrorIs(t, b.store.DeleteProject(t.Context(), shop.ID), project.ErrNoProject)
}

func TestProjectIsNotMadeWithADatabaseThatDoesNotWork(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mirror.failWith(errors.New("boom"))
	_, err := b.store.CreateProject(t.Context(), "shop", someURL, false)
	require.True(t, fault.Is(err, fault.DatabaseUnusable), err)
	_, err = b.store.FindProject(t.Context(), "shop")
	require.ErrorIs(t, err, project.ErrNoProject)
}

// The words depend on whether this installation knows the other project.
func TestMirrorOfAnotherProjectIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for says, owner := range map[string]uuid.UUID{
		"the mirror there belongs to project shop. Two projects in one mirror would mix their users: use a different database": shop.ID,
		"which this authsync does not know: another installation may be writing to it":                                         uuid.New(),
	} {
		b.mirror.failWith(&pgdb.OwnedError{Owner: owner})
		_, err := b.store.CreateProject(t.Context(), "second", someURL, false)
		require.True(t, fault.Is(err, fault.DatabaseUnusable), err)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "s3cret")
	}
	b.mirror.failWith(pgdb.ErrControlDatabase)
	_, err := b.store.CreateProject(t.Context(), "second", someURL, false)
	require.ErrorContains(t, err, "this is authsync's own database, which holds projects and credentials: use the database of")
}

// To let a role into the control database is no advice, however its address is written.
func TestControlDatabaseIsNotToBeOpenedForAProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mirror.failWith(&pgconn.PgError{Code: "42501", Message: `permission denied for database "authsync"`})
	own := b.pool.Config().ConnConfig
	for name, tc := range map[string]struct {
		host, database string
		says           string
	}{
		"AsItIsWritten": {"127.0.0.1", own.Database, "this is authsync's own database"},
		"ByAName":       {"localhost", own.Database, "this is authsync's own database"},
		"OfIPv6":        {"[::1]", own.Database, "this is authsync's own database"},
		"OtherDatabase": {"127.0.0.1", "shop", "GRANT CREATE, CONNECT ON DATABASE"},
		"OtherServer":   {"192.0.2.7", own.Database, "GRANT CREATE, CONNECT ON DATABASE"},
	} {
		_, err := b.store.CreateProject(t.Context(), "second", fmt.Sprintf("postgres://app:s3cret@%s:%d/%s", tc.host, own.Port, tc.database), false)
		require.True(t, fault.Is(err, fault.DatabaseUnusable), "%s: %v", name, err)
		require.ErrorContains(t, err, tc.says, name)
		if tc.says == "this is authsync's own database" {
			require.NotContains(t, err.Error(), "GRANT", name)
		}
	}
}

// What was claimed for a project that could not be made is given free again.
func TestMirrorOfAProjectThatIsNotMadeIsReleased(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.mirror.then = func() { // somebody else is faster
		_, err := b.pool.Exec(context.Background(),
			`INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES (gen_random_uuid(), 'shop', '')`)
		require.NoError(t, err)
	}
	_, err := b.store.CreateProject(t.Context(), "shop", someURL, false)
	require.ErrorIs(t, err, project.ErrNameTaken)
	require.Equal(t, b.mirror.owners, b.mirror.released)
	require.Len(t, b.mirror.released, 1)
}

func TestUpdateProject(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	moved, err := b.store.UpdateProject(t.Context(), shop.ID, project.ProjectChange{DatabaseURL: new("postgres://u:p@new.example.com/shop?sslmode=disable")})
	require.NoError(t, err)
	require.Equal(t, "postgres://u@new.example.com:5432/shop", moved.Database)
	require.Equal(t, []string{someURL, "postgres://u:p@new.example.com/shop?sslmode=disable"}, b.mirror.urls, "the mirror is put there first")
	require.Equal(t, []uuid.UUID{shop.ID, shop.ID}, b.mirror.owners)

	b.mirror.failWith(errors.New("boom"))
	_, err = b.store.UpdateProject(t.Context(), shop.ID, project.ProjectChange{DatabaseURL: new(someURL)})
	require.Error(t, err)
	full, err := b.store.DatabaseURL(t.Context(), shop.ID)
	require.NoError(t, err)
	require.Equal(t, "postgres://u:p@new.example.com/shop?sslmode=disable", full, "what does not work is not taken")

	_, err = b.store.UpdateProject(t.Context(), uuid.New(), project.ProjectChange{DatabaseURL: new(someURL)})
	require.ErrorIs(t, err, project.ErrNoProject)
}

func credentials(t *testing.T, text string) map[string]json.RawMessage {
	t.Helper()
	var c map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(text), &c))
	return c
}
