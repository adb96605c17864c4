package app_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// reader makes a role that may connect to a database and nothing more, and gives its URL there.
func reader(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	name := "r_" + strings.ToLower(rand.Text()[:10])
	_, err := pool.Exec(t.Context(), `CREATE ROLE `+name+` LOGIN PASSWORD 's3cret'`)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+name+`; DROP ROLE `+name)
		require.NoError(t, err)
	})
	u, err := url.Parse(pgtest.URL(t, pool))
	require.NoError(t, err)
	u.User = url.UserPassword(name, "s3cret")
	return u.String()
}

func (in *installation) connect(t *testing.T) *client.Client {
	t.Helper()
	a, _ := in.start(t, config.Roles{Worker: true, API: true})
	c := client.New(a.URL(), in.key)
	t.Cleanup(c.Close)
	return c
}

// A key of one project must not read what is another's by naming its database.
func TestDatabaseOfAnIntegrationIsNoOthers(t *testing.T) {
	t.Parallel()
	in := install(t)
	control, err := pgdb.Open(t.Context(), in.settings.DatabaseURL.Reveal(), pgdb.Options{MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(control.Close)
	other, plain := pgtest.Project(t), pgtest.Empty(t)
	store := in.control(t).Store
	_, err = store.CreateProject(t.Context(), "other", pgtest.URL(t, other), false)
	require.NoError(t, err)
	in.settings.AllowDatabaseTargets = egress.Targets{Prefixes: egress.Loopback().Prefixes}
	c := in.connect(t)
	put := func(databaseURL, schemaName string) error {
		return c.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/better-auth", map[string]any{
			"adopt_account": true,
			"credentials":   map[string]any{"database_url": databaseURL}, "options": map[string]any{"source": map[string]any{"schema": schemaName}},
		}, nil)
	}
	ofControl := reader(t, control)
	changed := func(text string, change func(u *url.URL)) string {
		u, err := url.Parse(text)
		require.NoError(t, err)
		change(u)
		return u.String()
	}
	for name, refused := range map[string]struct{ url, schema, says string }{
		"ControlDatabase":        {ofControl, "public", "credentials.database_url: this is authsync's own database"},
		"ControlDatabaseAsOwner": {in.settings.DatabaseURL.Reveal(), "public", "credentials.database_url: this is authsync's own database"},
		"OtherProjects":          {reader(t, other), "public", "credentials.database_url: that database holds the mirror of another project"},
		"OtherProjectsAsOwner":   {pgtest.URL(t, other), "public", "that database holds the mirror of another project"},
		"Socket":                 {"postgres://postgres@/shop?host=/run/postgresql", "public", "credentials.database_url names a local socket"},
		"File":                   {"postgres://u:s3cret@127.0.0.1/d?sslmode=verify-full&sslrootcert=/dev/zero", "public", "has the parameter sslrootcert"},
		"NameOfThisMachine":      {"postgres://u:s3cret@localhost/d", "public", "localhost is this machine itself (RFC 6761); give a name that leads to public addresses only, or let the operator add it to AUTHSYNC_ALLOW_DATABASE_TARGETS"},
		"Metadata":               {"postgres://u:s3cret@169.254.169.254/d", "public", "is a link-local or metadata address"},
		"WrongPassword":          {changed(ofControl, func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wr0ng") }), "public", "or the password: correct them"},
		"Catalog":                {pgtest.URL(t, plain), "pg_catalog", "options.source.schema is a schema of PostgreSQL's or of authsync's own"},
		"InformationSchema":      {pgtest.URL(t, plain), "information_schema", "options.source.schema is a schema of PostgreSQL's"},
		"Mirror":                 {pgtest.URL(t, in.mirror), "capydb_auth", "options.source.schema is a schema of PostgreSQL's or of authsync's own"},
	} {
		t.Run(name, func(t *testing.T) {
			err := put(refused.url, refused.schema)
			require.Equal(t, http.StatusUnprocessableEntity, client.Status(err), "%v", err)
			require.ErrorContains(t, err, refused.says)
			require.NotContains(t, err.Error(), "s3cret")
			require.NotContains(t, err.Error(), "wr0ng")
		})
	}
	require.NoError(t, put(reader(t, in.mirror), "public"), "a role that may not read the mirror of its own project")
	require.NoError(t, put(reader(t, plain), "public"))

	// What was stored before there was this check is looked at when it is used.
	for says, databaseURL := range map[string]string{ //nolint:paralleltest // the cases above come one after another: they are for one integration
		"this is authsync's own database": ofControl,
		"belongs to another project":      reader(t, other),
	} {
		id, err := uuid.Parse(in.projectID)
		require.NoError(t, err)
		_, err = store.PutIntegration(t.Context(), id, provider.BetterAuth, credentialsOf(t, map[string]string{"database_url": databaseURL}), nil)
		require.NoError(t, err)
		_, err = c.StartRun(t.Context(), "shop", provider.BetterAuth, client.Reconcile, nil)
		require.NoError(t, err)
		var run client.Run
		waittest.Until(t, func() bool {
			run, err = c.LatestRun(t.Context(), "shop", provider.BetterAuth, client.Reconcile)
			return err == nil && run.Error != nil
		})
		require.Contains(t, *run.Error, says)
	}
}

// A project without a database of the customer's gets one with a role of its own, as which its
// tables are read: as the control database's role it could read everybody's.
func TestManagedDatabaseIsReadAsARoleOfItsOwn(t *testing.T) {
	t.Parallel()
	in := install(t)
	c := in.connect(t)
	require.NoError(t, c.Do(t.Context(), http.MethodPost, "/projects", map[string]any{"name": "managed"}, nil))
	store := in.control(t).Store
	p, err := store.FindProject(t.Context(), "managed")
	require.NoError(t, err)
	text, err := store.ConnectionURL(t.Context(), p.ID)
	require.NoError(t, err)
	dropManaged(t, in, text)
	conn, err := pgx.Connect(t.Context(), text)
	require.NoError(t, err)
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), `
		CREATE TABLE "user" (id text PRIMARY KEY, email text, who text, "createdAt" timestamptz, "updatedAt" timestamptz);
		CREATE VIEW people AS SELECT id, email, current_user::text AS name, "createdAt", "updatedAt" FROM "user";
		INSERT INTO "user" VALUES ('u1', 'ada@example.com', '', now(), now())`)
	require.NoError(t, err)
	require.NoError(t, c.Do(t.Context(), http.MethodPut, "/projects/managed/integrations/better-auth", map[string]any{
		"options": map[string]any{"source": map[string]any{"user_table": "people"}},
	}, nil))
	var role, reads, owner string
	waittest.Until(t, func() bool {
		return conn.QueryRow(t.Context(), `SELECT current_user, u.raw->>'name', (SELECT tableowner FROM pg_tables WHERE schemaname = 'capydb_auth' AND tablename = 'users')
			FROM capydb_auth.users AS u WHERE u.id = 'u1'`).Scan(&role, &reads, &owner) == nil
	})
	require.Equal(t, role, reads)
	require.Equal(t, role, owner)
	require.NotEqual(t, "postgres", role)
}

// dropManaged removes a managed database and its role after the test.
func dropManaged(t *testing.T, in *installation, text string) {
	t.Helper()
	u, err := url.Parse(text)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		admin, err := pgdb.Connect(ctx, in.settings.DatabaseURL.Reveal(), pgdb.Options{})
		require.NoError(t, err)
		defer admin.Close(ctx)
		for _, statement := range []string{
			"DROP DATABASE IF EXISTS " + pgx.Identifier{strings.TrimPrefix(u.Path, "/")}.Sanitize() + " WITH (FORCE)",
			"DROP ROLE IF EXISTS " + pgx.Identifier{u.User.Username()}.Sanitize(),
		} {
			_, err := admin.Exec(ctx, statement)
			require.NoError(t, err)
		}
	})
}

// Waiting does not help against what somebody has to change, so a server that starts says so at once.
func TestStartSaysAtOnceWhatIsWrongWithTheDatabaseURL(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	for name, c := range map[string]struct {
		change func(u *url.URL)
		says   string
	}{
		"WrongPassword":  {func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wr0ng") }, "DATABASE_URL: the server rejected user \"postgres\" or the password"},
		"NoSuchUser":     {func(u *url.URL) { u.User = url.UserPassword("nobody_of_that_name", "wr0ng") }, "DATABASE_URL: the server rejected user \"nobody_of_that_name\""},
		"NoSuchDatabase": {func(u *url.URL) { u.Path = "/no_database_of_that_name" }, "DATABASE_URL: the server has no database \"no_database_of_that_name\""},
		"NoTLS":          {func(u *url.URL) { u.RawQuery = "sslmode=require" }, "DATABASE_URL: the server does not support TLS, which sslmode requires"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(pgtest.URL(t, control))
			require.NoError(t, err)
			c.change(u)
			_, err = app.Start(t.Context(), app.Config{Settings: settings(t, u.String()), Log: slog.New(slog.DiscardHandler)})
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "gave up", "it did not wait")
			require.NotContains(t, err.Error(), "wr0ng")
		})
	}
}

func credentialsOf(t *testing.T, values map[string]string) map[string]json.RawMessage {
	t.Helper()
	given := map[string]json.RawMessage{}
	for name, value := range values {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		given[name] = text
	}
	return given
}
