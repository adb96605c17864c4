package docstest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/testkit/docstest"
	"github.com/authsync/authsync/internal/testkit/npmtest"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// packCommand makes the package of a checkout.
const (
	packCommand  = "cd clients/better-auth && npm install && npm pack"
	untestedPack = "it asks npm's registry; the test installs what npm pack makes"
)

// betterAuthPage is where the lines are for a Better Auth server without the package.
const betterAuthPage = "docs/providers/better-auth.md"

func TestBetterAuth(t *testing.T) {
	t.Parallel()
	walk{
		file:     "docs/providers/better-auth.md",
		begin:    withShop,
		commands: map[string]step{packCommand: {untested: untestedPack}},
		blocks: map[string]step{
			`import { betterAuth } from "better-auth";`: {instead: func(s *scene, text string) {
				readme, err := os.ReadFile(filepath.Join(root, "README.md"))
				require.NoError(s.t, err)
				require.Contains(s.t, string(readme), text)
				s.keepServer(text)
			}},
			`import { flush } from "@authsync/better-auth";`: {instead: func(s *scene, text string) {
				url, secret := s.generated("better-auth")
				s.node(environment("AUTHSYNC_WEBHOOK_URL="+url, "AUTHSYNC_SECRET="+secret), "auth.ts",
					betterAuthCalls+text+"\nprocess.exit(sent + waiting);")
			}},
			`import { createHmac, randomUUID } from "node:crypto";`: {instead: func(s *scene, text string) {
				s.keepSnippet(text)
				s.signUp("")
			}},
			`import { organization, type OrganizationOptions } from "better-auth/plugins";`: {
				untested: "TestBetterAuthOrganizations runs it",
			},
			"session: {": {untested: "TestBetterAuthOrganizations runs it"},
		},
	}.run(t)
}

// flushAll ends once authsync has taken everything, however long that takes.
const flushAll = `
	import { flush } from "@authsync/better-auth";
	while ((await flush(auth)).waiting > 0);`

// keepServer puts the lines of a server with the package into a file, and installs the package.
func (s *scene) keepServer(text string) {
	s.t.Helper()
	npmtest.Install(s.t, root, docsModules, s.dir)
	keepServer(s.t, s.dir, text, "", "")
}

// keepSnippet puts the lines for a server without the package into a file.
func (s *scene) keepSnippet(text string) {
	s.t.Helper()
	keepSnippet(s.t, s.dir, text)
}

func keepSnippet(t *testing.T, dir, text string) {
	t.Helper()
	keepServer(t, dir, text, `import { createAuthEndpoint } from "better-auth/api";`, `
		plugins: [{ id: "twice", endpoints: { twice: createAuthEndpoint("/twice", { method: "POST" }, async (ctx) => {
			const [user] = await ctx.context.internalAdapter.listUsers(1);
			for (const name of ["Once", "Twice"]) await ctx.context.internalAdapter.updateUser(user.id, { name });
			return ctx.json({});
		}) } }],`)
}

// keepServer puts the lines for a Better Auth server into auth.ts, with what such a server has of its own.
func keepServer(t *testing.T, dir, text, imports, more string) {
	t.Helper()
	const yours = "  // … your own: database, plugins and so on\n"
	require.Contains(t, text, yours)
	own := `
		database: memoryAdapter({ user: [], session: [], account: [], verification: [], authsyncOutbox: [] }), emailAndPassword: { enabled: true },
		secret: "of-this-test-alone-and-long-enough", baseURL: "http://localhost:3000", telemetry: { enabled: false }, rateLimit: { enabled: false },
		user: { deleteUser: { enabled: true }, additionalFields: {
			plan: { type: "string", required: false, defaultValue: "free" },
			note: { type: "string", required: false, defaultValue: "for nobody else", returned: false },
		} },` + more + "\n"
	head := `import { memoryAdapter } from "better-auth/adapters/memory"; ` + imports + "\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "auth.ts"), []byte(head+strings.Replace(text, yours, own, 1)), 0o600))
}

// signUp lets a user sign up, change and go at a Better Auth of auth.ts, and runs more at its end.
func (s *scene) signUp(more string) {
	s.t.Helper()
	url, secret := s.generated("better-auth")
	env := environment("AUTHSYNC_WEBHOOK_URL="+url, "AUTHSYNC_SECRET="+secret)
	s.node(env, "auth.ts", betterAuthCalls+`
		const { user } = await (await call("/sign-up/email", { email: "ada@example.com", password: "correct horse battery", name: "Ada Lovelace" })).json();
		await call("/update-user", { name: "Augusta King" });
		await call("/sign-up/email", { email: "eve@example.com", password: "correct horse battery", name: "Eve" });
		await call("/delete-user", { password: "correct horse battery" });`+more+`
		process.exit(0); // the deliveries were waited for`)
	s.count(1, `SELECT count(*) FROM capydb_auth.users WHERE email = 'ada@example.com' AND first_name = 'Augusta' AND deleted_at IS NULL
		AND raw ->> 'plan' = 'free' AND NOT raw ? 'note'`)
	s.count(1, `SELECT count(*) FROM capydb_auth.users WHERE email = 'eve@example.com' AND deleted_at IS NOT NULL`)
}

// receiver is an authsync that does what a test says, in the process of the Better Auth
// server. It shortens the two seconds that a request waits, and counts them.
const receiver = `
	import http from "node:http";
	const got = [], held = [], bodies = [];
	let answers = true, waits = 0;
	const server = http.createServer((request, answer) => {
		let body = "";
		request.on("data", (part) => body += part);
		request.on("end", () => {
			got.push(JSON.parse(body).type);
			bodies.push(body);
			answers ? answer.writeHead(answers === true ? 204 : answers).end() : held.push(answer);
		});
	});
	await new Promise((on) => server.listen(0, "127.0.0.1", on));
	process.env.AUTHSYNC_WEBHOOK_URL = "http://127.0.0.1:" + server.address().port;
	const later = globalThis.setTimeout;
	globalThis.setTimeout = (call, after, ...more) => {
		if (after === 2000) { waits++; after = 20; }
		return later(call, after, ...more);
	};
	const until = async (holds) => { while (!holds()) await new Promise((on) => setImmediate(on)); };
`

// A Better Auth server with the lines of the page goes on whatever happens to authsync.
func TestBetterAuthIsNeverHeldUp(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, betterAuthPage))
	require.NoError(t, err)
	blocks, _ := docstest.Blocks(string(page))
	s := &scene{t: t, dir: t.TempDir()}
	for _, block := range blocks {
		if strings.Contains(block.Text, "databaseHooks") {
			keepSnippet(t, s.dir, block.Text)
		}
	}
	cases := []struct {
		name    string
		program string
		waits   int
		sent    int // updates that arrived
	}{
		// A request waits once, however many hooks it runs, and all that they say is sent.
		{"AReceiverThatAnswers", `await call("/twice", {})`, 1, 2},
		{"AReceiverThatHangs", `answers = false; await call("/twice", {})`, 1, 2},
		{"TwoRequestsWaitEachForItself", `answers = false; await call("/twice", {}); await call("/twice", {})`, 2, 4},
		{"AReceiverThatRefuses", `answers = 503; await call("/twice", {})`, 1, 2},
		{"AnUpdateOfNobody", `await updated(null, null); await updated(7, null)`, 0, 0},
		{"NoRequest", `answers = false; await updated({ id: "x" }, null)`, 1, 1},
		{"WhatCannotBeSent", `const user = { id: "x" }; user.self = user; await updated(user, null)`, 1, 0},
		{"NoReceiver", `await new Promise((on) => { server.close(on); server.closeAllConnections(); }); await call("/twice", {})`, 1, 0},
	}
	var program strings.Builder
	program.WriteString(receiver + betterAuthCalls + `
		const updated = auth.options.databaseHooks.user.update.after, seen = [];
		await call("/sign-up/email", { email: "ada@example.com", password: "correct horse battery", name: "Ada" });
		await until(() => got.length === 1);`)
	for _, c := range cases {
		fmt.Fprintf(&program, `
		answers = true; waits = 0; got.length = 0;
		{ %s; }
		await until(() => got.length === %d);
		seen.push({ waits, got: [...got] });`, c.program, c.sent)
	}
	program.WriteString(`
		process.stdout.write("\n" + JSON.stringify(seen) + "\n", () => process.exit(0));`)
	out := s.node(environment("AUTHSYNC_SECRET=whsec_dGVzdGluZy1vbmx5LWtleS0wMDAy"), "auth.ts", program.String())
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var seen []struct {
		Waits int      `json:"waits"`
		Got   []string `json:"got"`
	}
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &seen), out)
	require.Len(t, seen, len(cases))
	for i, c := range cases {
		require.Equal(t, c.waits, seen[i].Waits, "waits: %s", c.name)
		require.Equal(t, slices.Repeat([]string{"user.updated"}, c.sent), append([]string{}, seen[i].Got...), c.name)
	}
}

// What the lines of the page send of organizations and sessions is what authsync decodes.
func TestBetterAuthOrganizations(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, betterAuthPage))
	require.NoError(t, err)
	blocks, _ := docstest.Blocks(string(page))
	s := &scene{t: t, dir: t.TempDir()}
	var hooks, session string
	for _, block := range blocks {
		switch {
		case strings.Contains(block.Text, "databaseHooks"):
			keepSnippet(t, s.dir, block.Text)
		case strings.Contains(block.Text, "organizationHooks"):
			hooks = block.Text
		case strings.HasPrefix(block.Text, "session: {"):
			session = block.Text
		}
	}
	path := filepath.Join(s.dir, "auth.ts")
	server, err := os.ReadFile(path)
	require.NoError(t, err)
	text := string(server)
	for old, by := range map[string]string{
		"plugins: [":         "plugins: [organization({ organizationHooks }), ",
		"verification: [], ": "verification: [], organization: [], member: [], invitation: [], ",
		"databaseHooks: {":   "databaseHooks: {" + session,
	} {
		require.Equal(t, 1, strings.Count(text, old), old)
		text = strings.Replace(text, old, by, 1)
	}
	require.NoError(t, os.WriteFile(path, []byte(hooks+text), 0o600))

	out := s.node(environment("AUTHSYNC_SECRET=whsec_dGVzdGluZy1vbmx5LWtleS0wMDAy"), "auth.ts", receiver+betterAuthCalls+`
		const password = "correct horse battery", json = async (path, body) => (await call(path, body)).json();
		await call("/sign-up/email", { email: "ada@example.com", password, name: "Ada" });
		const { id: organizationId } = await json("/organization/create", { name: "Harbour Works", slug: "harbour-works" });
		await call("/organization/update", { organizationId, data: { name: "Harbour Works & Sons" } });
		const invite = (email) => json("/organization/invite-member", { organizationId, email, role: ["member", "admin"] });
		const { id: invitationId } = await invite("eve@example.com");
		await call("/organization/cancel-invitation", { invitationId: (await invite("bob@example.com")).id });
		await call("/sign-out", {});
		cookie = "";
		await call("/sign-up/email", { email: "eve@example.com", password, name: "Eve" });
		const { member } = await json("/organization/accept-invitation", { invitationId });
		cookie = "";
		await call("/sign-in/email", { email: "ada@example.com", password });
		await call("/organization/update-member-role", { organizationId, memberId: member.id, role: "admin" });
		await call("/organization/remove-member", { organizationId, memberIdOrEmail: member.id });
		await call("/organization/delete", { organizationId });
		await until(() => got.includes("organization.deleted"));
		process.stdout.write("\n" + JSON.stringify(bodies) + "\n", () => process.exit(0));`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var bodies []string
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &bodies), out)
	seen := make(map[string]int)
	for _, body := range bodies {
		require.NotContains(t, body, `"token"`)
		events := betterauth.New().Decode(provider.Message{MessageID: "msg", ReceivedAt: time.Now(), Body: []byte(body)},
			provider.Options{RecordTypes: []string{"users", "organizations", "sessions"}})
		providertest.RequireValid(t, events)
		require.Equal(t, provider.Apply, events[0].Verdict, body)
		require.Empty(t, events[0].Reason, body)
		seen[events[0].Type]++
	}
	for typ, least := range map[string]int{
		"user.created": 2, "session.created": 3, "session.deleted": 1, "organization.created": 1, "organization.updated": 1, "organization.deleted": 1,
		"member.created": 2, "member.updated": 1, "member.deleted": 1, "invitation.created": 2, "invitation.updated": 2,
	} {
		require.GreaterOrEqual(t, seen[typ], least, "%s of %v", typ, seen)
	}
}
