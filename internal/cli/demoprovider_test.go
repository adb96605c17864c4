package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// One story, told in order: all that the README shows of the demo provider.
func TestDemoProvider(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	env := map[string]string{"AUTHSYNC_DATA_DIR": dir, "AUTHSYNC_LISTEN": "127.0.0.1:0"}
	t.Cleanup(func() { // as root, PostgreSQL's data lies where its account can reach it
		if moved, err := os.ReadFile(filepath.Join(dir, "postgres", "moved-to")); err == nil {
			require.NoError(t, os.RemoveAll(strings.TrimSpace(string(moved))))
		}
	})
	try := func(args ...string) result { return run(t.Context(), env, "", args...) }
	must := func(args ...string) string {
		t.Helper()
		r := try(args...)
		require.Zero(t, r.status, "%v: %s%s", args, r.out, r.err)
		return r.out
	}
	// changed is the user that a command has changed.
	changed := func(args ...string) string {
		t.Helper()
		var u struct {
			ID string `json:"id"`
		}
		require.NoError(t, json.Unmarshal([]byte(must(append([]string{"demo-provider", "users"}, append(args, "--json")...)...)), &u))
		return u.ID
	}
	require.Contains(t, try("demo-provider", "users", "list", "clerk").err, "authsync dev --demo-provider")

	dev := startProcess(t, env, "dev", "--demo-provider")
	dev.says(t, greeted)
	require.Contains(t, dev.out.String(), "The demo provider (http://127.0.0.1:")
	for name, users := range map[string]string{"clerk": "1,200", "auth0": "1,100", "better-auth": "600"} {
		waittest.Until(t, func() bool {
			return strings.Contains(must("backfill", "demo", name, "--status"), "Done in")
		}, name)
		require.Contains(t, must("backfill", "demo", name, "--status"), users+" users read")
	}

	// A change comes by a webhook, and is what a read of the user gives.
	ada := changed("create", "clerk", "--email", "ada@example.com", "--first-name", "Ada")
	require.Contains(t, must("demo-provider", "users", "list", "clerk"), "Ada")
	waittest.Until(t, func() bool { return strings.Contains(try("explain", "demo", ada).out, "ada@example.com") })
	require.Contains(t, must("refresh", "demo", ada), "is as Clerk has the user")

	// A webhook that is lost is found by a reconcile, or by a refresh.
	changed("update", "clerk", ada, "--last-name", "Lovelace", "--lose-webhook")
	changed("delete", "clerk", "user_2aFk00000000000000000000003", "--lose-webhook")
	drift := try("reconcile", "demo", "clerk", "--dry-run")
	require.Equal(t, 1, drift.status)
	require.Contains(t, drift.out, "Differing: 2 users")
	require.Contains(t, must("refresh", "demo", ada), "the row was repaired")
	require.Contains(t, must("reconcile", "demo", "clerk"), "1 repaired")

	// Auth0 sends again what it could not deliver.
	eve := changed("create", "auth0", "--email", "eve@example.com", "--lose-webhook")
	require.NotZero(t, try("explain", "demo", eve).status)
	require.Contains(t, must("redeliver", "demo", "auth0"), "user.created 1")
	waittest.Until(t, func() bool { return strings.Contains(try("explain", "demo", eve).out, "eve@example.com") })
	bob := changed("create", "better-auth", "--first-name", "Bob")
	require.Equal(t, bob, changed("delete", "better-auth", bob))
	require.Contains(t, must("reconcile", "demo", "better-auth"), "Equal: 600 users")

	r := try("demo-provider", "users", "update", "clerk", "nobody", "--email", "x@example.com")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "there is no such user")
	for _, name := range []string{"workos", "okta"} {
		r = try("demo-provider", "users", "create", name)
		require.Equal(t, 2, r.status)
		require.Contains(t, r.err, "does not stand in for \""+name+"\": take one of auth0, clerk, better_auth\n")
	}

	// So does Clerk, of an endpoint that authsync has set up.
	must("integrations", "set", "demo", "clerk", "--provision")
	mia := changed("create", "clerk", "--first-name", "Mia", "--lose-webhook")
	require.Contains(t, must("redeliver", "demo", "clerk"), "user.created 1")
	waittest.Until(t, func() bool { return strings.Contains(try("explain", "demo", mia).out, "Mia") })
	require.Contains(t, must("redeliver", "demo", "clerk"), "nothing to do")
	require.Equal(t, mia, changed("delete", "clerk", mia))
	_, secrets, _ := strings.Cut(must("integrations", "get", "demo", "clerk"), "\n")
	secrets, _, _ = strings.Cut(secrets, "\"base_url\"")
	mel := changed("create", "auth0", "--first-name", "Mel", "--lose-webhook")

	// It is there again at the next start, with its users.
	require.NoError(t, dev.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, dev.ends(t), dev.err.String())
	require.Contains(t, try("demo-provider", "users", "list", "clerk").err, "does not answer")
	again := startProcess(t, env, "dev")
	again.says(t, greeted)
	require.Contains(t, must("demo-provider", "users", "list", "clerk"), "Ada Lovelace")
	require.Contains(t, must("reconcile", "demo", "clerk", "--dry-run"), "Equal: 1,200 users")
	require.Contains(t, must("redeliver", "demo", "auth0"), "user.created 1")
	waittest.Until(t, func() bool { return strings.Contains(try("explain", "demo", mel).out, "Mel") })
	require.Contains(t, must("integrations", "get", "demo", "clerk"), secrets)
	require.NoError(t, again.cmd.Process.Signal(os.Interrupt))
	require.Zero(t, again.ends(t), again.err.String())
}
