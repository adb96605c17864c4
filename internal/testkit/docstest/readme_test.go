package docstest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/docstest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const partOfIt = "this test is a part of it"

const auth0Stream = "est_AAAAAAAAAAAAAAAAAAAAAA"

func TestREADME(t *testing.T) {
	t.Parallel()
	var orders string
	var clerk, auth0 string // base URLs
	var crm string
	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(5), time.Now)
	tenant.Scope = "read:users " + demoprovider.Auth0StreamScopes
	walk{
		file: "README.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			stage, err := theStage()
			require.NoError(t, err)
			t.Cleanup(func() { // as root, PostgreSQL's data lies where its account can reach it
				if moved, err := os.ReadFile(filepath.Join(stage.clone, ".authsync", "postgres", "moved-to")); err == nil {
					require.NoError(t, os.RemoveAll(strings.TrimSpace(string(moved))))
				}
			})
			s := newScene(t, stage.clone)
			clerk, auth0 = userapitest.Start(t, demoprovider.NewClerk(demoprovider.NewAccount(12), time.Now)), userapitest.Start(t, tenant)
			crm = s.receiver().URL
			return s
		},
		commands: map[string]step{
			"make run": {beside: "Ctrl-C stops it"},
			"bin/authsync dev --demo-provider": {before: func(s *scene) {
				s.server.Interrupt()
				waittest.Receive(s.t, s.server.Done())
			}, beside: "Ctrl-C stops it", after: func(s *scene) {
				s.hidden("set -a; . .authsync/connection.env; set +a") // its port is another one, in this test
			}},
			"bin/authsync reconcile demo auth0 --dry-run": {status: 1}, // somebody is missing
			"make test":         {untested: partOfIt},
			"make test/browser": {untested: "it runs another package of tests, as make test does"},
			"make lint":         {untested: "it may build its linter first; it is a part of make check, as this test is"},
			"make check":        {untested: partOfIt},
			"make bench":        {untested: "it takes minutes and all of the machine; the tests of scripts/bench run it on less"},
			"make fuzz":         {untested: "it takes half a minute for each target; go test runs what fuzzing has found"},
			"make golden":       {untested: "it writes into the checkout; TestGoldenDump and others compare what it writes"},
			"make dist":         {untested: "it may build its tool first, which takes minutes; make test/dist runs it"},
			"make test/dist":    {untested: "it takes minutes, and root"},
			"make test/chart":   {untested: "it may build its tool first, which takes minutes"},
			"authsync keys create ops": {
				before: func(s *scene) {
					s.server.Interrupt()
					waittest.Receive(s.t, s.server.Done())
					s.newShell() // production is another machine
					s.serve()
				},
				after: func(s *scene) {
					s.values["the API key"] = regexp.MustCompile(`capy_live_\w+`).FindString(s.last("capy_live_"))
				},
			},
			"authsync projects create shop --database-url-file -": {
				input: func(s *scene) string { return s.project + "\n" },
			},
			"authsync integrations set shop clerk --secret-key-env CLERK_SECRET_KEY": {before: func(s *scene) {
				s.put("clerk", map[string]any{"options": map[string]string{"base_url": clerk}})
			}},
			"authsync integrations set shop clerk --webhook-signing-secret-file -": {input: func(*scene) string {
				return string(provider.NewSigningSecret(provider.BetterAuth)) + "\n" // Clerk's have the same form
			}, after: func(s *scene) { s.count(12, `SELECT count(*) FROM capydb_auth.users WHERE provider = 'clerk'`) }},
			"authsync integrations set shop auth0 --generate-secret": {after: func(s *scene) {
				s.values["Auth0's receiver"], s.values["Auth0's secret"] = s.generated("auth0")
				s.deliver(s.values["Auth0's receiver"], s.values["Auth0's secret"], auth0Event("evt_1", demoprovider.Auth0ID(3)))
				s.count(1, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, demoprovider.Auth0ID(3))
			}},
			"authsync integrations set shop better-auth --generate-secret": {after: func(s *scene) { s.signUp(flushAll) }},
			"authsync refresh shop 'auth0|…'": {before: func(s *scene) {
				tenant.Streams.Start(s.url, demoprovider.Auth0Stream{ID: auth0Stream, Name: "authsync", Endpoint: s.values["Auth0's receiver"], Token: s.values["Auth0's secret"]})
				s.put("auth0", readAuth0(auth0))
			}},
			"authsync grant shop app --ensure-user": {before: func(s *scene) {
				s.execute(s.stage.postgres.URL("postgres"), `CREATE ROLE app`)
			}},
			"authsync reconcile shop clerk --dry-run": {before: func(s *scene) {
				s.hidden("authsync backfill shop clerk --status || authsync backfill shop clerk")
			}},
		},
		blocks: map[string]step{
			"SELECT o.id, o.total, u.email": {instead: func(_ *scene, text string) { orders = text }},
			"              verify the signature,          one River job per project:       one call per batch, guarded by the": {
				untested: "it is a picture",
			},
			`import { betterAuth } from "better-auth";`: {instead: (*scene).keepServer},
			"INSERT INTO orders (user_id, total) VALUES (capydb_auth.ensure_user('auth0|…'), 42);": {before: func(s *scene) {
				s.execute(s.project, `CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY, user_id text REFERENCES capydb_auth.users (id), total numeric)`)
			}},
		},
		paste: func(s *scene) []string {
			return []string{
				"https://authsync.example.com", s.url, "capy_live_…", s.values["the API key"], "sk_live_…", demoprovider.ClerkKey, "auth0|…", demoprovider.Auth0ID(3),
				"https://app.example.com", crm,
			}
		},
		end: func(s *scene) {
			s.count(1, `SELECT count(*) FROM (`+strings.TrimSuffix(strings.TrimSpace(orders), ";")+`) AS o`)
		},
	}.run(t)
}

// generated finds what integrations set --generate-secret printed to be pasted.
func (s *scene) generated(provider string) (url, secret string) {
	s.t.Helper()
	out := s.last("/integrations/" + provider + "/webhook/")
	url = regexp.MustCompile(`http://\S+/webhook/[0-9a-f-]+`).FindString(out)
	found := regexp.MustCompile(`webhook_signing_secret, shown only once:\s+(\S+)`).FindStringSubmatch(out)
	require.NotNil(s.t, found, out)
	return url, found[1]
}

// betterAuthCalls is a browser that calls the Better Auth server of auth.ts.
const betterAuthCalls = `
	import { auth } from "./auth.mjs";
	let cookie = "";
	async function call(path, body) {
		const answer = await auth.handler(new Request("http://localhost:3000/api/auth" + path, {
			method: "POST", headers: { "content-type": "application/json", origin: "http://localhost:3000", cookie }, body: JSON.stringify(body),
		}));
		if (answer.status !== 200) throw new Error(path + ": " + answer.status + " " + await answer.text());
		cookie = answer.headers.getSetCookie().map((c) => c.split(";")[0]).join("; ") || cookie;
		return answer;
	}
`

// docsModules has the npm packages of these tests.
const docsModules = ".bin/docs-node-2/node_modules"

// node runs a program beside a TypeScript or JavaScript file until its end.
func (s *scene) node(env []string, file, program string) string {
	s.t.Helper()
	run := s.startNode(env, file, program)
	waittest.Receive(s.t, run.Done())
	require.True(s.t, run.Succeeded(), run.Output())
	return run.Output()
}

func (s *scene) startNode(env []string, file, program string) *docstest.Program {
	s.t.Helper()
	modules, err := filepath.Abs(filepath.Join(root, docsModules))
	require.NoError(s.t, err)
	require.DirExists(s.t, modules, "make tools installs what programs of the docs need, with npm")
	if _, err := os.Lstat(filepath.Join(s.dir, "node_modules")); err != nil {
		require.NoError(s.t, os.Symlink(modules, filepath.Join(s.dir, "node_modules")))
	}
	name := strings.TrimSuffix(file, filepath.Ext(file))
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name+".run.mjs"), []byte(program), 0o600))
	strip := `const fs = require("fs"), { transform } = require("sucrase");
		fs.writeFileSync("` + name + `.mjs", transform(fs.readFileSync("` + file + `", "utf8"), { transforms: ["typescript"] }).code);`
	require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "strip.cjs"), []byte(strip), 0o600))
	run, err := docstest.Start(s.t.Context(), s.dir, "sh -c 'node strip.cjs && exec node "+name+".run.mjs'", env)
	require.NoError(s.t, err)
	return run
}

func auth0Event(id, user string) string {
	return `{"id": "` + id + `", "type": "user.created", "time": "2026-03-01T12:00:00Z", "data": {"object": {
		"user_id": "` + user + `", "email": "ada@example.com", "created_at": "2026-03-01T12:00:00Z", "updated_at": "2026-03-01T12:00:00Z"}}}`
}

// readAuth0 is what a reader stores to let authsync read a tenant.
func readAuth0(base string) map[string]any {
	return map[string]any{"credentials": map[string]string{
		"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret,
	}, "options": map[string]string{"base_url": base}}
}
