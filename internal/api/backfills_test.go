package api_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

const clerkPath = "/projects/shop/integrations/clerk"

// put stores credentials and gives what the answer says of a backfill; nil: nothing.
func (b *testBundle) put(t *testing.T, credentials string) any {
	t.Helper()
	answer := b.call(t, "PUT", clerkPath, `{"credentials": `+credentials+`}`)
	require.Equal(t, 200, answer.status, answer.text)
	config, ok := answer.body["config"].(object)
	require.True(t, ok)
	return config["backfill"]
}

func TestBackfillStartsByItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	const signing = `{"webhook_signing_secret": "whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw=="}`

	b.accounts.failWith(fault.New(fault.Unsupported, "secret_key is missing"))
	require.Equal(t, object{"started": false, "run_id": nil, "reason": "secret_key is missing"}, b.put(t, signing))
	require.Equal(t, 404, b.call(t, "GET", clerkPath+"/backfill", "").status)

	b.accounts.failWith(errors.New("who knows"))
	told, ok := b.put(t, `{"secret_key": "sk_test_one"}`).(object)
	require.True(t, ok, "that it could not be started does not fail the call")
	require.Contains(t, told["reason"], "authsync backfill")
	require.NotContains(t, told["reason"], "who knows")

	b.accounts.failWith(nil)
	told, ok = b.put(t, `{}`).(object)
	require.True(t, ok, "what could not be started is made up for")
	require.Equal(t, true, told["started"])
	run := b.call(t, "GET", clerkPath+"/backfill", "")
	require.Equal(t, run.body["id"], told["run_id"])
	require.Equal(t, syncrun.Waiting, run.body["state"])

	require.Nil(t, b.put(t, `{}`), "nothing has changed")
	require.Nil(t, b.put(t, signing), "a signing secret reads no users")
	told, ok = b.put(t, `{"secret_key": "sk_test_two"}`).(object)
	require.True(t, ok)
	require.Equal(t, false, told["started"])
	require.Equal(t, run.body["id"], told["run_id"])
	require.Contains(t, told["reason"], "goes on")

	require.Equal(t, syncrun.Cancelled, b.call(t, "DELETE", clerkPath+"/backfill", "").body["state"])
	require.Nil(t, b.put(t, `{"secret_key": "sk_test_two"}`), "the same key again")
	told, ok = b.put(t, `{"secret_key": "sk_test_three"}`).(object)
	require.True(t, ok)
	require.Equal(t, true, told["started"])
	require.NotEqual(t, run.body["id"], told["run_id"])
	require.NotContains(t, at(t, b.call(t, "GET", clerkPath, "").body, "config"), "backfill")
}

// What was not mirrored before was not read either. What is no longer mirrored stays.
func TestBackfillStartsWhenOrganizationsAreTurnedOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	config := func(body string) object {
		answer := b.call(t, "PUT", clerkPath, body)
		require.Equal(t, 200, answer.status, answer.text)
		config, ok := answer.body["config"].(object)
		require.True(t, ok)
		return config
	}
	end := func() {
		require.Equal(t, syncrun.Cancelled, b.call(t, "DELETE", clerkPath+"/backfill", "").body["state"])
	}
	first := config(`{"credentials": {"secret_key": "sk_test_one"}, "options": {"record_types": ["users", "sessions"]}}`)
	require.NotContains(t, first, "notes")
	end()

	off := config(`{"options": {"record_types": ["users"]}}`)
	require.Equal(t, []any{"sessions are no longer mirrored: what the mirror has of them stays, and is not updated"}, off["notes"])
	require.NotContains(t, off, "backfill")
	require.NotContains(t, config(`{"options": {"record_types": ["users", "sessions"]}}`), "backfill", "sessions are never read")

	for _, options := range []string{`{}`, `{"record_types": ["users", "organizations"]}`} {
		on := config(`{"options": ` + options + `}`)
		started, ok := on["backfill"].(object)
		require.True(t, ok, options)
		require.Equal(t, true, started["started"], options)
		require.NotContains(t, config(`{"options": {"reconcile": {"every": "12h"}}}`), "backfill", "nothing of that has changed")
		end()
		off = config(`{"options": {"record_types": ["users"]}}`)
		require.Equal(t, []any{"organizations are no longer mirrored: what the mirror has of them stays, and is not updated"}, off["notes"])
		require.NotContains(t, off, "backfill")
	}
}

// What is stored already of a field stays until something removes it: whoever excludes it is told.
func TestExcludingAFieldSaysWhatStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	put := func(body string) object {
		answer := b.call(t, "PUT", clerkPath, body)
		require.Equal(t, 200, answer.status, answer.text)
		config, ok := answer.body["config"].(object)
		require.True(t, ok)
		return config
	}
	require.NotContains(t, put(`{"options": {"exclude": ["last_ip"]}}`), "notes", "nothing is stored yet")
	require.Equal(t, []any{
		"ssn: no longer stored. What is stored already stays: in messages and in the change feed until their retention ends, in the mirror until " +
			"the next event of the record replaces it",
	}, put(`{"options": {"exclude": ["last_ip", "ssn"]}}`)["notes"])
	require.NotContains(t, put(`{"options": {"exclude": ["last_ip", "ssn"]}}`), "notes")
	notes, ok := put(`{"credentials": {"secret_key": "sk_test_one"}, "options": {"exclude": ["ssn", "private_metadata"]}}`)["notes"].([]any)
	require.True(t, ok)
	require.Contains(t, notes[0], "in the mirror until a reconcile (authsync reconcile)")

	refused := b.call(t, "PUT", clerkPath, `{"options": {"exclude": ["id"]}}`)
	require.Equal(t, 422, refused.status, refused.text)
	require.Contains(t, refused.text, "would remove data.id")
}

// Half of its list would be another account's, and whom that one does not have
// would be deleted.
func TestReconcileEndsWhenOtherCredentialsAreStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	const signing = `{"webhook_signing_secret": "whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw=="}`
	require.Equal(t, 202, b.call(t, "POST", clerkPath+"/reconcile", "").status)
	b.put(t, signing)
	require.Equal(t, syncrun.Waiting, b.call(t, "GET", clerkPath+"/reconcile", "").body["state"], "a signing secret reads no users")
	told, ok := b.put(t, `{"secret_key": "sk_test_one"}`).(object)
	require.True(t, ok)
	require.Equal(t, true, told["started"])
	require.Equal(t, syncrun.Cancelled, b.call(t, "GET", clerkPath+"/reconcile", "").body["state"])
}

func TestBackfillIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	first := b.call(t, "POST", clerkPath+"/backfill", "")
	require.Equal(t, 202, first.status)
	again := b.call(t, "POST", clerkPath+"/backfill", "")
	require.Equal(t, 409, again.status)
	require.Contains(t, again.body["detail"], first.body["id"])

	b.accounts.failWith(fault.New(fault.Unsupported, "secret_key is missing"))
	refused := b.call(t, "POST", clerkPath+"/backfill", "")
	require.Equal(t, 422, refused.status)
	require.Equal(t, "secret_key is missing", refused.body["detail"])
	require.Equal(t, 404, b.call(t, "POST", "/projects/shop/integrations/okta/backfill", "").status)
	require.Equal(t, 422, b.call(t, "GET", clerkPath+"/backfill?x=1", "").status)
	require.Equal(t, 404, b.call(t, "GET", "/projects/shop/integrations/auth0/backfill", "").status)
}

func TestReconcileTakesWhatIsAskedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	const path = clerkPath + "/reconcile"
	require.Equal(t, 422, b.call(t, "POST", path, `{"dryrun": true}`).status, "a slip must not become a repair")
	require.Equal(t, 422, b.call(t, "POST", path, `{"dry_run": "yes"}`).status)
	require.Equal(t, 404, b.call(t, "GET", path, "").status)

	first := b.call(t, "POST", path, `{"dry_run": true}`)
	require.Equal(t, 202, first.status, first.text)
	require.Equal(t, []any{"reconcile", true, false}, []any{first.body["kind"], first.body["dry_run"], first.body["force"]})
	for _, other := range []string{"/reconcile", "/backfill"} {
		again := b.call(t, "POST", clerkPath+other, "")
		require.Equal(t, 409, again.status, "one run at a time, of either kind")
		require.Contains(t, again.body["detail"], first.body["id"])
	}
	require.Equal(t, 404, b.call(t, "GET", clerkPath+"/backfill", "").status, "a reconcile is no backfill")
	require.Equal(t, 404, b.call(t, "DELETE", clerkPath+"/backfill", "").status)
	require.Equal(t, first.body["id"], b.call(t, "GET", path, "").body["id"])
	require.Equal(t, syncrun.Cancelled, b.call(t, "DELETE", path, "").body["state"])
	plain := b.call(t, "POST", path, "")
	require.Equal(t, []any{202, false, false}, []any{plain.status, plain.body["dry_run"], plain.body["force"]})
}

func TestGrantIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	require.Equal(t, 422, b.call(t, "POST", "/projects/shop/grants", `{}`).status)
	require.Equal(t, 422, b.call(t, "POST", "/projects/shop/grants", `{"roles": "x"}`).status)
	require.Equal(t, "there is no role nobody", b.call(t, "POST", "/projects/shop/grants", `{"role": "nobody"}`).body["detail"])
	granted := b.call(t, "POST", "/projects/shop/grants", `{"role": "shop_app"}`)
	require.Equal(t, object{
		"role": "shop_app", "granted": []any{"USAGE ON SCHEMA capydb_auth"},
		"sees": []any{object{"relation": "capydb_auth.users", "rows": "every row", "row_security": false, "policies": []any{}}},
	}, granted.body)
	require.Equal(t, mirror.Reader{Role: "shop_app", Read: []string{"mirror"}}, b.mirror.reader, "no more than the users, unless it is said")
	b.call(t, "POST", "/projects/shop/grants", `{"role": "shop_app", "read": ["feed"], "ensure_user": true}`)
	require.Equal(t, mirror.Reader{Role: "shop_app", Read: []string{"feed"}, EnsureUser: true}, b.mirror.reader)
}
