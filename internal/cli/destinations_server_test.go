package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
)

// sink is a server that takes whatever it is sent.
func sink(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	t.Cleanup(server.Close)
	return server.URL
}

func (b *testBundle) decode(t *testing.T, into any, args ...string) {
	t.Helper()
	out := b.must(t, append(args, "--json")...)
	require.NoError(t, json.Unmarshal([]byte(out), into), out)
}

func TestADestinationFromAddToRemove(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "send", "shop", "clerk", "user.created", "--user", "u-1", "--wait")
	draft := b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", sink(t), "--option", "payload={only: .user.id}", "--preview", "u-1")
	require.Contains(t, draft, `"only": "u-1"`)
	out := b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", sink(t), "--fields", "email")
	require.Regexp(t, `signing_secret, shown only once:\n  whsec_\S{30,}\n`, out)
	b.must(t, "destinations", "pause", "shop", "app", "--reason", "for the test")
	require.Contains(t, b.must(t, "destinations", "list", "shop"), "by user: for the test")

	shown := b.must(t, "destinations", "preview", "shop", "app", "--user", "u-1")
	require.Contains(t, shown, "Wanted")
	require.Contains(t, shown, "POST http://127.0.0.1:")
	require.Contains(t, shown, "Webhook-Id: msg_")
	var preview client.Preview
	b.decode(t, &preview, "destinations", "preview", "shop", "app", "--user", "u-1")
	require.True(t, preview.Wanted)
	require.Len(t, preview.Requests, 1)

	var replayed client.Replayed
	b.decode(t, &replayed, "destinations", "replay", "shop", "app", "--all", "--dry-run")
	require.Equal(t, client.Replayed{Matched: 1, DryRun: true}, replayed)
	b.decode(t, &replayed, "destinations", "replay", "shop", "app", "--all")
	require.Equal(t, client.Replayed{Matched: 1, Requeued: 1}, replayed)
	var deliveries []client.Delivery
	b.decode(t, &deliveries, "deliveries", "list", "shop", "--user", "u-1")
	require.Len(t, deliveries, 1)
	require.Equal(t, "ready", deliveries[0].State)
	require.Equal(t, preview.MessageID, deliveries[0].MessageID)
	id := count(deliveries[0].ID)
	require.Contains(t, b.must(t, "explain", "shop", "u-1"), "Sent on, newest first:")
	require.Contains(t, b.must(t, "deliveries", "get", "shop", id), preview.MessageID)
	require.Regexp(t, `(?m)^POST http://127\.0\.0\.1`, b.must(t, "deliveries", "get", "shop", id, "--preview"))
	var whole client.DeliveryDetail
	b.decode(t, &whole, "deliveries", "get", "shop", id, "--preview")
	require.Equal(t, deliveries[0].ID, whole.ID)
	require.Len(t, whole.Preview.Requests, 1)

	b.must(t, "deliveries", "cancel", "shop", id, "--yes")
	require.Contains(t, b.must(t, "deliveries", "list", "shop", "--state", "cancelled", "--destination", "app"), "u-1")
	b.must(t, "deliveries", "retry", "shop", id)
	_, err := b.control.Exec(t.Context(), `UPDATE authsync.deliveries SET state = 'delivered', finished_at = now()`)
	require.NoError(t, err)
	for action, says := range map[string]string{"cancel": "delivered already (409)", "retry": "to send it again, replay the destination"} {
		args := []string{"deliveries", action, "shop", id}
		if action == "cancel" {
			args = append(args, "--yes")
		}
		refused := b.run(t, args...)
		require.Equal(t, 1, refused.status, action)
		require.Contains(t, refused.err, says)
	}

	var rotated client.Destination
	b.decode(t, &rotated, "destinations", "rotate", "shop", "app")
	require.NotNil(t, rotated.Secrets["signing_secret"].OldUntil)
	require.NotContains(t, b.must(t, "destinations", "get", "shop", "app"), rotated.Secret.Value)
	require.Contains(t, b.must(t, "destinations", "update", "shop", "app", "--name", "app2", "--fields", ""), "app2")
	require.Contains(t, b.must(t, "destinations", "resume", "shop", "app2"), "Active.")
	b.must(t, "destinations", "delete", "shop", "app2", "--yes")
	require.Contains(t, b.must(t, "destinations", "list", "shop"), "No destinations")
}

func TestWrongDestinationsAreRefusedWithWhatToChange(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", "https://app.example.com/hook")
	b.env["SHORT"] = "whsec_c2hvcnQ="
	add := func(flags ...string) []string {
		return append([]string{"destinations", "create", "shop", "x"}, flags...)
	}
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"NoJQ":               {add("--type", "webhook", "--url", "https://x.example.com", "--condition", ".user.("), "condition is no jq expression: at line 1, character 7"},
		"PrivateAddress":     {add("--type", "webhook", "--url", "https://10.0.0.1/hook"), "10.0.0.1"},
		"UnknownType":        {add("--type", "fax"), "use one of"},
		"UnknownEventType":   {add("--type", "webhook", "--url", "https://x.example.com", "--event-types", "user.renamed"), `event_types has "user.renamed"`},
		"UnknownField":       {add("--type", "webhook", "--url", "https://x.example.com", "--fields", "shoe_size"), "shoe_size"},
		"UnknownOption":      {add("--type", "webhook", "--url", "https://x.example.com", "--option", "uri=x"), "uri"},
		"ShortSecret":        {add("--type", "webhook", "--url", "https://x.example.com", "--secret-env", "signing_secret=SHORT"), "signing_secret"},
		"UnknownSecret":      {add("--type", "webhook", "--url", "https://x.example.com", "--secret-env", "token=SHORT"), "it takes signing_secret"},
		"NameTaken":          {[]string{"destinations", "create", "shop", "app", "--type", "webhook", "--url", "https://x.example.com"}, "choose another name, or change that one (409)"},
		"UnknownDestination": {[]string{"destinations", "get", "shop", "none"}, "authsync destinations list shop shows those there are (404)"},
		"UnknownDelivery":    {[]string{"deliveries", "retry", "shop", "4711"}, "no such delivery"},
		"UnknownUser":        {[]string{"destinations", "preview", "shop", "app", "--user", "nobody"}, "no such record"},
		"RotateToShort":      {[]string{"destinations", "rotate", "shop", "app", "--secret-env", "SHORT"}, "signing_secret"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := b.run(t, tc.args...)
			require.Equal(t, 1, r.status, r.out)
			require.Contains(t, r.err, tc.says)
			require.Regexp(t, `\(4(04|09|22)\)\n$`, r.err, "the API refuses it, and the command passes that on")
			require.NotContains(t, r.err, b.env["SHORT"])
			require.Equal(t, 1, strings.Count(r.err, "\n"))
		})
	}
}

func TestDoctorNamesDestinationsThatGetNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, name := range []string{"fine", "failing", "stopped", "meant", "lately"} {
		b.must(t, "destinations", "create", "shop", name, "--type", "webhook", "--url", "https://x.example.com")
	}
	_, err := b.control.Exec(t.Context(), `
		UPDATE authsync.destinations SET state = 'paused', state_by = 'system', state_reason = 'the token is wrong' WHERE name = 'stopped'`)
	require.NoError(t, err)
	_, err = b.control.Exec(t.Context(), `UPDATE authsync.destination_progress SET failing_since = '2026-01-31T12:00:00Z'
		WHERE destination_id = (SELECT id FROM authsync.destinations WHERE name = 'failing')`)
	require.NoError(t, err)
	_, err = b.control.Exec(t.Context(), `UPDATE authsync.destination_progress SET failing_since = clock_timestamp()
		WHERE destination_id = (SELECT id FROM authsync.destinations WHERE name = 'lately')`)
	require.NoError(t, err)
	b.must(t, "destinations", "pause", "shop", "meant")
	_, err = b.control.Exec(t.Context(), `INSERT INTO authsync.deliveries
		(project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at, state, finished_at)
		SELECT project_id, id, 1, 'user', 'u', 'u', 'user:u', 'user.updated', '{}', now(), 'failed', now() FROM authsync.destinations WHERE name = 'fine'`)
	require.NoError(t, err)

	r := b.run(t, "doctor")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.out, "failed   destinations: failing of project shop fails since 2026-01-31 12:00Z\n         next: authsync destinations get shop failing\n")
	require.Contains(t, r.out, "warning  destinations: lately of project shop fails since ", "it may pass")
	require.Contains(t, r.out, "failed   destinations: stopped of project shop is paused: the token is wrong\n")
	require.Contains(t, r.out, "failed   deliveries: 1 of project shop failed and are not retried")
	require.NotContains(t, r.out, "meant")
}
