package cli

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// programName makes this test binary behave as authsync, for the tests that
// need processes of their own.
const programName = "authsync"

func TestMain(m *testing.M) {
	if os.Args[0] == programName {
		os.Exit(Execute())
	}
	os.Exit(m.Run())
}

// result is what a command printed and its exit status.
type result struct {
	out, err string
	status   int
}

// run runs a command in this process.
func run(ctx context.Context, env map[string]string, stdin string, args ...string) result {
	var out, errs bytes.Buffer
	status := Main(ctx, Process{
		Program: programName, Args: args, In: strings.NewReader(stdin), Out: &out, Err: &errs,
		Lookup: func(name string) string { return env[name] }, Now: time.Now,
	})
	return result{out.String(), errs.String(), status}
}

// testBundle is a running server with a project "shop" that has all providers.
type testBundle struct {
	env     map[string]string
	app     *app.App
	control *pgxpool.Pool
	project *pgxpool.Pool
}

func (b *testBundle) run(t *testing.T, args ...string) result {
	t.Helper()
	return run(t.Context(), b.env, "", args...)
}

// must runs a command that has to succeed and returns what it printed.
func (b *testBundle) must(t *testing.T, args ...string) string {
	t.Helper()
	r := b.run(t, args...)
	require.Zero(t, r.status, "%v: %s", args, r.err)
	return r.out
}

func setup(t *testing.T) *testBundle {
	t.Helper()
	b := setupEmpty(t)
	b.must(t, "projects", "create", "shop", "--database-url-env", "SHOP_DATABASE_URL")
	for name, secret := range map[string]string{
		"auth0": "a plain secret of the stream", "clerk": "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx", "better-auth": "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAy",
	} {
		r := run(t.Context(), b.env, secret+"\n", "integrations", "set", "shop", name, "--webhook-signing-secret-file", "-")
		require.Zero(t, r.status, r.err)
		require.Contains(t, r.out, b.app.URL()+"/api/capydb/v1/integrations/"+name+"/webhook/")
	}
	return b
}

// setupEmpty is a running server without projects.
func setupEmpty(t *testing.T) *testBundle {
	t.Helper()
	control, project := pgtest.Control(t), pgtest.Project(t)
	b := &testBundle{control: control, project: project, env: map[string]string{
		"AUTHSYNC_DATA_DIR":               t.TempDir(),
		"AUTHSYNC_LISTEN":                 "127.0.0.1:0",
		"AUTHSYNC_ALLOW_TARGETS":          "127.0.0.1",
		"AUTHSYNC_ALLOW_DATABASE_TARGETS": "127.0.0.1",
		"DATABASE_URL":                    pgtest.URL(t, control),
		"AUTHSYNC_ENCRYPTION_KEY":         seal.NewKey(),
		"AUTHSYNC_DATABASE_LIMIT_BYTES":   "1000000000000",
		"AUTHSYNC_DATABASE_CONNECTIONS":   pgtest.ServerConnections,
		"SHOP_DATABASE_URL":               pgtest.URL(t, project),
	}}
	c, err := config.Load(func(name string) string { return b.env[name] })
	require.NoError(t, err)
	b.app, err = app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.app.Stop(context.WithoutCancel(t.Context()))) })

	b.env["AUTHSYNC_URL"] = b.app.URL()
	b.env["AUTHSYNC_API_KEY"] = strings.TrimSpace(b.must(t, "keys", "create", "test", "--test"))
	return b
}
