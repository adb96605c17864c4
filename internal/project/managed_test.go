package project_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestProjectGetsADatabaseOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	control := b.pool.Config().ConnConfig.Database

	demo, err := b.store.CreateProject(t.Context(), "demo", "", false)
	require.NoError(t, err)
	dropAfter(t, b, demo)
	full, err := b.store.ConnectionURL(t.Context(), demo.ID)
	require.NoError(t, err)

	conn, err := pgx.Connect(t.Context(), full)
	require.NoError(t, err)
	var name, encoding string
	require.NoError(t, conn.QueryRow(t.Context(),
		`SELECT current_database(), current_setting('server_encoding')`).Scan(&name, &encoding))
	requireOwnRole(t, b, conn)
	require.NoError(t, conn.Close(t.Context()))
	require.Equal(t, control+"_demo", name)
	require.Equal(t, "UTF8", encoding)
	require.Empty(t, databasesLike(t, b, "_new_"))
	require.Equal(t, []uuid.UUID{demo.ID}, b.mirror.owners, "it has a mirror before anybody can use it")
	require.Contains(t, b.mirror.urls[0], "_new_")

	require.NoError(t, b.store.DeleteProject(t.Context(), demo.ID))
	_, err = b.store.CreateProject(t.Context(), "demo", "", false)
	require.ErrorIs(t, err, project.ErrDatabaseExists, "customer data is neither dropped nor taken over")
	require.ErrorContains(t, err, name)
	require.Empty(t, databasesLike(t, b, "_new_"), "nothing is left behind")
	_, err = b.store.FindProject(t.Context(), "demo")
	require.ErrorIs(t, err, project.ErrNoProject)

	_, err = b.store.CreateProject(t.Context(), "demo", full, false)
	require.NoError(t, err, "it can be attached again by its URL")

	b.mirror.failWith(errors.New("boom"))
	_, err = b.store.CreateProject(t.Context(), "other", "", false)
	require.ErrorContains(t, err, "the mirror could not be installed there: boom")
	require.Empty(t, databasesLike(t, b, "_new_"), "nothing is left behind")
	_, err = b.store.FindProject(t.Context(), "other")
	require.ErrorIs(t, err, project.ErrNoProject)
}

// requireOwnRole: what connects owns the database, and can do nothing outside of it.
func requireOwnRole(t *testing.T, b *testBundle, conn *pgx.Conn) {
	t.Helper()
	var owns, powers bool
	require.NoError(t, conn.QueryRow(t.Context(), `
		SELECT (SELECT pg_get_userbyid(d.datdba) = current_user FROM pg_database AS d WHERE d.datname = current_database()),
			(SELECT r.rolsuper OR r.rolcreatedb OR r.rolcreaterole OR r.rolreplication OR r.rolbypassrls FROM pg_roles AS r WHERE r.rolname = current_user)
				OR EXISTS (SELECT FROM pg_auth_members AS m JOIN pg_roles AS r ON r.oid = m.member WHERE r.rolname = current_user)`).Scan(&owns, &powers))
	require.True(t, owns)
	require.False(t, powers)
	_, err := conn.Exec(t.Context(), `CREATE SCHEMA app; CREATE TABLE public.orders (id int)`)
	require.NoError(t, err)

	config := conn.Config().Copy()
	config.Database = b.pool.Config().ConnConfig.Database
	control, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err, "the test's server lets everybody connect")
	defer control.Close(t.Context())
	_, err = control.Exec(t.Context(), `SELECT FROM authsync.projects`)
	require.Equal(t, "42501", pgdb.Code(err))

	var open bool
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_database AS d, aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
		WHERE d.datname = $1 AND a.grantee = 0)`, conn.Config().Database).Scan(&open))
	require.False(t, open, "other roles cannot connect to the project's database")
}

// The control database's role need be no superuser.
func TestDatabaseOfItsOwnIsMadeByARoleThatIsNoSuperuser(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := "r_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err := b.pool.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN CREATEDB CREATEROLE PASSWORD 'p';
		GRANT USAGE ON SCHEMA authsync TO `+role+`; GRANT ALL ON ALL TABLES IN SCHEMA authsync TO `+role+`; GRANT ALL ON ALL FUNCTIONS IN SCHEMA authsync TO `+role)
	require.NoError(t, err)
	u, err := url.Parse(pgtest.URL(t, b.pool))
	require.NoError(t, err)
	u.User = url.UserPassword(role, "p")
	pool, err := pgdb.Open(t.Context(), u.String(), pgdb.Options{MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(func() {
		pool.Close()
		_, err := b.pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+`; DROP ROLE `+role)
		require.NoError(t, err)
	})
	other := &testBundle{pool: pool, mirror: b.mirror}
	store := storeWithKeys(t, other, b.key)
	demo, err := store.CreateProject(t.Context(), "demo", "", false)
	require.NoError(t, err)
	dropAfter(t, b, demo)
	full, err := store.ConnectionURL(t.Context(), demo.ID)
	require.NoError(t, err)
	conn, err := pgx.Connect(t.Context(), full)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	requireOwnRole(t, other, conn)

	_, err = store.CreateProject(t.Context(), "demo", "", false)
	require.ErrorIs(t, err, project.ErrNameTaken)
	require.NoError(t, store.DeleteProject(t.Context(), demo.ID))
	_, err = store.CreateProject(t.Context(), "demo", "", false)
	require.ErrorIs(t, err, project.ErrDatabaseExists)
	require.Empty(t, databasesLike(t, other, "_new_"), "nothing is left behind")
	var roles int
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT count(DISTINCT m.roleid) FROM pg_auth_members AS m WHERE m.member = (SELECT oid FROM pg_roles WHERE rolname = $1)`, role).Scan(&roles))
	require.Equal(t, 1, roles, "the role of the first database alone")
}

func TestRoleThatMayNotCreateDatabasesIsTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	role := "r_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	_, err := b.pool.Exec(t.Context(), `CREATE ROLE `+role+` LOGIN PASSWORD 'p';
		GRANT USAGE ON SCHEMA authsync TO `+role+`; GRANT SELECT, INSERT ON authsync.projects TO `+role)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := b.pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+role+`; DROP ROLE `+role)
		require.NoError(t, err)
	})

	u, err := url.Parse(pgtest.URL(t, b.pool))
	require.NoError(t, err)
	u.User = url.UserPassword(role, "p")
	pool, err := pgdb.Open(t.Context(), u.String(), pgdb.Options{MaxConns: 2})
	require.NoError(t, err)
	defer pool.Close()
	store := storeWithKeys(t, &testBundle{pool: pool, mirror: b.mirror}, b.key)

	_, err = store.CreateProject(t.Context(), "demo", "", false)
	require.True(t, fault.Is(err, fault.DatabaseUnusable), err)
	require.ErrorContains(t, err, `ALTER ROLE "`+role+`" CREATEDB`)
}

func dropAfter(t *testing.T, b *testBundle, p project.Project) {
	t.Helper()
	u, err := url.Parse(p.Database)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := b.pool.Exec(context.WithoutCancel(t.Context()),
			"DROP DATABASE IF EXISTS "+pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize()+" WITH (FORCE)")
		require.NoError(t, err)
		_, err = b.pool.Exec(context.WithoutCancel(t.Context()), "DROP ROLE IF EXISTS "+pgx.Identifier{u.User.Username()}.Sanitize())
		require.NoError(t, err)
	})
}

func databasesLike(t *testing.T, b *testBundle, part string) []string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(),
		`SELECT datname FROM pg_database WHERE starts_with(datname, current_database() || $1)`, part)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func TestDatabaseTroubleIsToldSoThatAPersonCanAct(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for _, tc := range []struct {
		name string
		err  error
		want string
	}{
		{"WrongPassword", &pgconn.PgError{Code: "28P01", Message: "password authentication failed"}, "the server rejected the user or the password"},
		{"NoDatabase", &pgconn.PgError{Code: "3D000", Message: `database "shop" does not exist`}, "create it or correct the name"},
		{"ReadOnly", &pgconn.PgError{Code: "25006", Message: "cannot execute CREATE SCHEMA in a read-only transaction"}, "the database is read-only: it is a standby"},
		{"TooManyConnections", &pgconn.PgError{Code: "53300", Routine: "InitializeSessionUserId"}, "CONNECTION LIMIT 8"},
		{"NoRight", &pgconn.PgError{Code: "42501", Message: "permission denied"}, `GRANT CREATE, CONNECT ON DATABASE "shop" TO "shop"`},
		{"Unreachable", context.DeadlineExceeded, "check host, port, firewall"},
		{"SomethingElse", errors.New("a reason of its own"), "a reason of its own"},
	} {
		b.mirror.failWith(tc.err)
		_, err := b.store.PutIntegration(t.Context(), shop.ID, "auth0", nil, nil)
		require.True(t, fault.Is(err, fault.DatabaseUnusable), "%s: %v", tc.name, err)
		require.ErrorIs(t, err, tc.err, tc.name)
		require.ErrorContains(t, err, tc.want, tc.name)
		require.ErrorContains(t, err, "postgres://shop@db.example.com:5433/shop", tc.name)
		require.NotContains(t, err.Error(), "s3cret", tc.name)
	}
	_, err := b.store.FindIntegration(t.Context(), shop.ID, "auth0")
	require.ErrorIs(t, err, project.ErrNoIntegration, "nothing is stored without a mirror")
}
