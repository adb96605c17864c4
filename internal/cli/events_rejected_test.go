package cli

import (
	"encoding/json"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/testkit/waittest"
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
	require.Contains(t, b.must(t, "events", "rejected", "shop", "--provider", "auth0"), "No request was rejected.")
	const note = "Clerk: 3 requests were rejected within the last hour (signature_mismatch): authsync events rejected shop\n"
	for _, args := range [][]string{
		{"events", "list", "shop"},
		{"integrations", "list", "shop"},
		{"integrations", "get", "shop", "clerk"},
		{"explain", "shop", "auth0|1"},
		{"explain", "shop", "user/auth0|1"},
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
	require.Contains(t, r.out, "failed   rejected requests: 3 requests of clerk for project shop were rejected within the last hour, the last because it was signed with another secret than the integration has; none was accepted\n"+
		"         next: compare it with the provider's, and give the right one: authsync integrations set shop clerk --webhook-signing-secret-file -; authsync events rejected shop shows them\n")
	b.must(t, "send", "shop", "clerk", "user.created", "--wait")
	r = b.run(t, "doctor")
	require.Zero(t, r.status, r.out)
	require.Contains(t, r.out, "warning  rejected requests: 3 requests of clerk for project shop were rejected within the last hour", "others are accepted: anybody may have sent these")
}

func TestLineOfAMessage(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 10, 20, 30, 0, time.Local)
	of := func(events int64, typ string, outcomes ...inbox.OutcomeTally) *inbox.Tally {
		return &inbox.Tally{Events: events, EventID: new("evt_0"), Types: []inbox.TypeTally{{Type: &typ, Events: events}}, Outcomes: outcomes}
	}
	outcome := func(n int64, outcome, id, reason string) inbox.OutcomeTally {
		o := inbox.OutcomeTally{Outcome: outcome, Events: n, Ordinal: 3, EventID: &id, Reason: &reason}
		if id == "" {
			o.EventID = nil
		}
		return o
	}
	for name, tc := range map[string]struct {
		message receiver.Message
		tally   *inbox.Tally
		project string
		want    string
		others  int64
	}{
		"Applied": {
			receiver.Message{Provider: "clerk", InboxID: 1, MessageID: "msg_1", Status: 204},
			of(1, "user.created", outcome(1, "applied", "evt_0", "")),
			"demo",
			"10:20:30 clerk        user.created msg_1: applied",
			0,
		},
		"WithoutAnIDOfItsOwn": {
			receiver.Message{Provider: "auth0", InboxID: 1, Status: 204},
			of(1, "user.updated", outcome(1, "stale", "evt_0", "newer events had already set all its fields")),
			"demo",
			"10:20:30 auth0        user.updated evt_0: stale: newer events had already set all its fields",
			0,
		},
		"OneOfManyFailed": {
			receiver.Message{Provider: "auth0", InboxID: 1, Status: 204},
			of(1500, "user.created", outcome(1499, "applied", "evt_9", "a note"), outcome(1, "failed", "evt_3", "no such thing")),
			"demo",
			"10:20:30 auth0        1500 user.created evt_0: 1499 applied, failed: evt_3: no such thing",
			0,
		},
		"SeveralFailedThatHaveNoIDs": {
			receiver.Message{Provider: "auth0", InboxID: 7, Status: 204},
			of(12, "user.created", outcome(2, "failed", "", "no such thing"), outcome(10, "stale", "", "")),
			"demo",
			"10:20:30 auth0        12 user.created evt_0: 2 failed, 10 stale: 7-3: no such thing",
			0,
		},
		"OfMoreTypesThanALineTakes": {
			receiver.Message{Provider: "auth0", InboxID: 7, Status: 204},
			&inbox.Tally{
				Events: 9, EventID: new("evt_0"), OtherTypes: 3, Outcomes: []inbox.OutcomeTally{outcome(9, "applied", "evt_0", "")},
				Types: []inbox.TypeTally{{Type: new("user.updated"), Events: 5}, {Events: 1}},
			},
			"demo",
			"10:20:30 auth0        5 user.updated, unknown type, 3 other types evt_0: 9 applied",
			0,
		},
		"OfAnotherProject": {
			receiver.Message{Provider: "clerk", InboxID: 1, MessageID: "msg_1", Status: 204},
			of(1, "user.created", outcome(1, "applied", "evt_0", "")),
			"shop",
			"10:20:30 clerk        [shop] user.created msg_1: applied",
			0,
		},
		"Refused": {
			receiver.Message{Provider: "better_auth", Status: 401, Reason: "signature_mismatch", Detail: "No signing\nsecret matches."},
			nil, "demo",
			"10:20:30 better_auth  401 signature_mismatch: No signing secret matches.",
			0,
		},
		"OfNoProject": {
			receiver.Message{Provider: "clerk", Status: 404, Reason: "project_unknown", Path: "/x/%1B", Detail: "There is no project shop."},
			nil, "",
			"10:20:30 clerk        404 project_unknown at /x/%1B: There is no project shop. authsync integrations list PROJECT prints the right URLs.",
			0,
		},
		"OneOfManyOfNoProject": {
			receiver.Message{Provider: "unknown", Status: 404, Reason: "path_unknown", Path: "/webhook", Detail: "There is nothing."},
			nil, "",
			"10:20:30 unknown      404 path_unknown at /webhook: There is nothing. authsync integrations list PROJECT prints the right URLs. (and 12 more to URLs of no project)",
			12,
		},
		"NotJSON": {
			receiver.Message{Provider: "auth0", InboxID: 7, Status: 400, Reason: "body_not_json"},
			&inbox.Tally{
				Events: 1, Outcomes: []inbox.OutcomeTally{{Outcome: "failed", Events: 1, Reason: new("the body is not JSON")}},
				Types: []inbox.TypeTally{{Events: 1}},
			},
			"demo",
			"10:20:30 auth0        unknown type message 7: failed: the body is not JSON (answered 400)",
			0,
		},
		"Pending": {
			receiver.Message{Provider: "auth0", InboxID: 7, Status: 204},
			nil, "demo",
			"10:20:30 auth0        message 7: pending; authsync doctor may tell why",
			0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tc.message.ReceivedAt = at
			require.Equal(t, tc.want, messageLine(tc.project, app.Message{Message: tc.message, Tally: tc.tally, Others: tc.others}))
		})
	}
}
