package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/syncrun"
)

type object = map[string]any

func description(t *testing.T) object {
	t.Helper()
	text, err := os.ReadFile("../../docs/openapi.yaml")
	require.NoError(t, err)
	var doc object
	require.NoError(t, yaml.Unmarshal(text, &doc))
	return doc
}

// at follows keys into a document.
func at(t *testing.T, in any, keys ...string) any {
	t.Helper()
	for _, key := range keys {
		o, ok := in.(object)
		require.True(t, ok, "nothing below %s", key)
		require.Contains(t, o, key)
		in = o[key]
	}
	return in
}

func TestDescriptionHasTheServersRoutesAndNoOthers(t *testing.T) {
	t.Parallel()
	var described []string
	paths, ok := at(t, description(t), "paths").(object)
	require.True(t, ok)
	for path, item := range paths {
		operations, ok := item.(object)
		require.True(t, ok)
		for method := range operations {
			if method != "parameters" {
				described = append(described, strings.ToUpper(method)+" "+path)
			}
		}
	}
	webhook := strings.NewReplacer(api.Prefix, "", "{projectID}", "{project}").Replace(receiver.Path)
	served := append(setup(t).handler.Routes(), http.MethodPost+" "+webhook)
	require.ElementsMatch(t, served, described)
}

func TestDescriptionNamesTheRoleOfEachCall(t *testing.T) {
	t.Parallel()
	doc := description(t)
	roleIn := func(security any) string {
		schemes, ok := security.([]any)
		require.True(t, ok)
		require.Len(t, schemes, 1)
		roles, ok := at(t, schemes[0], "key").([]any)
		require.True(t, ok)
		require.Len(t, roles, 1)
		return fmt.Sprint(roles[0])
	}
	for call, role := range setup(t).handler.RoleOf() {
		method, path, _ := strings.Cut(call, " ")
		operation, ok := at(t, doc, "paths", path, strings.ToLower(method)).(object)
		require.True(t, ok)
		described := at(t, doc, "security")
		if own, has := operation["security"]; has {
			described = own
		}
		require.Equal(t, role, roleIn(described), call)
	}
}

func TestDescriptionNamesEachCredentialAndOption(t *testing.T) {
	t.Parallel()
	schemas := at(t, description(t), "components", "schemas")
	for schema, of := range map[string]reflect.Type{
		"Credentials": reflect.TypeFor[provider.Credentials](),
		"Options":     reflect.TypeFor[provider.Options](),
	} {
		var names []string
		for field := range of.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			names = append(names, name)
		}
		properties, ok := at(t, schemas, schema, "properties").(object)
		require.True(t, ok)
		require.Len(t, properties, len(names))
		for _, name := range names {
			require.Contains(t, properties, name)
		}
	}
}

// Each call is made once with success and its answer held against the description.
func TestAnswersAreAsDescribed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	at := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	text := "x"
	b.mirror.history = mirror.History{
		User:    mirror.User{ID: "user_1", Email: &text, CreatedAt: &at, Raw: json.RawMessage(`{"id": "user_1"}`), Provider: &text, LastEventProcessed: &at},
		Sources: []mirror.Source{{Column: "email", EventID: &text, SetAt: &at, SentAt: &at}, {Column: "username"}},
		Changes: []mirror.Change{{
			ID: 1, Kind: "created", Changed: []string{"email"}, After: json.RawMessage(`{"email": "x"}`),
			Provider: "clerk", EventID: "e", EventAt: at, ChangedAt: at,
		}},
	}
	applied := b.deliver(t, shop, inbox.Applied, "user_1", []byte(`{}`))
	binary := b.deliver(t, shop, inbox.Failed, "user_2", []byte("\xff"))
	b.deliver(t, shop, inbox.Pending, "", []byte(`{}`))
	doc := description(t)
	check := func(method, path, described, body string, status int) reply {
		t.Helper()
		answer := b.call(t, method, path, body)
		require.Equal(t, status, answer.status, answer.text)
		mustMatch(t, doc, method, described, answer)
		return answer
	}

	made := check("POST", "/projects", "/projects", `{"name": "other", "database_url": "`+someURL+`"}`, 201)
	check("GET", "/projects?limit=1", "/projects", "", 200)
	check("GET", "/projects", "/projects", "", 200)
	check("GET", "/projects/other", "/projects/{project}", "", 200)
	check("GET", "/projects/none", "/projects/{project}", "", 404)
	check("PATCH", "/projects/other", "/projects/{project}", `{"database_url": "`+someURL+`"}`, 200)
	check("DELETE", fmt.Sprint("/projects/", made.body["id"]), "/projects/{project}", "", 204)

	check("PUT", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}",
		`{"credentials": {"webhook_signing_secret": "secret-of-auth0-51ac"}, "options": {"absent_fields": "clear"}}`, 200)
	check("PUT", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", `{"options": {"x": 1}}`, 422)
	check("PUT", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", `{"options": {"record_types": ["users"]}}`, 200)
	check("GET", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", "", 200)
	check("GET", "/projects/shop/integrations", "/projects/{project}/integrations", "", 200)
	b.webhooks.set(func(w *fakeWebhooks) { w.status = fullWebhook() })
	check("GET", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", "", 200)
	b.webhooks.set(func(w *fakeWebhooks) { w.status = nil })
	_, err := b.pool.Exec(t.Context(), `UPDATE authsync.integrations SET credentials_sealed = ''`)
	require.NoError(t, err)
	faulty := check("GET", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", "", 200)
	require.Contains(t, faulty.body, "fault")
	check("PUT", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", `{}`, 500)
	check("DELETE", "/projects/shop/integrations/auth0", "/projects/{project}/integrations/{provider}", "", 204)

	const backfillPath = "/projects/{project}/integrations/{provider}/backfill"
	check("GET", "/projects/shop/integrations/clerk/backfill", backfillPath, "", 404)
	check("POST", "/projects/shop/integrations/clerk/backfill", backfillPath, "", 202)
	check("POST", "/projects/shop/integrations/clerk/backfill", backfillPath, "", 409)
	check("GET", "/projects/shop/integrations/clerk/backfill", backfillPath, "", 200)
	check("DELETE", "/projects/shop/integrations/clerk/backfill", backfillPath, "", 200)
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.sync_runs SET worked = '3 s', read = 30, total = 60, error = 'x', wait_reason = 'y',
		report = '{"bad": [{"place": "line 1", "reason": "z"}], "notes": ["n"], "records": {"user": 20, "membership": 10}}'`)
	require.NoError(t, err)
	check("GET", "/projects/shop/integrations/clerk/backfill", backfillPath, "", 200)
	const previewPath = "/projects/{project}/integrations/{provider}/preview"
	check("POST", "/projects/shop/integrations/custom:acme/preview", previewPath, `{"body": "{\"type\":\"add\",\"id\":\"u1\"}", "headers": {"svix-id": "m"},
		"received_at": "2026-05-04T10:20:30Z", "options": {"definition": {"signature": {"scheme": "svix"}, "types": {"add": "user.created"}, "records": {"user": {"id": ".id"}}}}}`, 200)
	check("POST", "/projects/shop/integrations/custom:acme/preview", previewPath, `{"body": "{}"}`, 422)
	check("POST", "/projects/shop/integrations/workos/preview", previewPath, `{"body": "{}", "options": null}`, 200)
	const redeliverPath = "/projects/{project}/integrations/{provider}/redeliver"
	check("POST", "/projects/shop/integrations/clerk/redeliver", redeliverPath, "", 422)
	b.accounts.source = fakeSource{streams: []userapi.RedeliveryStream{{
		ID: "est_1", Types: map[string]int{"user.created": 2}, Oldest: &at, Newest: &at, Problem: &text, Notes: []string{"n"},
	}, {ID: "est_2", Types: map[string]int{}, Notes: []string{}}}}
	check("POST", "/projects/shop/integrations/auth0/redeliver", redeliverPath, `{"since": "2026-05-04T10:20:30Z", "dry_run": true}`, 200)
	b.repairs.repair = refresh.Repair{Provider: "clerk", Found: refresh.DeletedHere, Columns: []string{}, Done: refresh.Restored, Note: &text}
	check("POST", "/projects/shop/users/user_1/refresh", "/projects/{project}/users/{user}/refresh", "", 200)
	check("POST", "/projects/shop/records/membership/org_1%2Fuser_1/refresh", "/projects/{project}/records/{record_type}/{record_id}/refresh", "", 200)

	const reconcilePath = "/projects/{project}/integrations/{provider}/reconcile"
	check("GET", "/projects/shop/integrations/clerk/reconcile", reconcilePath, "", 404)
	check("POST", "/projects/shop/integrations/clerk/reconcile", reconcilePath, `{"dry_run": true, "force": true}`, 202)
	check("POST", "/projects/shop/integrations/clerk/reconcile", reconcilePath, "", 409)
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.sync_runs SET drift = $1 WHERE kind = 'reconcile'`, syncrun.Drift{
		TypeDrift: syncrun.TypeDrift{Missing: 1, Columns: map[string]int64{"email": 1}, DeletionsBlockedReason: &text, Compared: 7}, Restarts: 1,
		Users: []mirror.Drifted{{RecordID: "user_1", Finding: mirror.Missing, Columns: []string{}, State: mirror.StateFound}},
		Records: map[record.Type]*syncrun.RecordDrift{record.Membership: {
			TypeDrift: syncrun.TypeDrift{Orphaned: 1}, UnlistedReason: &text,
			Examples: []mirror.Drifted{{RecordID: "org_1/user_1", Finding: mirror.Orphaned, Columns: []string{}, State: mirror.StateRepaired}},
		}},
	})
	require.NoError(t, err)
	check("GET", "/projects/shop/integrations/clerk/reconcile", reconcilePath, "", 200)
	check("DELETE", "/projects/shop/integrations/clerk/reconcile", reconcilePath, "", 200)

	check("POST", "/projects/shop/grants", "/projects/{project}/grants", `{"role": "shop_app"}`, 200)
	check("POST", "/projects/shop/grants", "/projects/{project}/grants", `{"role": "nobody"}`, 422)

	_, err = b.pool.Exec(t.Context(), `SELECT authsync.record_rejected_requests($1, 100)`, fmt.Sprintf(`[
		{"project_id": %q, "provider": "clerk", "received_at": "2026-05-04T10:20:30Z", "status": 401, "reason": "signature_mismatch", "detail": "d",
		 "body_bytes": 12, "header_names": ["A"], "remote_address": "192.0.2.7", "request_count": 3},
		{"project_id": %[1]q, "provider": "auth0", "received_at": "2026-05-04T10:20:30Z", "status": 413, "reason": "body_too_large", "detail": "d",
		 "header_names": [], "request_count": 1}]`, shop.ID))
	require.NoError(t, err)
	const rejectedPath = "/projects/{project}/rejected-requests"
	first := check("GET", "/projects/shop/rejected-requests?limit=1", rejectedPath, "", 200)
	check("GET", fmt.Sprint("/projects/shop/rejected-requests?limit=1&cursor=", first.body["next_cursor"]), rejectedPath, "", 200)
	check("GET", "/projects/shop/rejected-requests?provider=better-auth", rejectedPath, "", 200)
	check("GET", "/projects/shop/rejected-requests?cursor=x", rejectedPath, "", 422)
	check("GET", "/projects/shop/rejected-requests?provider=okta", rejectedPath, "", 422)

	_, err = b.pool.Exec(t.Context(), `SELECT authsync.record_problems('{lag,clock_skew}', $1, '{t}', now())`, fmt.Sprintf(`[
		{"kind": "lag", "project_id": %q, "subject": "", "severity": "failed", "detail": "d", "next_step": "n"},
		{"kind": "clock_skew", "subject": "x", "severity": "warning", "detail": "d", "next_step": "n"}]`, shop.ID))
	require.NoError(t, err)
	first = check("GET", "/problems?limit=1&state=open", "/problems", "", 200)
	check("GET", fmt.Sprint("/problems?limit=1&cursor=", first.body["next_cursor"]), "/problems", "", 200)
	check("GET", "/problems?state=ajar", "/problems", "", 422)
	check("GET", "/problems?kind=gloom", "/problems", "", 422)
	check("GET", "/projects/shop/problems?kind=lag", "/projects/{project}/problems", "", 200)
	check("GET", "/projects/shop/problems?cursor=x", "/projects/{project}/problems", "", 422)

	check("GET", "/projects/shop/events", "/projects/{project}/events", "", 200)
	check("GET", "/projects/shop/events/"+applied, "/projects/{project}/events/{event}", "", 200)
	check("GET", "/projects/shop/events/"+applied+"?body=true", "/projects/{project}/events/{event}", "", 200)
	check("GET", "/projects/shop/events/"+binary+"?body=true", "/projects/{project}/events/{event}", "", 200)
	check("POST", "/projects/shop/events/"+applied+"/replay", "/projects/{project}/events/{event}/replay", "", 202)
	check("POST", "/projects/shop/events/replay", "/projects/{project}/events/replay", "{}", 202)
	check("GET", "/projects/shop/users/user_1", "/projects/{project}/users/{user}", "", 200)
	check("GET", "/projects/shop/records/membership?organization_id=org_1&limit=1", "/projects/{project}/records/{record_type}", "", 200)
	check("GET", "/projects/shop/records/room", "/projects/{project}/records/{record_type}", "", 404)
	check("GET", "/projects/shop/records/membership/org_1%2Fuser_1", "/projects/{project}/records/{record_type}/{record_id}", "", 200)
	check("GET", "/projects/shop/records/membership/org_1%2Fuser_1/values", "/projects/{project}/records/{record_type}/{record_id}/values", "", 200)
	check("GET", "/projects/shop/events?record_type=organization&record_id=org_1", "/projects/{project}/events", "", 200)
	check("GET", "/projects/shop/events?record_type=organization", "/projects/{project}/events", "", 422)

	checkDestinations(t, b, check)

	key := check("POST", "/keys", "/keys", `{"name": "x", "project_id": "shop"}`, 201)
	check("GET", "/keys", "/keys", "", 200)
	check("DELETE", fmt.Sprint("/keys/", key.body["id"]), "/keys/{key}", "", 204)
}

func checkDestinations(t *testing.T, b *testBundle, check func(method, path, described, body string, status int) reply) {
	t.Helper()
	const one = "/projects/{project}/destinations/{destination}"
	const app = "/projects/shop/destinations/app"
	at, number, id, text := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC), 500, int64(3), "x"
	b.deliveries.health = admin.Health{Waiting: 1, WaitReason: &text, FailingSince: &at, BreakerOpenUntil: &at, OldestWaitingAt: &at, LastSuccessAt: &at}
	b.deliveries.stored = []admin.Delivery{
		{ID: 1, State: "ready", RecordType: "user", RecordID: "u", UserID: &text, EventType: "user.created", Changed: []string{"email"}},
		{
			ID: 2, State: "coalesced", RecordType: "organization", RecordID: "o", EventType: "organization.updated", Changed: []string{"email"}, NextAttemptAt: &at, LastAttemptAt: &at, LastStatus: &number,
			LastResponse: &text, Reason: &text, CoalescedInto: &id, JobID: &id, FinishedAt: &at,
		},
		{ID: 3, State: "delivered", RecordType: "session", RecordID: "s", UserID: &text, EventType: "session.deleted", Changed: []string{}},
	}
	b.deliveries.attempts = []admin.Attempt{
		{Number: 3, AttemptedAt: &at, Outcome: "retried", Status: &number, DurationMS: &id, Reason: &text, Response: &text, Sent: delivery.Sent{
			Requests: []delivery.SentRequest{
				{Method: "GET", URL: "https://x/1", Header: http.Header{"Accept": {"a/b"}}, Status: 404, Response: new("none"), IsResponseCut: true, Note: "n"},
				{Method: "POST", URL: "https://x", Header: http.Header{}, BodyBytes: 5000, IsBodyCut: true, IsUnsent: true},
			}, Bodies: []string{"", "{}"}, Omitted: 2,
		}}, {Number: 1, Outcome: "unknown"},
	}
	made := check("POST", "/projects/shop/destinations", "/projects/{project}/destinations", `{"name": "app", "type": "webhook", "condition": "true"}`, 201)
	b.deliveries.stored[1].DestinationID = uuid.MustParse(fmt.Sprint(made.body["id"]))
	check("POST", "/projects/shop/destinations", "/projects/{project}/destinations", `{"name": "app", "type": "webhook"}`, 409)
	check("GET", "/projects/shop/destinations", "/projects/{project}/destinations", "", 200)
	check("GET", app, one, "", 200)
	check("PATCH", app, one, `{"condition": null}`, 200)
	check("POST", app+"/pause", one+"/pause", `{"reason": "x"}`, 200)
	check("POST", app+"/resume", one+"/resume", "", 200)
	check("POST", app+"/rotate", one+"/rotate", "", 200)
	check("POST", app+"/preview", one+"/preview", `{"user_id": "user_1"}`, 200)
	check("POST", app+"/preview", one+"/preview", `{"user_id": "unwanted"}`, 200)
	check("POST", app+"/preview", one+"/preview", `{"user_id": "odd"}`, 422)
	const draft, drafts = "/projects/shop/destinations/preview", "/projects/{project}/destinations/preview"
	check("POST", draft, drafts, `{"type": "webhook", "options": {"url": "https://example.com/hook"}, "user_id": "user_1"}`, 200)
	check("POST", draft, drafts, `{"type": "webhook", "options": {"url": "https://example.com/hook"}}`, 422)
	check("POST", draft, drafts, `{"type": "webhook", "options": {"url": "https://example.com/hook"}, "user_id": "gone"}`, 404)
	check("POST", app+"/test", one+"/test", "", 200)
	check("POST", app+"/test", one+"/test", `{"event_type": "user.deleted"}`, 200)
	check("POST", app+"/test", one+"/test", `{"event_type": "user.restored"}`, 422)
	check("POST", app+"/replay", one+"/replay", `{"state": "failed"}`, 200)

	const delivery = "/projects/{project}/deliveries/{delivery}"
	require.NotContains(t, check("GET", "/projects/shop/deliveries", "/projects/{project}/deliveries", "", 200).text, "attempt_log")
	detail := check("GET", "/projects/shop/deliveries/2", delivery, "", 200)
	attempts, _ := detail.body["attempt_log"].([]any)
	require.Len(t, attempts, 2)
	require.Equal(t, object{
		"number": 3.0, "attempted_at": "2026-05-04T10:20:30Z", "outcome": "retried", "status": 500.0, "duration_ms": 3.0, "reason": "x", "response": "x",
		"response_cut": false, "requests_omitted": 2.0, "requests": []any{
			object{
				"method": "GET", "url": "https://x/1", "headers": object{"Accept": []any{"a/b"}}, "body": "", "body_bytes": 0.0, "body_cut": false, "sent": true,
				"status": 404.0, "response": "none", "response_cut": true, "note": "n",
			},
			object{
				"method": "POST", "url": "https://x", "headers": object{}, "body": "{}", "body_bytes": 5000.0, "body_cut": true, "sent": false,
				"status": nil, "response": "x", "response_cut": false,
			},
		},
	}, attempts[0])
	whole := check("GET", "/projects/shop/deliveries/2?preview=true", delivery, "", 200)
	request, _ := whole.body["preview"].(map[string]any)
	require.NotEmpty(t, request["requests"])
	require.NotNil(t, request["destination_changed_at"], "the attempt was before it was created")
	check("GET", "/projects/shop/deliveries/2?preview=yes", delivery, "", 422)
	require.NotContains(t, check("POST", "/projects/shop/deliveries/1/retry", delivery+"/retry", "", 200).body, "attempt_log")
	check("POST", "/projects/shop/deliveries/1/cancel", delivery+"/cancel", "", 200)
	check("POST", "/projects/shop/deliveries/3/cancel", delivery+"/cancel", "", 409)
	check("DELETE", app, one, "", 204)
}
