package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
)

func TestRecordsAreListedAndExplained(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "destinations", "create", "shop", "app", "--type", "webhook", "--url", sink(t), "--event-types", "organization.*")
	b.must(t, "destinations", "pause", "shop", "app")
	b.must(t, "send", "shop", "clerk", "organization.created", "--organization", "org_1", "--set", "name=Acme", "--wait")
	b.must(t, "send", "shop", "clerk", "organizationMembership.created", "--organization", "org_1", "--user", "user_1", "--wait")
	b.must(t, "send", "shop", "clerk", "user.created", "--user", "organization/x", "--wait")
	b.must(t, "destinations", "replay", "shop", "app", "--all")

	t.Run("List", func(t *testing.T) {
		t.Parallel()
		out := b.must(t, "records", "list", "shop", "organization")
		require.Regexp(t, `(?m)^ID +NAME +SLUG`, out)
		require.Regexp(t, `(?m)^org_1 +Acme`, out)
		var found []client.ListedRecord
		b.decode(t, &found, "records", "list", "shop", "membership", "--organization", "org_1", "--user", "user_1")
		require.Len(t, found, 1)
		require.Equal(t, "org_1/user_1", found[0].RecordID)
		require.Regexp(t, `(?m)^org_1 +Acme`, b.must(t, "records", "list", "shop", "organization", "--name", "ac"))
		require.Equal(t, "No organizations.\n", b.must(t, "records", "list", "shop", "organization", "--name", "cme"))
		require.Equal(t, "No users.\n", b.must(t, "records", "list", "shop", "user", "--email", "nobody@example.com"))
		require.Equal(t, "No memberships.\n", b.must(t, "records", "list", "shop", "membership", "--organization", "org_2"))
		require.Len(t, strings.Split(strings.TrimSpace(b.must(t, "records", "list", "shop", "user", "--limit", "1")), "\n"), 2)

		for says, args := range map[string][]string{
			`"room" is no record type: take one of user, organization, membership, invitation, session`: {"room"},
			"--limit is 0":    {"organization", "--limit", "0"},
			"--name is empty": {"organization", "--name", ""},
		} {
			r := b.run(t, append([]string{"records", "list", "shop"}, args...)...)
			require.Equal(t, 2, r.status)
			require.Contains(t, r.err, says)
		}
		r := b.run(t, "records", "list", "shop", "organization", "--user", "user_1")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "organizations have no user_id")
	})

	t.Run("EventsOfARecord", func(t *testing.T) {
		t.Parallel()
		var events []client.Event
		b.decode(t, &events, "events", "list", "shop", "--record", "organization/org_1")
		require.Len(t, events, 1)
		require.Equal(t, "organization.created", *events[0].Type)
		b.decode(t, &events, "events", "list", "shop", "--record", "membership/org_1/user_1")
		require.Len(t, events, 1)
		r := b.run(t, "events", "list", "shop", "--record", "organization")
		require.Equal(t, 2, r.status)
		require.Contains(t, r.err, "it must be a type and an id, such as organization/org_123")
	})

	t.Run("Explain", func(t *testing.T) {
		t.Parallel()
		out := b.must(t, "explain", "shop", "organization/org_1")
		require.Contains(t, out, "Organization org_1 in capydb_auth.organizations of project shop\nnot deleted; newest event ")
		require.Regexp(t, `(?m)^name +Acme`, out)
		require.Regexp(t, `organization\.created .* applied +created: `, out)
		require.Contains(t, out, "Sent on, newest first:")
		require.NotContains(t, out, "Changed by other events")
		var why struct {
			Record             map[string]any
			Events, Deliveries []any
		}
		b.decode(t, &why, "explain", "shop", "organization/org_1")
		require.Equal(t, "Acme", why.Record["name"])
		require.Len(t, why.Events, 1)
		require.Len(t, why.Deliveries, 1)

		out = b.must(t, "explain", "shop", "user/organization/x")
		require.Contains(t, out, "User organization/x in capydb_auth.users of project shop")
		require.NotContains(t, out, "Sent on")
		r := b.run(t, "explain", "shop", "organization/x")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "project shop has no organization of this id: authsync records list shop TYPE shows those there are")
		require.NotContains(t, r.err, "percent-encode")
	})
}

func TestExplainShowsWhatLost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "send", "shop", "clerk", "user.updated", "--user", "user_1", "--set", "first_name=Ada", "--at", "1m", "--wait")
	require.NotContains(t, b.must(t, "explain", "shop", "user_1"), "that lost")
	b.must(t, "send", "shop", "clerk", "user.updated", "--user", "user_1", "--set", "first_name=Too late", "--at", "2m", "--id", "msg_late", "--wait")
	out := b.must(t, "explain", "shop", "user_1")
	require.Contains(t, out, "Values of the newest 2 events that lost")
	require.Regexp(t, `(?m)^first_name +Too late .* msg_late +stale`, out)
}

// A membership ends with its organization, of which it has no event.
func TestExplainShowsChangesOfOtherEvents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "send", "shop", "clerk", "organizationMembership.created", "--organization", "org_1", "--user", "user_1", "--at", "1m", "--wait")
	b.must(t, "send", "shop", "clerk", "organization.deleted", "--organization", "org_1", "--id", "msg_the_end", "--wait")
	out := b.must(t, "explain", "shop", "membership/org_1/user_1")
	_, others, found := strings.Cut(out, "Changed by other events")
	require.True(t, found, out)
	require.Regexp(t, `msg_the_end +deleted: deleted_at`, others)
}

// The server has more changes of a record than it gives at once.
func TestExplainSaysWhereOlderChangesAre(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := `{"data": [], "next_cursor": null}`
		if _, ref, found := strings.Cut(r.URL.Path, "/records/"); found {
			recordType, id, _ := strings.Cut(ref, "/")
			answer = `{"record_type": "` + recordType + `", "record_id": "` + id + `", "record": {"id": "` + id + `"}, "sources": [], "changes": [], "next_cursor": "7"}`
		}
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(server.Close)
	env := map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_URL": server.URL, "AUTHSYNC_API_KEY": "capy_test_x"}
	for given, condition := range map[string]string{
		"o'neil":            "record_type = 'user' AND record_id = 'o''neil'",
		"organization/org1": "record_type = 'organization' AND record_id = 'org1'",
	} {
		r := run(t.Context(), env, "", "explain", "shop", given)
		require.Zero(t, r.status, r.err)
		require.Contains(t, r.out, "SELECT * FROM capydb_auth.record_changes WHERE "+condition+" ORDER BY id\n")
	}
}
