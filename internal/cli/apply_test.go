package cli

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/configfile"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// hostileFile has every option there is, and names and texts that YAML could take for something else. ADDRESS is where
// it all goes.
const hostileFile = `
version: 1
projects:
  "123":
    database_url: {env: PROJECT_123_DATABASE_URL}
    integrations:
      auth0:
        credentials:
          webhook_authorization: {env: PROJECT_123_AUTH0_WEBHOOK_AUTHORIZATION}
        options:
          absent_fields: clear
          base_url: ADDRESS
          record_types: [users, organizations, sessions]
          reconcile: {every: never}
      better-auth:
        credentials:
          webhook_signing_secret: {file: better-auth.secret}
        options:
          signature_formats: [standard_webhooks, better_auth_signature]
          base_url: ADDRESS
          reconcile: {every: 7d, max_deleted_percent: 0}
          source:
            schema: "yes"
            user_table: "null"
            session_table: 'it''s "quoted"'
            columns: {emailVerified: "on"}
            session_columns: {userId: user id}
    destinations:
      "null":
        type: webhook
        event_types: [organization.*, user.deleted]
        fields: [email, raw.app_metadata.plan]
        condition: |
          # only those who pay
          .user.raw["a: b"] != null
            and true
        options:
          url: ADDRESS/a?b=%7B#c
          headers: {X-Plain: "yes", X-Colon: "a: b # c", X-Number: "0x1F", X-Quotes: "'\"", X-Brace: "{{ x }}"}
          payload: "{text: \"a\\t\\(.user.email // \"none\")\"}"
          limit: {requests: 5, per: 1s, daily: 100, zone: Europe/Berlin, account: "~"}
          svix_headers: true
        secrets:
          signing_secret: {env: PROJECT_123_NULL_SIGNING_SECRET}
        paused: true
        pause_reason: "moving: the\nCRM \"today\" # \u2028 \U0001F600 "
      "1e3":
        type: http
        options:
          requests:
            user.deleted: {method: DELETE, url: "ADDRESS/{{ .user.id }}"}
            user.*: {url: ADDRESS, headers: {X-A: "{{ $secrets.no }}"}, body: "{a: 010, b: \"é日本\"}"}
            default: {method: PUT, url: ADDRESS}
          headers: {}
          idempotency_header: ""
          success: [2xx, 404]
          retry: ["409"]
          give_up: [410]
          latest: true
          keep_empty: true
        secrets:
          "no": {env: PROJECT_123_1E3_NO}
      "2026-01-31":
        type: hubspot
        fields: [email]
        options:
          properties: {lastname: null, plan: .user.raw.app_metadata.plan, "true": '"~"'}
          id_property: authsync_user_id
          id_path: raw.app_metadata.hubspot
          missing: skip
          on_delete: {set: {user_status: "no", score: 0, vip: false}}
          on_restore: {set: {user_status: ""}}
          tier: professional
          portal_id: 12345678
          requests_per_10s: 90
          requests_per_day: 1000
          time_zone: Europe/Berlin
          base_url: ADDRESS
        secrets:
          access_token: {env: PROJECT_123_2026_01_31_ACCESS_TOKEN}
  authsync_api:
    database_url: {env: PROJECT_AUTHSYNC_API_DATABASE_URL}
    integrations:
      clerk:
        credentials:
          secret_key: {env: PROJECT_AUTHSYNC_API_CLERK_SECRET_KEY}
          webhook_signing_secret: {env: PROJECT_AUTHSYNC_API_CLERK_WEBHOOK_SIGNING_SECRET}
        options: {base_url: ADDRESS, reconcile: {every: 52w, max_deleted_percent: 7.5}}
    destinations:
      a-b: {type: webhook, options: {url: ADDRESS}, secrets: {signing_secret: {env: PROJECT_AUTHSYNC_API_A_B_SIGNING_SECRET}}}
      a_b: {type: webhook, options: {url: ADDRESS}, secrets: {signing_secret: {env: PROJECT_AUTHSYNC_API_A_B_SIGNING_SECRET_2}}}
      key: {type: http, options: {requests: {default: {url: ADDRESS}}}, secrets: {key: {env: PROJECT_AUTHSYNC_API_KEY_KEY}}}
`

// fill puts a secret of the right form where each reference of a file leads.
func (b *testBundle) fill(t *testing.T, dir, text string) {
	t.Helper()
	for _, found := range regexp.MustCompile(`\{env: "?(\w+)"?\}`).FindAllStringSubmatch(text, -1) {
		name, value := found[1], "pat-a-long-secret-of-"+found[1]
		switch {
		case strings.HasSuffix(name, "DATABASE_URL"):
			value = pgtest.URL(t, pgtest.Project(t))
		case strings.HasSuffix(name, "WEBHOOK_SIGNING_SECRET"):
			value = "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx\nwhsec_dGVzdGluZy1vbmx5LWtleS0wMDAy"
		case strings.Contains(name, "SIGNING_SECRET"):
			value = "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAwMDAwMDAwMDAwMDAz"
		case strings.HasSuffix(name, "AUTHORIZATION"):
			value = `{"method": "basic", "username": "u", "password": "a long password of Auth0's"}`
		case strings.HasSuffix(name, "CLERK_SECRET_KEY"):
			value = "sk_test_" + name
		}
		if b.env[name] == "" {
			b.env[name] = value
		}
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "better-auth.secret"), []byte("whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx\n"), 0o600))
}

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

func TestAFileMakesTheSameServerElsewhere(t *testing.T) {
	t.Parallel()
	first, second := setupEmpty(t), setupEmpty(t)
	file := configFile(t, strings.ReplaceAll(hostileFile, "ADDRESS", sink(t)))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	first.fill(t, filepath.Dir(file), string(text))

	r := first.run(t, "plan", "-f", file)
	require.Equal(t, 2, r.status, r.err)
	require.Empty(t, r.err)
	require.Contains(t, r.out, "\n11 to create, 0 to change, 0 unchanged, 0 not in the file.\n")
	out := first.must(t, "apply", "-f", file)
	require.NotContains(t, out, "shown only once", "all secrets were given")
	first.equal(t, file)

	exported := first.must(t, "export")
	for name, value := range first.env {
		if strings.HasPrefix(name, "PROJECT_") {
			require.NotContains(t, exported, value)
		}
	}
	satisfiesSchema(t, exported)
	copied := configFile(t, exported)
	first.equal(t, copied)
	second.fill(t, t.TempDir(), exported)
	second.must(t, "apply", "-f", copied)
	require.Equal(t, exported, second.must(t, "export"))
	second.equal(t, copied)
}

// satisfiesSchema checks a file as an editor does.
func satisfiesSchema(t *testing.T, text string) {
	t.Helper()
	schema, err := jsonschema.NewCompiler().Compile("../../docs/authsync.schema.json")
	require.NoError(t, err)
	var value any
	require.NoError(t, yaml.Unmarshal([]byte(text), &value))
	require.NoError(t, schema.Validate(value))
}

// The process is killed after each change that the server makes, before it hears of it.
func TestApplyThatIsKilledGoesOn(t *testing.T) {
	t.Parallel()
	b, reference := setupEmpty(t), setupEmpty(t)
	file := configFile(t, strings.ReplaceAll(hostileFile, "ADDRESS", sink(t)))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	b.fill(t, filepath.Dir(file), string(text))
	reference.fill(t, filepath.Dir(file), string(text))
	reference.must(t, "apply", "-f", file)

	target, err := url.Parse(b.app.URL())
	require.NoError(t, err)
	program, err := os.Executable()
	require.NoError(t, err)
	var running atomic.Pointer[exec.Cmd]
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(answer *http.Response) error {
		if answer.Request.Method == http.MethodGet {
			return nil
		}
		return running.Load().Process.Kill()
	}
	between := httptest.NewServer(proxy)
	t.Cleanup(between.Close)
	b.env["AUTHSYNC_URL"] = between.URL
	kills := 0
	for {
		cmd := exec.CommandContext(t.Context(), program, "apply", "-f", file)
		cmd.Args[0] = programName
		cmd.Env = []string{}
		for name, value := range b.env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		running.Store(cmd)
		require.NoError(t, cmd.Start())
		if cmd.Wait() == nil {
			require.Equal(t, "Nothing to do: the server is what the file says.\n", out.String())
			break
		}
		require.Equal(t, -1, cmd.ProcessState.ExitCode(), "it was killed: %s", out.String())
		kills++
	}
	require.Equal(t, 11+1, kills, "the objects, and the pause of one")
	b.env["AUTHSYNC_URL"] = b.app.URL()
	require.Equal(t, reference.must(t, "export"), b.must(t, "export"))
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

	// Pruning asks first.
	r = b.run(t, "apply", "-f", file, "--prune")
	require.Equal(t, 2, r.status)
	require.Contains(t, r.err, "--prune deletes integration better_auth of project shop, destination old of project shop: ")
	require.Contains(t, r.err, "add --yes if that is meant")
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
	var refused client.RefusedError
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
	require.Equal(t, 1, b.run(t, "plan", "-f", filepath.Join(t.TempDir(), "none.yaml")).status)
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

func TestConfigurationFilesAreCompleted(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"plan", "-f"}, {"apply", "--file"}, {"export", "shop", "-o"}} {
		r := run(t.Context(), nil, "", append(append([]string{"__complete"}, args...), "")...)
		require.Zero(t, r.status, r.err)
		require.Equal(t, "yaml\nyml\n:8\n", r.out, args) // the shell lists the files that end with these
	}
}
