package cli

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/receiver"
	"github.com/authsync/authsync/internal/waittest"
)

// A wrong signing secret is seen wherever somebody looks.
func TestWrongSigningSecretIsSeen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|1", "--wait")
	b.env["WRONG"] = "whsec_YW5vdGhlci1zZWNyZXQtdGhhbi1zZXQ="
	for range 3 {
		r := b.run(t, "send", "shop", "clerk", "user.created", "--secret-env", "WRONG")
		require.Equal(t, 1, r.status)
	}
	var rejected []client.Rejected
	waittest.Until(t, func() bool {
		require.NoError(t, json.Unmarshal([]byte(b.must(t, "events", "rejected", "shop", "--json")), &rejected))
		var n int64
		for _, r := range rejected {
			n += r.RequestCount
		}
		return n == 3
	})
	require.Equal(t, "clerk", rejected[0].Provider)
	require.Equal(t, "signature_mismatch", rejected[0].Reason)
	require.Equal(t, 401, rejected[0].Status)
	require.True(t, netip.MustParseAddr(*rejected[0].RemoteAddress).IsLoopback())
	require.Contains(t, rejected[0].HeaderNames, "Svix-Signature")

	out := b.must(t, "events", "rejected", "shop", "--provider", "clerk")
	require.Contains(t, out, "signature_mismatch")
	require.Contains(t, out, "Compare the provider's secret with the integration's webhook_signing_secret")
	require.Contains(t, b.must(t, "events", "rejected", "shop", "--provider", "auth0"), "No request was refused.")
	const note = "Clerk: 3 requests were refused within the last hour (signature_mismatch): authsync events rejected shop\n"
	for _, args := range [][]string{
		{"events", "list", "shop"}, {"integrations", "list", "shop"}, {"integrations", "show", "shop", "clerk"}, {"explain", "shop", "auth0|1"},
	} {
		r := b.run(t, args...)
		require.Zero(t, r.status, r.err)
		require.Contains(t, r.err, note, args)
		require.NotContains(t, r.out, "refused", args)
		r = b.run(t, append(args, "--json")...)
		require.NotContains(t, r.err, "refused", args)
	}

	r := b.run(t, "doctor")
	require.Equal(t, 1, r.status, "nothing of Clerk was accepted")
	require.Contains(t, r.out, "failed   rejected requests: 3 of clerk for project shop within the last hour, the last because it was signed with another secret than the integration has; none was accepted\n"+
		"         next: compare it with the provider's, and give the right one: authsync integrations set shop clerk --webhook-signing-secret-file -; authsync events rejected shop shows them\n")
	b.must(t, "send", "shop", "clerk", "user.created", "--wait")
	r = b.run(t, "doctor")
	require.Zero(t, r.status, r.out)
	require.Contains(t, r.out, "warning  rejected requests: 3 of clerk for project shop within the last hour", "others are accepted: anybody may have sent these")
}

func TestLineOfAMessage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 10, 20, 30, 0, time.Local)
	text := func(s string) *string { return &s }
	event := func(typ, outcome, reason string) inbox.Event {
		e := inbox.Event{EventID: text("evt_1"), Type: text(typ), Outcome: outcome}
		if reason != "" {
			e.Reason = text(reason)
		}
		return e
	}
	for name, tc := range map[string]struct {
		message receiver.Message
		events  []inbox.Event
		project string
		want    string
	}{
		"Applied": {
			receiver.Message{Provider: "clerk", InboxID: 1, MessageID: "msg_1", Status: 204},
			[]inbox.Event{event("user.created", "applied", "")},
			"demo",
			"10:20:30 clerk        user.created msg_1: applied",
		},
		"WithoutAnIDOfItsOwn": {
			receiver.Message{Provider: "auth0", InboxID: 1, Status: 204},
			[]inbox.Event{event("user.updated", "stale", "newer events had said all of it")},
			"demo",
			"10:20:30 auth0        user.updated evt_1: stale: newer events had said all of it",
		},
		"Several": {
			receiver.Message{Provider: "auth0", InboxID: 1, Status: 204},
			[]inbox.Event{event("user.updated", "applied", "x"), event("user.updated", "applied", ""), event("user.deleted", "failed", "no such thing")},
			"demo",
			"10:20:30 auth0        user.deleted, 2 user.updated evt_1: 2 applied, failed: no such thing",
		},
		"OfAnotherProject": {
			receiver.Message{Provider: "clerk", InboxID: 1, MessageID: "msg_1", Status: 204},
			[]inbox.Event{event("user.created", "applied", "")},
			"shop",
			"10:20:30 clerk        [shop] user.created msg_1: applied",
		},
		"Refused": {
			receiver.Message{Provider: "better_auth", Status: 401, Reason: "signature_mismatch", Detail: "No signing\nsecret matches."},
			nil, "demo",
			"10:20:30 better_auth  401 signature_mismatch: No signing secret matches.",
		},
		"NotJSON": {
			receiver.Message{Provider: "auth0", InboxID: 7, Status: 400, Reason: "body_not_json"},
			[]inbox.Event{{Outcome: "failed", Reason: text("the body is not JSON")}},
			"demo",
			"10:20:30 auth0        unknown type message 7: failed: the body is not JSON (answered 400)",
		},
		"Pending": {
			receiver.Message{Provider: "auth0", InboxID: 7, Status: 204},
			nil, "demo",
			"10:20:30 auth0        message 7: pending; authsync doctor may tell why",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.message.ReceivedAt = at
			require.Equal(t, tc.want, messageLine(tc.project, app.Message{Message: tc.message, Events: tc.events}))
		})
	}
}
