package docstest_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/docstest"
)

// receiver is an authsync that does what a test says, in the process of the Better Auth
// server. It shortens the two seconds that a request waits, and counts them.
const receiver = `
	import http from "node:http";
	const got = [], held = [];
	let answers = true, waits = 0;
	const server = http.createServer((request, answer) => {
		let body = "";
		request.on("data", (part) => body += part);
		request.on("end", () => {
			got.push(JSON.parse(body).type);
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

// A Better Auth server with the lines of the README goes on whatever becomes of authsync.
func TestBetterAuthIsNeverHeldUp(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	require.NoError(t, err)
	blocks, _ := docstest.Blocks(string(readme))
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
