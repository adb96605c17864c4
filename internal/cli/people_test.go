package cli

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// runAtTerminal runs a command as a person at a terminal of so many columns does.
func runAtTerminal(ctx context.Context, env map[string]string, columns int, typed string, args ...string) result {
	var out, errs strings.Builder
	status := Main(ctx, Process{
		Program: programName, Args: args, In: strings.NewReader(typed), Out: &out, Err: &errs,
		Lookup: func(name string) string { return env[name] }, Now: time.Now,
		Screen: func(any) (int, bool) { return columns, true },
	})
	return result{out.String(), errs.String(), status}
}

func TestWhatCannotBeUndoneIsAskedAtATerminal(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"Integration": {"integrations", "delete", "shop", "clerk"},
		"Project":     {"projects", "detach", "shop"},
		"Destination": {"destinations", "delete", "shop", "crm"},
		"Key":         {"keys", "revoke", "some"},
		"Delivery":    {"deliveries", "cancel", "shop", "17"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				calls.Add(1)
				_, _ = io.WriteString(w, `{"id": 17}`)
			}))
			t.Cleanup(server.Close)
			env := map[string]string{"AUTHSYNC_URL": server.URL, "AUTHSYNC_API_KEY": "k"}
			for _, typed := range []string{"", "\n", "n\n", "no\n", "yess\n", "yes please\n"} {
				r := runAtTerminal(t.Context(), env, 80, typed, args...)
				require.Equal(t, 1, r.status, "%q", typed)
				require.Contains(t, r.err, ". Go on? [y/N] ")
				require.Contains(t, r.err, "authsync: not confirmed: nothing was done")
				require.Empty(t, r.out)
			}
			require.Zero(t, calls.Load())
			for _, typed := range []string{"y\n", "YES\n"} {
				r := runAtTerminal(t.Context(), env, 80, typed, args...)
				require.Zero(t, r.status, r.err)
			}
			require.Zero(t, runAtTerminal(t.Context(), env, 80, "", append(args, "--yes")...).status)
			require.EqualValues(t, 3, calls.Load())
			require.Equal(t, 2, run(t.Context(), env, "y\n", args...).status, "a script that pipes y was not asked")
		})
	}
}

func TestErrorsAreProblemDocumentsWithJSON(t *testing.T) {
	t.Parallel()
	decode := func(t *testing.T, text string) map[string]any {
		t.Helper()
		require.Equal(t, 1, strings.Count(text, "\n"), text)
		var document map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &document), text)
		require.NotEmpty(t, document["title"])
		require.NotEmpty(t, document["detail"])
		return document
	}
	t.Run("OfTheServer", func(t *testing.T) {
		t.Parallel()
		env, _ := answering(t, http.StatusUnprocessableEntity, `{"title": "Unprocessable Entity", "status": 422, "code": "invalid_request", "detail": "name is taken & odd",
			"errors": [{"in": "body", "field": "name", "code": "invalid", "detail": "name is odd"}], "instance": "urn:authsync:request:7"}`)
		r := run(t.Context(), env, "", "projects", "list", "--json")
		require.Equal(t, 1, r.status)
		require.Empty(t, r.out)
		document := decode(t, r.err)
		require.Equal(t, "invalid_request", document["code"])
		require.InDelta(t, 422, document["status"], 0)
		require.Equal(t, "name is taken & odd", document["detail"])
		require.Len(t, document["errors"], 1)
		require.Equal(t, "urn:authsync:request:7", document["instance"])
	})
	for name, tc := range map[string]struct {
		args   []string
		status int
		code   string
	}{
		"OfTheUsage":      {[]string{"send", "--json", "demo"}, 2, "wrong_usage"},
		"OfAnUnknownFlag": {[]string{"events", "list", "demo", "--json", "--colour"}, 2, "wrong_usage"},
		"OfNoCommand":     {[]string{"evnts", "--json"}, 2, "wrong_usage"},
		"OfNoServer":      {[]string{"projects", "list", "--json=true"}, 1, "command_failed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t.Context(), map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir()}, "", tc.args...)
			require.Equal(t, tc.status, r.status)
			require.Equal(t, tc.code, decode(t, r.err)["code"])
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	t.Parallel()
	shown := run(t.Context(), nil, "", "help", "events", "list")
	require.Zero(t, shown.status, shown.err)
	require.Equal(t, run(t.Context(), nil, "", "events", "list", "--help").out, shown.out)
	require.Contains(t, run(t.Context(), nil, "", "help").out, "Configure:")

	version := run(t.Context(), nil, "", "--version")
	require.Zero(t, version.status)
	require.Equal(t, run(t.Context(), nil, "", "version").out, version.out)
	require.Regexp(t, `^authsync .+, go1\.\d+`, version.out)
}

// complete gives the words that a shell is offered behind some others, without their descriptions.
func complete(t *testing.T, env map[string]string, words ...string) []string {
	t.Helper()
	r := run(t.Context(), env, "", append([]string{cobra.ShellCompRequestCmd}, words...)...)
	require.Zero(t, r.status, r.err)
	var offered []string
	for line := range strings.Lines(r.out) {
		if word, _, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); !strings.HasPrefix(word, ":") {
			offered = append(offered, word)
		}
	}
	return offered
}

func TestWordsAreCompleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "projects", "update", "shop", "--name", "shop")
	b.must(t, "destinations", "create", "shop", "crm", "--type", "webhook", "--url", "https://x.example.com")

	for name, tc := range map[string]struct{ words, want []string }{
		"Commands":        {[]string{"event"}, []string{"events"}},
		"Subcommands":     {[]string{"projects", "u"}, []string{"update"}},
		"Project":         {[]string{"events", "list", ""}, []string{"shop"}},
		"Provider":        {[]string{"integrations", "delete", "shop", ""}, []string{"auth0", "clerk", "better_auth", "fusionauth", "keycloak", "kinde", "logto", "propelauth", "stack_auth", "stytch", "supabase", "workos"}},
		"Type":            {[]string{"send", "shop", "better_auth", "user."}, []string{"user.created", "user.updated", "user.deleted"}},
		"Outcome":         {[]string{"events", "list", "shop", "--outcome", "f"}, []string{"failed"}},
		"ProviderFlag":    {[]string{"events", "list", "shop", "--provider", "c"}, []string{"clerk"}},
		"Destination":     {[]string{"destinations", "pause", "shop", ""}, []string{"crm"}},
		"DestinationFlag": {[]string{"deliveries", "list", "shop", "--destination", ""}, []string{"crm"}},
		"ProjectFlag":     {[]string{"keys", "create", "x", "--project", ""}, []string{"shop"}},
		"RoleFlag":        {[]string{"keys", "create", "x", "--role", "o"}, []string{"operator"}},
		"NewName":         {[]string{"projects", "create", ""}, nil},
		"TooMany":         {[]string{"events", "list", "shop", ""}, nil},
		"Help":            {[]string{"help", "destinations", "pa"}, []string{"pause"}},
		"Shell":           {[]string{"completion", "z"}, []string{"zsh"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.ElementsMatch(t, tc.want, complete(t, b.env, tc.words...))
		})
	}
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		require.Contains(t, b.must(t, "completion", shell), "authsync")
	}
}

func TestCompletingWaitsForNobody(t *testing.T) {
	t.Parallel()
	hung := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hung }))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(hung) })
	env := map[string]string{"AUTHSYNC_URL": server.URL, "AUTHSYNC_API_KEY": "k"}
	offered := make(chan []string, 1)
	go func() { offered <- complete(t, env, "events", "list", "") }() //nolint:testifylint // it is the server that must not be waited for: a failure ends the wait below
	require.Empty(t, waittest.Receive(t, offered))
	require.NotEmpty(t, complete(t, map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir()}, "integrations", "set", "p", ""), "what needs no server is offered without one")
}

func TestUsersAreFoundByEmail(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for user, email := range map[string]string{"user_1": "Ada@example.com", "user_2": "two@example.com", "user_3": "TWO@example.com"} {
		b.must(t, "send", "shop", "clerk", "user.created", "--user", user, "--set", "email="+email, "--wait")
	}
	require.Contains(t, b.must(t, "users", "list", "shop", "--email", "ada@EXAMPLE.com"), "user_1")
	var found []client.ListedUser
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "users", "list", "shop", "--email", "two@example.com", "--json")), &found))
	require.Len(t, found, 2)
	require.Len(t, strings.Split(strings.TrimSpace(b.must(t, "users", "list", "shop", "--limit", "2")), "\n"), 3)
	require.Equal(t, "No users.\n", b.must(t, "users", "list", "shop", "--email", "nobody@example.com"))

	require.Contains(t, b.must(t, "explain", "shop", "ada@example.com"), "User user_1 in")
	require.Contains(t, b.must(t, "events", "list", "shop", "--user", "ada@example.com"), "user_1")
	r := b.run(t, "explain", "shop", "two@example.com")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "several users have this address")

	// An erasure by an address that nobody has would look like that of the person.
	r = b.run(t, "erase", "shop", "adda@example.com", "--yes")
	require.Equal(t, 1, r.status, r.out)
	require.Contains(t, r.err, "project shop has no user with the address adda@example.com, and nothing was erased: give the user's id")
	require.Equal(t, "No erasures.\n", b.must(t, "erasures", "list", "shop"))
	b.must(t, "erase", "shop", "samlp|corp|ada@example.com", "--yes") // an id, which the mirror need not have
	b.must(t, "erase", "shop", "ada@example.com", "--yes")
	require.Equal(t, 3, strings.Count(b.must(t, "erasures", "list", "shop"), "\n"))
}

func TestProjectIsRenamedAndMoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Contains(t, b.must(t, "projects", "update", "shop", "--name", "boutique"), "boutique")
	require.Equal(t, 1, b.run(t, "events", "list", "shop").status)
	b.must(t, "events", "list", "boutique")
	b.must(t, "projects", "update", "boutique", "--database-url-env", "SHOP_DATABASE_URL")
	b.env["WRONG_URL"] = "postgres://nobody:x@127.0.0.1:1/none"
	r := b.run(t, "projects", "update", "boutique", "--database-url-env", "WRONG_URL", "--json")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, `"code":"database_unusable"`)
	require.Contains(t, b.must(t, "send", "boutique", "clerk", "user.created", "--wait"), "applied", "it is as it was")
}

// wideEvent is an event whose row is wider than most terminals.
func wideEvent() client.Event {
	text := func(s string) *string { return &s }
	return client.Event{
		ID: "1234567.0", Provider: "better_auth", Type: text("user.updated"), UserID: text("auth0|" + strings.Repeat("5f7c8ec7", 6)),
		Outcome: "failed", Reason: text("the project database says: new row violates check constraint " + strings.Repeat("no bad words ", 8)),
		ReceivedAt: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC),
	}
}

// A project whose database cannot be used has nothing but pending events, of which nothing is known yet.
func TestPendingEventsSayWhatTheyWaitFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|ada", "--wait")
	const reason = "the disk of the database is full: free some space"
	require.NotContains(t, b.run(t, "explain", "shop", "auth0|ada").err, "wait to be applied")
	b.restart(t, "receiver,api")
	b.must(t, "send", "shop", "auth0", "user.updated", "--user", "auth0|ada")
	execute(t, b.control, `UPDATE authsync.river_job SET state = 'scheduled', metadata = '{"output": {"wait_reason": "`+reason+`"}}'
		WHERE kind = 'apply_inbox' AND finalized_at IS NULL`)
	for _, args := range [][]string{
		{"events", "list", "shop"},
		{"events", "list", "shop", "--outcome", "pending"},
		{"events", "get", "shop", "2.0"},
	} {
		require.Contains(t, b.must(t, args...), reason, args)
	}
	require.Contains(t, b.must(t, "events", "list", "shop", "--json"), `"reason": "`+reason+`"`)
	r := b.run(t, "explain", "shop", "auth0|ada")
	require.Zero(t, r.status)
	require.Contains(t, r.err, "Events of project shop wait to be applied, and may be about this user: "+reason)
}

// Text and flags of the help are wrapped at the width of the terminal; examples, which are to be copied, are not.
func TestHelpFitsTheTerminal(t *testing.T) {
	t.Parallel()
	for _, c := range everyCommand(newRoot(Process{})) {
		r := run(t.Context(), map[string]string{"COLUMNS": "80"}, "", append(strings.Fields(c.CommandPath())[1:], "--help")...)
		require.Zero(t, r.status, r.err)
		before, rest, _ := strings.Cut(r.out, "\nUsage:\n")
		_, flags, _ := strings.Cut(rest, "\nFlags:\n")
		for line := range strings.Lines(before + flags) {
			if !strings.HasPrefix(line, "  authsync ") && !strings.HasPrefix(line, "Use \"authsync ") {
				require.LessOrEqual(t, columns(strings.TrimRight(line, "\n")), 80, "%s: %s", c.CommandPath(), line)
			}
		}
	}
	whole := run(t.Context(), nil, "", "refresh", "--help").out
	narrow := run(t.Context(), map[string]string{"COLUMNS": "60"}, "", "refresh", "--help").out
	require.Equal(t, strings.Fields(whole), strings.Fields(narrow), "no word is lost")
}

func TestTablesFitTheTerminal(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	why := strings.TrimSpace(strings.Repeat("it answers 503 ", 9))
	user := "auth0|" + strings.Repeat("5f7c8ec7", 6)
	for name, show := range map[string]func(*session) error{
		"Events": func(s *session) error { return s.printEvents(wideEvent(), wideEvent()) },
		"Follow": func(s *session) error {
			f := eventFollower{session: s}
			return f.print(wideEvent())
		},
		"Deliveries": func(s *session) error {
			return s.printOutgoing("", client.Delivery{
				ID: 1234567, Destination: "a-destination-with-a-long-name", RecordType: "user", RecordID: user, UserID: &user, EventType: "user.updated", State: "retrying",
				Attempts: 12, NextAttemptAt: &at, Reason: &why, ChangedAt: at,
			})
		},
		"Destinations": func(s *session) error {
			return s.printDestinations("shop", client.Destination{
				Name: strings.Repeat("long", 15), Type: "webhook", State: "paused", StateBy: "system", StateReason: &why, Waiting: 1e6, LastSuccessAt: &at,
			})
		},
		"Projects": func(s *session) error {
			url := "postgres://authsync@db.internal.example.com:5432/shop_production"
			return s.printProjects(client.Project{ID: "0b0c5f0a-7d7e-4d60-9a53-0d7d7b0f7a11", Name: strings.Repeat("shop", 8), Database: &url, CreatedAt: at})
		},
		"Integrations": func(s *session) error {
			return s.printIntegrations("shop", client.Integration{Provider: "better_auth", Config: client.IntegrationConfig{WebhookReceiver: user}})
		},
		"Rejected": func(s *session) error {
			address := "2001:0db8:85a3:0000:0000:8a2e:0370:7334"
			return s.printRejected(client.Rejected{ReceivedAt: at, Provider: "better_auth", Status: 401, Reason: "signature_mismatch", RequestCount: 1e6, RemoteAddress: &address})
		},
		"Users": func(s *session) error {
			email := strings.Repeat("ada.", 10) + "@example.com"
			return s.printUsers(client.ListedUser{ID: user, Email: &email, FirstName: &email, CreatedAt: &at})
		},
	} {
		for _, width := range []int{80, 100, 130} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				var out strings.Builder
				s := &session{Process: Process{
					Out: &out, Err: io.Discard, Lookup: func(string) string { return "1" }, // NO_COLOR among others
					Screen: func(any) (int, bool) { return width, true },
				}}
				require.NoError(t, show(s))
				for line := range strings.Lines(out.String()) {
					require.LessOrEqual(t, columns(strings.TrimSuffix(line, "\n")), width, line)
				}
				if strings.Contains(name, "Destin") || strings.Contains(name, "Deliv") {
					require.Contains(t, strings.Join(strings.Fields(out.String()), " "), why, "nothing of the reason is lost")
				}
			})
		}
	}
	t.Run("APipeGetsWholeRows", func(t *testing.T) {
		t.Parallel()
		var out strings.Builder
		s := &session{Process: Process{Out: &out, Lookup: func(string) string { return "" }}}
		require.NoError(t, s.printEvents(wideEvent()))
		require.Contains(t, out.String(), user)
		require.Equal(t, 2, strings.Count(out.String(), "\n"))
	})
	t.Run("COLUMNSCountsForAPipe", func(t *testing.T) {
		t.Parallel()
		var out strings.Builder
		s := &session{Process: Process{Out: &out, Lookup: func(name string) string { return map[string]string{"COLUMNS": "80"}[name] }}}
		require.NoError(t, s.printEvents(wideEvent()))
		for line := range strings.Lines(out.String()) {
			require.LessOrEqual(t, columns(line), 81)
		}
	})
}

func TestColoursAreForTerminalsThatWantThem(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		env      map[string]string
		terminal bool
		colours  bool
	}{
		"Terminal":        {map[string]string{"TERM": "xterm"}, true, true},
		"Pipe":            {map[string]string{"TERM": "xterm"}, false, false},
		"NoColor":         {map[string]string{"NO_COLOR": "1"}, true, false},
		"NoColorButEmpty": {map[string]string{"NO_COLOR": ""}, true, true},
		"DumbTerminal":    {map[string]string{"TERM": "dumb"}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			s := &session{Process: Process{
				Out: &out, Lookup: func(name string) string { return tc.env[name] },
				Screen: func(any) (int, bool) { return 80, tc.terminal },
			}}
			require.NoError(t, s.printEvents(wideEvent()))
			require.Equal(t, tc.colours, strings.Contains(out.String(), "\x1b[31mfailed\x1b[0m"), "%q", out.String())
			require.Equal(t, tc.colours, strings.Contains(out.String(), "\x1b["))
		})
	}
}
