package api_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/api"
	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/project"
)

// entries is the audit log, the newest first.
func (b *testBundle) entries(t *testing.T) []audit.Entry {
	t.Helper()
	b.refusals.Write(t.Context())
	entries, err := b.audit.List(t.Context(), audit.Filter{}, nil, 10_000)
	require.NoError(t, err)
	return entries
}

// Each route other than GET leaves exactly one row, whatever it answers. A GET and a preview change nothing and leave none.
func TestEveryCallThatIsNoGETIsRecorded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, rt := range b.handler.Routes() { //nolint:paralleltest // one after another: they share the log
		t.Run(rt, func(t *testing.T) {
			here := b.project(t, "p-"+uuid.NewString()[:8])
			b.destination(t, "/projects/"+here.Name, "app")
			fill := strings.NewReplacer("{project}", here.Name, "{provider}", "clerk", "{event}", "1.0", "{user}", "ada@example.com",
				"{record_type}", "user", "{record_id}", "ada@example.com", "{destination}", "app", "{delivery}", "1", "{key}", uuid.NewString())
			method, path, _ := strings.Cut(rt, " ")
			before := len(b.entries(t))
			answer := b.call(t, method, fill.Replace(path), "")
			entries := b.entries(t)
			if method == http.MethodGet || strings.HasSuffix(path, "/preview") {
				require.Len(t, entries, before)
				return
			}
			require.Len(t, entries, before+1, answer.text)
			e := entries[0]
			require.Equal(t, api.ActionOf(method, path), e.Action)
			require.NotEqual(t, audit.Pending, e.Outcome)
			require.Equal(t, answer.status, *e.Status)
			require.Equal(t, audit.Key, e.Actor)
			require.Equal(t, "test", *e.KeyName)
			require.Equal(t, "admin", *e.KeyRole)
			require.Equal(t, answer.header.Get("X-Request-Id"), *e.RequestID)
			if strings.Contains(path, "{project}") {
				require.Equal(t, here.ID, *e.ProjectID)
				require.Equal(t, here.Name, *e.ProjectName)
			}
			require.NotContains(t, b.call(t, http.MethodGet, "/audit?limit=1", "").text, "ada@example.com")

			// And for nobody it leaves one that says so.
			b.callWith(t, "", method, fill.Replace(path), "")
			require.Equal(t, audit.Refused, b.entries(t)[0].Outcome)
		})
	}
}

// Names of actions are read by people and filtered by: they are here once more.
func TestActionsHaveNames(t *testing.T) {
	t.Parallel()
	const one = "/projects/{project}"
	for call, want := range map[string]string{
		"POST /projects": "project.create",
		"PATCH " + one:   "project.update",
		"DELETE " + one:  "project.delete",
		"PUT " + one + "/integrations/{provider}":                    "integration.update",
		"DELETE " + one + "/integrations/{provider}":                 "integration.delete",
		"POST " + one + "/integrations/{provider}/backfill":          "backfill.start",
		"DELETE " + one + "/integrations/{provider}/reconcile":       "reconcile.cancel",
		"POST " + one + "/integrations/{provider}/redeliver":         "integration.redeliver",
		"POST " + one + "/grants":                                    "grant.create",
		"PUT " + one + "/clone":                                      "clone.update",
		"POST " + one + "/events/replay":                             "event.replay",
		"POST " + one + "/events/{event}/replay":                     "event.replay",
		"POST " + one + "/records/{record_type}/{record_id}/refresh": "record.refresh",
		"POST " + one + "/destinations/{destination}/rotate":         "destination.rotate",
		"POST " + one + "/deliveries/{delivery}/retry":               "delivery.retry",
		"POST " + one + "/deliveries/{delivery}/confirm":             "delivery.confirm",
		"POST " + one + "/deliveries/confirm":                        "delivery.confirm",
		"DELETE /keys/{key}":                                         "key.revoke",
		"POST /keys":                                                 "key.create",
		"GET /keys":                                                  "key.list",
		"GET " + one + "/rejected-requests":                          "rejected_request.list",
	} {
		method, path, _ := strings.Cut(call, " ")
		require.Equal(t, want, api.ActionOf(method, path), call)
	}
}

func TestAuditLogSaysWhatWasSetAndKeepsNoSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	const secret = "whsec_c29tZSAyNCByYW5kb20gYnl0ZXMhIQ=="
	put := func() map[string]any {
		answer := b.call(t, http.MethodPut, "/projects/shop/integrations/clerk",
			`{"credentials": {"webhook_signing_secret": "`+secret+`"}, "options": {"absent_fields": "clear"}}`)
		require.Equal(t, http.StatusOK, answer.status, answer.text)
		log := b.call(t, http.MethodGet, "/projects/shop/audit?limit=1", "")
		mustMatch(t, description(t), "GET", "/projects/{project}/audit", log)
		require.NotContains(t, log.text, secret)
		entry, _ := log.data(t)[0].(object)
		require.Equal(t, "integration.update", entry["action"])
		require.Equal(t, "clerk", entry["object_id"])
		require.Equal(t, shop.ID.String(), entry["project_id"])
		require.Equal(t, "192.0.2.1", entry["remote_address"], "that of httptest")
		changes, _ := entry["changes"].(object)
		return changes
	}
	first := put()
	require.Equal(t, "clear", first["options.absent_fields"])
	require.Contains(t, first["credentials.webhook_signing_secret"], "hmac-sha256:")
	require.Equal(t, first, put(), "the same secret again is seen as the same")

	// A key that was pasted where an id belongs, and one that was made.
	b.call(t, http.MethodDelete, "/keys/"+b.key, "")
	made := b.call(t, http.MethodPost, "/keys", `{"name": "x"}`)
	require.Equal(t, made.body["id"], *b.entries(t)[0].ObjectID)
	all := b.call(t, http.MethodGet, "/audit", "")
	mustMatch(t, description(t), "GET", "/audit", all)
	require.NotContains(t, all.text, b.key)
	require.NotContains(t, all.text, made.body["key"])
}

// Whoever is refused leaves a trace, and many such calls a small one.
func TestRefusedCallsAreCounted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	reader, secret, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "reader", Role: project.ReadOnly})
	require.NoError(t, err)
	for range 30 {
		b.callWith(t, secret, http.MethodDelete, "/projects/shop", "").refused(t, http.StatusForbidden, "")
		b.callWith(t, "capy_live_wrong", http.MethodGet, "/projects", "").refused(t, http.StatusUnauthorized, "")
	}
	entries := b.entries(t)
	require.Len(t, entries, 2)
	require.Equal(t, "project.list", entries[0].Action)
	require.Equal(t, audit.Unknown, entries[0].Actor)
	require.Nil(t, entries[0].KeyID)
	require.Equal(t, "project.delete", entries[1].Action)
	require.Equal(t, reader.ID, *entries[1].KeyID)
	require.Equal(t, "insufficient_role", *entries[1].Code)
	for _, e := range entries {
		require.Equal(t, audit.Refused, e.Outcome)
		require.EqualValues(t, 30, e.RequestCount)
	}

	// What the body alone tells to be too much is refused behind the door.
	_, operator, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "operator", Role: project.Operator})
	require.NoError(t, err)
	b.callWith(t, operator, http.MethodPost, "/projects/shop/integrations/clerk/reconcile", `{"force": true}`).refused(t, http.StatusForbidden, "")
	require.Equal(t, audit.Refused, b.entries(t)[0].Outcome)
	require.Equal(t, "reconcile.start", b.entries(t)[0].Action)
}

// The answer to an earlier call is no second action.
func TestRepetitionIsRecordedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Equal(t, http.StatusCreated, b.post(t, b.key, "/keys", `{"name": "x"}`, "k").status)
	require.Equal(t, http.StatusCreated, b.post(t, b.key, "/keys", `{"name": "x"}`, "k").status)
	require.Len(t, b.entries(t), 1)
}

// brokenLog cannot be written to.
type brokenLog struct{ *audit.Log }

func (brokenLog) Begin(context.Context, audit.Origin, audit.Action) (int64, error) {
	return 0, errors.New("the disk is full")
}

func TestWhatCannotBeRecordedIsNotDone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.auditWith = func(l *audit.Log) api.Audit { return brokenLog{l} }
	b.serve(t, b.mirror, b.mirror, "")
	_, key, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x"})
	require.NoError(t, err)
	require.Equal(t, http.StatusInternalServerError, b.callWith(t, key, http.MethodPost, "/projects", `{"name": "shop", "database_url": "`+someURL+`"}`).status)
	require.Empty(t, b.callWith(t, key, http.MethodGet, "/projects", "").data(t))
}

func TestAuditLogIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 3 {
		b.call(t, http.MethodPost, "/keys", `{"name": "x"}`)
	}
	b.call(t, http.MethodPost, "/projects", `{}`)
	first := b.call(t, http.MethodGet, "/audit?action=key&limit=2", "")
	require.Len(t, first.data(t), 2)
	rest := b.call(t, http.MethodGet, "/audit?action=key&limit=2&cursor="+first.next(t), "")
	require.Len(t, rest.data(t), 1)
	require.Empty(t, rest.next(t))
	require.Len(t, b.call(t, http.MethodGet, "/audit?outcome=failed", "").data(t), 1)
	require.Empty(t, b.call(t, http.MethodGet, "/audit?key_id="+uuid.NewString(), "").data(t))
	oldest, _ := b.call(t, http.MethodGet, "/audit?order=oldest_first", "").data(t)[0].(object)
	require.Equal(t, "key.create", oldest["action"])
	require.Empty(t, b.call(t, http.MethodGet, "/audit?until=2020-01-01T00:00:00Z", "").data(t))
	b.call(t, http.MethodGet, "/audit?since=2020-01-02T00:00:00Z&until=2020-01-01T00:00:00Z", "").invalid(t, "query", "until", "invalid")
	b.call(t, http.MethodGet, "/audit?cursor=1", "").invalid(t, "query", "cursor", "invalid")
}
