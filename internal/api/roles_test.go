package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
)

// need is what a key must have to make a call: the least role, and whether it must be for all projects.
type need struct {
	call, body string
	role       project.Role
	ofAll      bool
}

// needs is written by hand, not taken from the routes: who may make a call is decided here a second time.
func needs() []need {
	const one = "/projects/{project}"
	const integration, destination, delivery = one + "/integrations/{provider}", one + "/destinations/{destination}", one + "/deliveries/{delivery}"
	look, operate, admin := project.ReadOnly, project.Operator, project.Admin
	return []need{
		{"GET /projects", "", look, false},
		{"POST /projects", "{}", admin, true},
		{"GET " + one, "", look, false},
		{"PATCH " + one, "{}", admin, true},
		{"DELETE " + one, "", admin, true},
		{"PUT " + one + "/clone", "{}", admin, true},

		{"GET " + one + "/integrations", "", look, false},
		{"GET " + integration, "", look, false},
		{"PUT " + integration, "{}", admin, false},
		{"DELETE " + integration, "", admin, false},
		{"GET " + integration + "/backfill", "", look, false},
		{"POST " + integration + "/backfill", "", operate, false},
		{"DELETE " + integration + "/backfill", "", operate, false},
		{"GET " + integration + "/reconcile", "", look, false},
		{"POST " + integration + "/reconcile", "", operate, false},
		{"POST " + integration + "/reconcile", `{"dry_run": true, "force": false}`, operate, false},
		{"POST " + integration + "/reconcile", `{"force": true}`, admin, false},
		{"DELETE " + integration + "/reconcile", "", operate, false},
		{"POST " + integration + "/redeliver", "", operate, false},
		{"POST " + integration + "/preview", "", operate, false},
		{"POST " + one + "/grants", "{}", admin, false},

		{"GET " + one + "/rejected-requests", "", look, false},
		{"GET /problems", "", look, false},
		{"GET " + one + "/problems", "", look, false},
		{"GET " + one + "/message-counts", "", look, false},
		{"GET " + one + "/events", "", look, false},
		{"POST " + one + "/events/replay", "{}", operate, false},
		{"GET " + one + "/events/{event}", "", look, false},
		{"POST " + one + "/events/{event}/replay", "", operate, false},
		{"GET " + one + "/users", "", look, false},
		{"GET " + one + "/users/{user}", "", look, false},
		{"POST " + one + "/users/{user}/refresh", "", operate, false},
		{"POST " + one + "/users/{user}/erase", "{}", admin, false},
		{"GET " + one + "/erasures", "", look, false},
		{"GET " + one + "/erasures/{erasure}", "", look, false},
		{"POST " + one + "/records/{record_type}/{record_id}/refresh", "", operate, false},
		{"GET " + one + "/records/{record_type}", "", look, false},
		{"GET " + one + "/records/{record_type}/{record_id}", "", look, false},
		{"GET " + one + "/records/{record_type}/{record_id}/values", "", look, false},

		{"GET " + one + "/destinations", "", look, false},
		{"POST " + one + "/destinations", "{}", admin, false},
		{"GET " + destination, "", look, false},
		{"PATCH " + destination, "{}", admin, false},
		{"DELETE " + destination, "", admin, false},
		{"POST " + destination + "/pause", "", operate, false},
		{"POST " + destination + "/resume", "", operate, false},
		{"POST " + destination + "/rotate", "", admin, false},
		{"POST " + destination + "/preview", "{}", look, false},
		{"POST " + one + "/destinations/preview", "{}", admin, false},
		{"POST " + destination + "/test", "", operate, false},
		{"POST " + destination + "/replay", "{}", operate, false},
		{"GET " + one + "/deliveries", "", look, false},
		{"GET " + delivery, "", look, false},
		{"POST " + delivery + "/retry", "", operate, false},
		{"POST " + delivery + "/cancel", "", operate, false},
		{"POST " + delivery + "/confirm", "", operate, false},
		{"POST " + one + "/deliveries/confirm", "{}", operate, false},

		{"GET /keys", "", look, true},
		{"POST /keys", "{}", admin, true},
		{"DELETE /keys/{key}", "", admin, true},

		{"GET /audit", "", admin, true},
		{"GET " + one + "/audit", "", admin, false},
	}
}

// holder is somebody who makes calls.
type holder struct {
	name, secret string
	valid        bool
	role         project.Role
	limited      bool // to a project
	elsewhere    bool // to another one than that of the call
}

// refusal is the status and the code that a holder gets; 0 if the call is let through.
func (h holder) refusal(n need) (status int, code string) {
	enough := map[project.Role][]project.Role{
		project.ReadOnly: {project.ReadOnly, project.Operator, project.Admin},
		project.Operator: {project.Operator, project.Admin},
		project.Admin:    {project.Admin},
	}
	switch {
	case !h.valid:
		return http.StatusUnauthorized, "unauthenticated"
	case n.ofAll && h.limited:
		return http.StatusForbidden, "key_limited_to_project"
	case !slices.Contains(enough[n.role], h.role):
		return http.StatusForbidden, "insufficient_role"
	case h.elsewhere && strings.Contains(n.call, "{project}"):
		return http.StatusNotFound, "project_not_found"
	default:
		return 0, ""
	}
}

// holders makes a key of each sort. The last ones may do the most, so that what they delete is not missed.
func (b *testBundle) holders(t *testing.T, here, there project.Project) []holder {
	t.Helper()
	create := func(in project.KeyInput) (project.Key, string) {
		in.Name = "x"
		key, secret, err := b.store.CreateKey(t.Context(), in)
		require.NoError(t, err)
		return key, secret
	}
	revoked, revokedSecret := create(project.KeyInput{})
	require.NoError(t, b.store.RevokeKey(t.Context(), revoked.ID))
	soon := b.now().Add(time.Hour)
	expired, expiredSecret := create(project.KeyInput{ExpiresAt: &soon})
	_, err := b.pool.Exec(t.Context(), `UPDATE authsync.api_keys SET expires_at = $2 WHERE id = $1`, expired.ID, b.now().Add(-time.Hour))
	require.NoError(t, err)
	_, readOnly := create(project.KeyInput{Role: project.ReadOnly})
	_, operator := create(project.KeyInput{Role: project.Operator})
	_, elsewhere := create(project.KeyInput{Role: project.Admin, ProjectID: &there.ID})
	_, limitedReadOnly := create(project.KeyInput{Role: project.ReadOnly, ProjectID: &here.ID})
	_, limited := create(project.KeyInput{Role: project.Admin, ProjectID: &here.ID})
	return []holder{
		{name: "NoKey"},
		{name: "RevokedKey", secret: revokedSecret},
		{name: "ExpiredKey", secret: expiredSecret},
		{name: "ReadOnlyOfThisProject", secret: limitedReadOnly, valid: true, role: project.ReadOnly, limited: true},
		{name: "ReadOnly", secret: readOnly, valid: true, role: project.ReadOnly},
		{name: "AdminOfAnotherProject", secret: elsewhere, valid: true, role: project.Admin, limited: true, elsewhere: true},
		{name: "Operator", secret: operator, valid: true, role: project.Operator},
		{name: "AdminOfThisProject", secret: limited, valid: true, role: project.Admin, limited: true},
		{name: "Admin", secret: b.key, valid: true, role: project.Admin},
	}
}

// Every call lets in exactly the keys that may make it, whatever it then answers.
func TestEveryCallLetsInTheRightKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var described []string
	for _, n := range needs() {
		if n.body == "" || n.body == "{}" {
			described = append(described, n.call)
		}
	}
	require.ElementsMatch(t, b.handler.Routes(), described, "each route has one entry without a stronger body")

	there := b.project(t, "there")
	for _, n := range needs() { //nolint:paralleltest // one after another: a call for a project may be refused for others at work
		here := b.project(t, "p-"+uuid.NewString()[:8]) // of its own, for the call may delete it
		fill := strings.NewReplacer("{project}", here.Name, "{provider}", "clerk", "{event}", "1.0", "{user}", "user_1", "{record_type}", "user",
			"{record_id}", "user_1", "{destination}", "app", "{delivery}", "1", "{key}", uuid.NewString(), "{erasure}", uuid.NewString())
		method, path, _ := strings.Cut(fill.Replace(n.call), " ")
		for _, h := range b.holders(t, here, there) {
			t.Run(strings.Join([]string{n.call, n.body, h.name}, " "), func(t *testing.T) {
				answer := b.callWith(t, h.secret, method, path, n.body)
				status, code := h.refusal(n)
				if status == 0 {
					require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, answer.status, answer.text)
					require.NotEqual(t, "project_not_found", answer.body["code"])
					return
				}
				require.Equal(t, status, answer.status, answer.text)
				require.Equal(t, code, answer.body["code"])
				if code == "insufficient_role" {
					answer.refused(t, http.StatusForbidden, "this key has the role "+string(h.role)+", and this call needs ")
				}
			})
		}
	}
}

func TestExpiredKeyIsToldWhenItExpired(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	made := b.call(t, http.MethodPost, "/keys", `{"name": "x", "role": "read_only", "expires_at": "`+at.Format(time.RFC3339)+`"}`)
	require.Equal(t, http.StatusCreated, made.status, made.text)
	require.Equal(t, at.Format(time.RFC3339), made.body["expires_at"])
	require.Equal(t, "read_only", made.body["role"])
	secret, _ := made.body["key"].(string)
	require.Equal(t, http.StatusOK, b.callWith(t, secret, http.MethodGet, "/projects", "").status)

	b.clock.Store(int64(time.Hour))
	expired := b.callWith(t, secret, http.MethodGet, "/projects", "")
	expired.refused(t, http.StatusUnauthorized, "this key expired at "+at.Format(time.RFC3339))
	require.Equal(t, `Bearer realm="authsync"`, expired.header.Get("WWW-Authenticate"))
	b.callWith(t, secret[:len(secret)-1]+"~", http.MethodGet, "/projects", "").refused(t, http.StatusUnauthorized, "unknown or was revoked")

	id, _ := made.body["id"].(string)
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, "/keys/"+id, "").status)
	b.callWith(t, secret, http.MethodGet, "/projects", "").refused(t, http.StatusUnauthorized, "unknown or was revoked")
}

func TestKeysAreAdminAndLastForeverUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	b := setup(t)
	made := b.call(t, http.MethodPost, "/keys", `{"name": "x", "role": null, "expires_at": null}`)
	require.Equal(t, http.StatusCreated, made.status, made.text)
	require.Equal(t, "admin", made.body["role"])
	require.Contains(t, made.body, "expires_at")
	require.Nil(t, made.body["expires_at"])

	for body, field := range map[string]string{
		`{"name": "x", "role": ""}`:                             "role",
		`{"name": "x", "role": "root"}`:                         "role",
		`{"name": "x", "role": "Admin"}`:                        "role",
		`{"name": "x", "expires_at": ""}`:                       "expires_at",
		`{"name": "x", "expires_at": "tomorrow"}`:               "expires_at",
		`{"name": "x", "expires_at": "2020-01-01T00:00:00Z"}`:   "expires_at",
		`{"name": "x", "expires_at": "2926-01-01T00:00:00Z"}`:   "expires_at",
		`{"name": "x", "role": "operator", "expires_at": "9d"}`: "expires_at",
	} {
		b.call(t, http.MethodPost, "/keys", body).invalid(t, "body", field, "invalid")
	}
	require.Contains(t, b.call(t, http.MethodPost, "/keys", `{"name": "x", "expires_at": ""}`).text, "expires_at is empty: ")
}

// The answer to an earlier call is not given to a key that may no longer make it, and a refused call keeps no key.
func TestRefusedCallDoesNotUseItsIdempotencyKeyUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	key, operator, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "x", Role: project.Operator})
	require.NoError(t, err)
	const path, body = "/projects/shop/integrations/clerk/reconcile", `{"force": true}`
	b.post(t, operator, path, body, "k").refused(t, http.StatusForbidden, "this key has the role operator, and this call needs admin: "+
		"use a key with that role, or have one made with authsync keys create NAME --role admin")
	setRole := func(role project.Role) {
		_, err := b.pool.Exec(t.Context(), `UPDATE authsync.api_keys SET role = $2 WHERE id = $1`, key.ID, role)
		require.NoError(t, err)
	}
	setRole(project.Admin)
	require.Equal(t, http.StatusAccepted, b.post(t, operator, path, body, "k").status)
	setRole(project.ReadOnly)
	require.Equal(t, http.StatusForbidden, b.post(t, operator, path, body, "k").status)
}
