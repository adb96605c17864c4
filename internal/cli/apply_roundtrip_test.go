package cli

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// hostileFile has every option there is, and names and texts that YAML could take for something else. ADDRESS is where
// it all goes.
const hostileFile = `
version: 1
projects:
  "123":
    database_url: {env: PROJECT_123_DATABASE_URL}
    keep_days: {inbox: 5, ledger: 9, deliveries: 100}
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
      custom:acme-id:
        credentials:
          webhook_signing_secret: {env: PROJECT_123_CUSTOM_ACME_ID_WEBHOOK_SIGNING_SECRET}
        options:
          record_types: [users]
          definition:
            title: "no"
            signature: {scheme: hmac, header: X-Sig, signed: "{time}.{body}", time_header: X-Time, tolerance: 90s}
            event: {type: .t, test: .test == true}
            types: {"on": user.created, 'a: "b"': user.updated}
            ignore: {"*": "it's nothing # really"}
            records:
              user:
                id: .id
                email: |
                  # the first
                  .emails
                    | first
            secrets: ["null"]
      supabase:
        credentials:
          webhook_signing_secret: {env: PROJECT_123_SUPABASE_WEBHOOK_SIGNING_SECRET}
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
  "0-chain":
    database_url: {env: PROJECT_0_CHAIN_DATABASE_URL}
    clone_of: {project: 1-still}
  "1-still":
    database_url: {env: PROJECT_1_STILL_DATABASE_URL}
    clone_of: {project: "123", mode: still}
    keep_days: {changes: 30}
    integrations:
      stytch: {credentials: {webhook_signing_secret: {env: PROJECT_1_STILL_STYTCH_WEBHOOK_SIGNING_SECRET}}}
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
	require.Contains(t, r.out, "\n16 to create, 0 to change, 0 unchanged, 0 not in the file.\n")
	out := first.must(t, "apply", "-f", file)
	require.NotContains(t, out, "shown only once", "all secrets were given")
	require.Contains(t, out, "Created project 1-still.\nCreated integration stytch of project 1-still.\n", "once all was copied")
	first.equal(t, file)

	r = first.run(t, "export")
	require.Contains(t, r.err, "Note: webhook_signing_secret of integration clerk of project authsync_api is 2 secrets: give them one per line.\n")
	exported := r.out
	require.Contains(t, exported, "{env: PROJECT_AUTHSYNC_API_A_B_SIGNING_SECRET_2}", "two names that make the same variable")
	require.NotRegexp(t, `env: (AUTHSYNC_|[0-9])`, exported)
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
	var running struct {
		sync.Mutex

		*exec.Cmd
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(answer *http.Response) error {
		if answer.Request.Method == http.MethodGet {
			return nil
		}
		running.Lock()
		defer running.Unlock()
		return running.Process.Kill()
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
		running.Lock()
		running.Cmd = cmd
		err := cmd.Start()
		running.Unlock()
		require.NoError(t, err)
		if cmd.Wait() == nil {
			require.Equal(t, "Nothing to do: the server is what the file says.\n", out.String())
			break
		}
		require.Equal(t, -1, cmd.ProcessState.ExitCode(), "it was killed: %s", out.String())
		kills++
	}
	require.Equal(t, 16+1, kills, "the objects, and the pause of one")
	b.env["AUTHSYNC_URL"] = b.app.URL()
	require.Equal(t, reference.must(t, "export"), b.must(t, "export"))
}
