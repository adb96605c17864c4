package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func everyCommand(root *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{root}
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, everyCommand(c)...)
		}
	}
	return all
}

// The whole help is one file, so that a change of a word shows in review.
func TestHelpGolden(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, c := range everyCommand(newRoot(Process{})) {
		path := strings.Fields(c.CommandPath())[1:]
		r := run(t.Context(), nil, "", append(path, "--help")...)
		require.Zero(t, r.status, r.err)
		all.WriteString("$ " + c.CommandPath() + " --help\n" + r.out + "\n")
	}
	pgtest.Golden(t, "testdata/help.golden", all.String())
}

func TestEveryCommandTeachesWithAnExample(t *testing.T) {
	t.Parallel()
	for _, c := range everyCommand(newRoot(Process{})) {
		require.NotEmpty(t, c.Example, c.CommandPath())
		require.Contains(t, c.Example, c.CommandPath(), "the example shows the command")
		require.LessOrEqual(t, columns(c.Short), 70, c.CommandPath())
		for line := range strings.Lines(c.Long) {
			require.LessOrEqual(t, columns(strings.TrimRight(line, "\n")), 90, c.CommandPath())
		}
	}
}

func TestConfigGolden(t *testing.T) {
	t.Parallel()
	r := run(t.Context(), map[string]string{"DATABASE_URL": "postgres://u:p@h/d", "AUTHSYNC_ROLES": "worker"}, "", "config")
	require.Zero(t, r.status, r.err)
	pgtest.Golden(t, "testdata/config.golden", r.out)
}

func TestTablesGolden(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 31, 12, 0, 0, 5e6, time.UTC)
	text := func(s string) *string { return &s }
	var out strings.Builder
	s := &session{Process: Process{Out: &out, Err: &out}}
	created := client.Event{
		ID: "17.0", Provider: "auth0", EventID: text("evt_1"), Type: text("user.created"), UserID: text("auth0|1"),
		EventTime: &at, Outcome: "applied", ReceivedAt: at.Add(time.Second), AppliedAt: &at, InboxID: 17,
	}
	stale := created
	stale.ID, stale.EventID, stale.Outcome, stale.Reason = "18.0", text("evt_2"), "stale", text("newer events had already set all its fields")
	unread := client.Event{ID: "19.0", Provider: "clerk", Outcome: "pending", ReceivedAt: at}

	require.NoError(t, s.printEvents(unread, stale, created))
	out.WriteString("\n")
	next := at.Add(time.Minute)
	require.NoError(t, s.printEvent(stale, []client.Job{{
		ID: 5, Kind: "retry_event", State: "retryable", Attempt: 2, MaxAttempts: 25, NextTryAt: &next, LastError: text("the database reports: no"),
	}}))
	out.WriteString("\n")
	user := client.Record{
		ListedRecord: client.ListedRecord{RecordType: "user", RecordID: "auth0|1", Record: map[string]any{
			"id": "auth0|1", "email": "ada@example.com", "username": nil, "deleted_at": nil,
			"last_event_processed": at.Format(time.RFC3339Nano), "provider": "auth0",
		}},
		Sources: []client.Source{{Column: "email", EventID: text("evt_1"), SetAt: &at}, {Column: "username"}, {Column: "deleted_at", EventID: text("evt_1"), SetAt: &at}},
		Changes: []client.Change{{Kind: "created", Changed: []string{"email"}, Provider: "auth0", EventID: "evt_1"}},
	}
	users, _ := record.Of(record.User)
	require.NoError(t, s.printRow("shop", users, user))
	require.NoError(t, s.printHistory(users, user, []client.Event{created, stale}))
	out.WriteString("\n")
	require.NoError(t, s.printProjects(client.Project{ID: "0b0c", Name: "shop", Database: text("postgres://u@h:5432/shop"), CreatedAt: at}))
	require.NoError(t, s.printProjects())
	out.WriteString("\n")
	require.NoError(t, s.printIntegrations("shop", client.Integration{
		Provider: "clerk", Credentials: map[string]client.CredentialState{"webhook_signing_secret": {Set: true, Count: 2}},
		Options: []byte(`{"absent_fields":"clear"}`), Config: client.IntegrationConfig{WebhookReceiver: "https://x/hook"},
	}))
	out.WriteString("\n")
	for _, c := range []check{{Check: "a", OK: true}, {Check: "b", OK: true, Got: "fine"}, {Check: "c", Got: "broken"}, {Check: "d", Expected: "x", Got: "y"}} {
		require.NoError(t, s.printCheck(c))
	}
	require.ErrorIs(t, s.finish([]check{{OK: true}, {}}), errReported)
	pgtest.Golden(t, "testdata/tables.golden", out.String())
}

func TestPollGivesTheCauseOfItsEnd(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 30*time.Millisecond, errReported)
	defer cancel()
	_, err := poll(ctx, func() (int, bool, error) { return 0, false, nil })
	require.ErrorIs(t, err, errReported)
}
