package cli

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/configfile"
	"github.com/authsync/authsync/internal/problem"
)

// configFile writes a configuration file.
func configFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "authsync.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func (b *testBundle) equal(t *testing.T, file string) {
	t.Helper()
	r := b.run(t, "plan", "-f", file)
	require.Zero(t, r.status, r.out+r.err)
	require.Contains(t, r.out, "\n0 to create, 0 to change, ")
	require.Contains(t, b.must(t, "apply", "-f", file), "Nothing to do: the server is what the file says.\n")
}

const shopFile = `
version: 1
projects:
  shop:
    integrations:
      auth0: {credentials: {webhook_signing_secret: {env: AUTH0_SECRET}}, options: {absent_fields: clear}}
      clerk: {credentials: {webhook_signing_secret: {env: CLERK_SECRET}}}
    destinations:
      app: {type: webhook, options: {url: "https://app.example.com/hook"}}
      crm: {type: http, options: {requests: {default: {url: "https://crm.example.com"}}}, secrets: {token: {env: CRM_TOKEN}}}
`

func TestPlanAndApply(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "destinations", "create", "shop", "old", "--type", "webhook", "--url", "https://old.example.com")
	file := configFile(t, shopFile)
	plan := func(want string) {
		t.Helper()
		r := b.run(t, "plan", "-f", file)
		require.Equal(t, 2, r.status, r.err)
		require.Equal(t, want, r.out)
		require.Empty(t, r.err)
	}
	plan(`  project shop: unchanged
~ integration auth0 of project shop
    options.absent_fields: "clear"
    webhook_signing_secret: set, cannot be compared
  integration clerk of project shop: unchanged
+ destination app of project shop
    event_types: ["user.created","user.deleted","user.restored","user.updated"]
    options.url: "https://app.example.com/hook"
    type: "webhook"
    signing_secret: will be generated, and shown once
+ destination crm of project shop
    event_types: ["user.created","user.deleted","user.restored","user.updated"]
    options.requests.default.url: "https://crm.example.com"
    type: "http"
    token: will be set, from env CRM_TOKEN
- integration better_auth of project shop: not in the file
- destination old of project shop: not in the file

2 to create, 1 to change, 2 unchanged, 2 not in the file.
Secrets that are set and cannot be compared: 2.
`)

	// Missing secrets are named before anything is changed.
	r := b.run(t, "apply", "-f", file, "--set-secrets")
	require.Equal(t, 1, r.status)
	require.Equal(t, "authsync: nothing was changed, for these secrets are missing: "+
		"webhook_signing_secret of integration auth0 of project shop (the environment variable AUTH0_SECRET is empty); "+
		"webhook_signing_secret of integration clerk of project shop (the environment variable CLERK_SECRET is empty); "+
		"token of destination crm of project shop (the environment variable CRM_TOKEN is empty)\n", r.err)
	require.Contains(t, b.must(t, "destinations", "list", "shop", "--json"), `"old"`)
	require.NotContains(t, b.must(t, "destinations", "list", "shop", "--json"), `"app"`)

	b.env["CRM_TOKEN"] = "the token of the CRM"
	out := b.must(t, "apply", "-f", file)
	require.Regexp(t, `^Changed integration auth0 of project shop.
Created destination app of project shop.

signing_secret, shown only once:
  whsec_\S+
Created destination crm of project shop.
Left integration better_auth of project shop, which is not in the file: --prune deletes it.
Left destination old of project shop, which is not in the file: --prune deletes it.
$`, out)
	require.NotContains(t, out, b.env["CRM_TOKEN"])
	require.Equal(t, "Left integration better_auth of project shop, which is not in the file: --prune deletes it.\n"+
		"Left destination old of project shop, which is not in the file: --prune deletes it.\nNothing else differs.\n", b.must(t, "apply", "-f", file))

	// Pruning asks first.
	r = b.run(t, "apply", "-f", file, "--prune")
	require.Equal(t, 2, r.status)
	require.Equal(t, "authsync: --prune deletes integration better_auth of project shop, destination old of project shop: webhooks of a deleted integration "+
		"are refused, and what waits for a deleted destination is never sent: add --yes if that is meant\n", r.err)
	integrations, _, _ := strings.Cut(shopFile, "    destinations:")
	without := configFile(t, integrations+"      better_auth: {}\n")
	r = b.run(t, "apply", "-f", without, "--prune")
	require.Contains(t, r.err, "--prune deletes destination app of project shop, destination crm of project shop, destination old of project shop: what waits for")
	plan("  project shop: unchanged\n  integration auth0 of project shop: unchanged\n  integration clerk of project shop: unchanged\n" +
		"  destination app of project shop: unchanged\n  destination crm of project shop: unchanged\n" +
		"- integration better_auth of project shop: not in the file\n- destination old of project shop: not in the file\n" +
		"\n0 to create, 0 to change, 5 unchanged, 2 not in the file.\nSecrets that are set and cannot be compared: 3.\n")
	require.Equal(t, "Deleted integration better_auth of project shop.\nDeleted destination old of project shop.\n",
		b.must(t, "apply", "-f", file, "--prune", "--yes"))
	b.equal(t, file)

	// Secrets that are set are sent on request.
	b.env["AUTH0_SECRET"], b.env["CLERK_SECRET"] = "another plain secret of the stream", "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx"
	var report applied
	b.decode(t, &report, "apply", "-f", file, "--set-secrets")
	require.Len(t, report.Done, 3)
	require.Zero(t, run(t.Context(), b.env, b.env["AUTH0_SECRET"], "send", "shop", "auth0", "user.created", "--secret-file", "-").status)

	// Another host takes the secrets along.
	moved := configFile(t, strings.ReplaceAll(shopFile, "crm.example.com", "crm.example.org"))
	r = b.run(t, "apply", "-f", moved)
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "destination crm of project shop: options lead to another host (https://crm.example.org:443)")
	require.Contains(t, r.err, "again in the same request, or null to remove it (422): --set-secrets sends them\n")
	require.Equal(t, "Not done:\n  update destination crm of project shop\n", r.out)
	b.must(t, "apply", "-f", moved, "--set-secrets")
	b.equal(t, moved)
	b.must(t, "apply", "-f", file, "--set-secrets")

	// What the file lacks goes back to its default.
	full := configFile(t, strings.Replace(shopFile, `{type: webhook, options: {url: "https://app.example.com/hook"}}`,
		`{type: webhook, event_types: [user.created], fields: [email], condition: .user.email != null, paused: true, pause_reason: moving,
              options: {url: "https://app.example.com/hook", headers: {X-A: b}, limit: {requests: 1, per: 1s}}}`, 1))
	require.Equal(t, "Changed destination app of project shop.\n", b.must(t, "apply", "-f", full))
	b.equal(t, full)
	require.Contains(t, b.must(t, "destinations", "list", "shop"), "by user: moving")
	require.Equal(t, "Changed destination app of project shop.\n", b.must(t, "apply", "-f", file))
	b.equal(t, file)
	require.NotContains(t, b.must(t, "export", "shop"), "paused")

	// A type cannot be changed.
	other := configFile(t, strings.Replace(shopFile, `type: webhook, options: {url: "https://app.example.com/hook"}`,
		`type: http, options: {requests: {default: {url: "https://app.example.com"}}}`, 1))
	for _, command := range []string{"plan", "apply"} {
		r := b.run(t, command, "-f", other)
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "destination app of project shop is of type webhook on the server and of type http in the file")
	}
}

func TestApplyStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := configFile(t, `
version: 1
projects:
  shop:
    integrations: {auth0: {}, better_auth: {}, clerk: {}}
    destinations:
      a: {type: webhook, options: {url: "https://a.example.com"}}
      b: {type: webhook, options: {url: "https://10.0.0.1/private"}}
      c: {type: webhook, options: {url: "https://c.example.com"}}
`)
	r := b.run(t, "apply", "-f", file)
	require.Equal(t, 1, r.status)
	require.Regexp(t, `(?s)^Created destination a of project shop\..*whsec_\S+\nNot done:\n  create destination b of project shop\n  create destination c of project shop\n$`, r.out)
	require.Contains(t, r.err, "authsync: destination b of project shop: ")
	require.Contains(t, r.err, "10.0.0.1")

	r = b.run(t, "apply", "-f", file, "--json")
	require.Equal(t, 1, r.status)
	var report applied
	require.NoError(t, json.Unmarshal([]byte(r.out), &report), r.out)
	require.Empty(t, report.Done, "the first is there")
	require.Len(t, report.NotDone, 2)
	var refused problem.Document
	require.NoError(t, json.Unmarshal([]byte(r.err), &refused), r.err)
	require.Equal(t, http.StatusUnprocessableEntity, refused.Status)
}

// A secret that the server made is printed even if what comes after it fails.
func TestASecretThatWasMadeIsNotLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	target, err := url.Parse(b.app.URL())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(target)
	between := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/pause") {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(between.Close)
	env := maps.Clone(b.env)
	env["AUTHSYNC_URL"] = between.URL
	file := configFile(t, "version: 1\nprojects: {shop: {destinations: {app: {type: webhook, paused: true, options: {url: 'https://a.example.com'}}}}}\n")
	r := run(t.Context(), env, "", "apply", "-f", file)
	require.Equal(t, 1, r.status)
	require.Regexp(t, `whsec_\S+\n`, r.out)
	require.Contains(t, r.out, "Not done:\n  create destination app of project shop\n")
	require.Equal(t, "Changed destination app of project shop.\n", strings.Split(b.must(t, "apply", "-f", file), "Left")[0])
}

func TestExportWritesNoFileTwice(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := filepath.Join(t.TempDir(), "authsync.yaml")
	require.Contains(t, b.must(t, "export", "shop", "--output", file), "Wrote "+file)
	b.equal(t, file)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, b.must(t, "export", "shop"), string(text))
	r := b.run(t, "export", "-o", file)
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, file+" exists: name another file, or remove that one first")
	var f configfile.File
	b.decode(t, &f, "export")
	require.Equal(t, "SHOP_CLERK_WEBHOOK_SIGNING_SECRET", f.Projects["shop"].Integrations["clerk"].Credentials["webhook_signing_secret"].Env)
	require.Contains(t, b.run(t, "export", "none").err, `project none: there is no project "none"`)
}

func TestConfigurationFromStandardInput(t *testing.T) {
	t.Parallel()
	b := setup(t)
	exported := b.must(t, "export")
	require.Zero(t, run(t.Context(), b.env, exported, "plan", "-f", "-").status)
	r := run(t.Context(), b.env, "version: 1\nprojcts: {}\n", "plan", "-f", "-", "--json")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, `standard input:2:1: unknown key \"projcts\": did you mean \"projects\"?`)
	var plan configfile.Plan
	r = run(t.Context(), b.env, "version: 1\n", "plan", "-f", "-", "--json")
	require.Zero(t, r.status, "other projects are none of its business")
	require.NoError(t, json.Unmarshal([]byte(r.out), &plan))
	require.Equal(t, []string{"shop"}, plan.OtherProjects)
	missing := filepath.Join(t.TempDir(), "none.yaml")
	r = b.run(t, "plan", "-f", missing)
	require.Equal(t, 1, r.status)
	require.Equal(t, "authsync: --file: there is no "+missing+": authsync export -o "+missing+" writes one\n", r.err)
}

func TestApplySaysWhatAChangeMeans(t *testing.T) {
	t.Parallel()
	b := setup(t)
	out := b.must(t, "apply", "-f", configFile(t, "version: 1\nprojects: {shop: {integrations: {auth0: {}, better_auth: {}, clerk: {options: {record_types: [users]}}}}}\n"))
	require.Equal(t, "Changed integration clerk of project shop.\n  Note: organizations are no longer mirrored: what the mirror has of them stays, and is not updated.\n", out)
}

// A pause by authsync ends with its cause; it is neither written nor a difference.
func TestAPauseByAuthsyncIsNoSetting(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", "https://app.example.com")
	file := configFile(t, b.must(t, "export"))
	_, err := b.control.Exec(t.Context(), `UPDATE authsync.destinations SET state = 'paused', state_by = 'system', state_reason = 'the token is wrong'`)
	require.NoError(t, err)
	b.equal(t, file)
	require.NotContains(t, b.must(t, "export"), "paused")
	paused := configFile(t, b.must(t, "export")+"        paused: true\n")
	require.Equal(t, "Changed destination app of project shop.\n", b.must(t, "apply", "-f", paused), "so that it stays, whatever authsync does")
	b.equal(t, paused)
}

func TestPlanNeedsNoMoreThanToRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	file := configFile(t, b.must(t, "export"))
	b.env["AUTHSYNC_API_KEY"] = strings.TrimSpace(b.must(t, "keys", "create", "ci", "--role", "read_only"))
	b.equal(t, file)
	b.env["CRM_TOKEN"] = "the token of the CRM"
	r := b.run(t, "apply", "-f", configFile(t, shopFile))
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "this key has the role read_only, and this call needs admin")
}

// A person at a terminal of 80 columns sees no line that wraps; a pipe and --json have all of it.
func TestAPlanFitsTheTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	s := &session{Process: Process{Out: &out, Screen: func(any) (int, bool) { return 80, true }, Lookup: func(string) string { return "" }}}
	long := strings.Repeat("日本語 ", 40)
	plan := configfile.Plan{Changes: []configfile.Change{{
		Action: configfile.Update, Object: configfile.DestinationObject, Project: strings.Repeat("p", 20), Name: strings.Repeat("n", 20),
		Settings: []configfile.Setting{{Name: "condition", Server: long + "\x1b[2J\n", File: "<b>"}},
		Secrets:  []configfile.Secret{{Name: "token", State: configfile.Missing, Reference: &configfile.Reference{Env: strings.Repeat("V", 90)}}},
	}}}
	require.NoError(t, s.printPlan(plan))
	for line := range strings.Lines(out.String()) {
		require.LessOrEqual(t, columns(strings.TrimSuffix(line, "\n")), 80, line)
	}
	require.NotContains(t, out.String(), "\x1b")
	s.Screen = func(any) (int, bool) { return 0, false }
	out.Reset()
	require.NoError(t, s.printPlan(plan))
	require.Contains(t, out.String(), ` → "<b>"`)
}

func TestConfigurationFilesAreCompleted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"plan", "-f"}, {"apply", "--file"}, {"export", "shop", "-o"}} {
		r := run(t.Context(), nil, "", append(append([]string{"__complete"}, args...), "")...)
		require.Zero(t, r.status, r.err)
		require.Equal(t, "yaml\nyml\n:8\n", r.out, args) // the shell lists the files that end with these
	}
}

// A project without integrations has its mirror, too: a destination can be the first that it gets.
func TestANewProjectBeginsWithADestination(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		var database, role string
		require.NoError(t, b.control.QueryRow(ctx, `SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database() || '_fresh'`).Scan(&database, &role))
		_, err := b.control.Exec(ctx, "DROP DATABASE "+pgx.Identifier{database}.Sanitize()+" WITH (FORCE)")
		require.NoError(t, err)
		_, err = b.control.Exec(ctx, "DROP ROLE "+pgx.Identifier{role}.Sanitize())
		require.NoError(t, err)
	})
	file := configFile(t, "version: 1\nprojects: {fresh: {destinations: {app: {type: webhook, options: {url: 'https://app.example.com'}}}}}\n")
	out := b.must(t, "apply", "-f", file)
	require.Contains(t, out, "Created project fresh.\nCreated destination app of project fresh.\n")
	b.equal(t, file)
	require.Contains(t, b.must(t, "users", "list", "fresh"), "No users")
	b.must(t, "doctor")
}
