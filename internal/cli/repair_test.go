package cli_test

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// answering is a server that answers each call with a status and a body, and keeps
// the last path and body that it got.
type answering struct {
	url        string
	path, body string
}

func newAnswering(t *testing.T, status int, answer any) *answering {
	t.Helper()
	a := &answering{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.path, a.body = r.Method+" "+r.URL.EscapedPath(), string(body)
		if status >= 400 {
			w.Header().Set("Content-Type", "application/problem+json")
		}
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	a.url = server.URL
	return a
}

func TestRefreshCommand(t *testing.T) {
	t.Parallel()
	repaired := func(found, done string, columns ...string) map[string]any {
		return map[string]any{
			"record_type": "user", "record_id": "auth0|1", "user_id": "auth0|1", "provider": "auth0", "found": found, "done": done, "columns": append([]string{}, columns...),
			"note": nil, "event_id": "refresh:1",
		}
	}
	noted := repaired("gone", "nothing")
	noted["note"] = "it is of another"
	for want, answer := range map[string]map[string]any{
		"auth0|1: the row is as Auth0 has the user; nothing was changed.\n":                      repaired("equal", "nothing"),
		"auth0|1: the mirror did not have the user; the row was made.\n":                         repaired("missing", "created"),
		"auth0|1: the row differed in email, raw; the row was repaired.\n":                       repaired("differing", "updated", "email", "raw"),
		"auth0|1: the user was deleted in the mirror, but not at Auth0; the row was restored.\n": repaired("deleted_here", "restored"),
		"auth0|1: Auth0 has no such user; the row was marked as deleted.\n":                      repaired("gone", "deleted"),
		"auth0|1: Auth0 has no such user; nothing was changed (it is of another).\n":             noted,
	} {
		a := newAnswering(t, 200, answer)
		status, out, errs := runCommand(t.Context(), t, a.url, "refresh", "shop", "auth0|1")
		require.Equal(t, 0, status, errs.String())
		require.Equal(t, want, out.String())
		require.Equal(t, []string{"POST /api/capydb/v1/projects/shop/records/user/auth0%7C1/refresh", "{}"}, []string{a.path, a.body})
	}
	a := newAnswering(t, 200, repaired("equal", "nothing"))
	status, out, _ := runCommand(t.Context(), t, a.url, "refresh", "shop", "u", "--provider", "better-auth", "--json")
	require.Equal(t, 0, status)
	require.JSONEq(t, `{"provider": "better_auth"}`, a.body)
	require.JSONEq(t, `{"record_type": "user", "record_id": "auth0|1", "user_id": "auth0|1", "provider": "auth0", "found": "equal", "done": "nothing", "columns": [], "note": null, "event_id": "refresh:1"}`, out.String())

	recent := repaired("recent", "nothing")
	recent["record_type"], recent["record_id"], recent["note"] = "membership", "org_1/auth0|1", "refresh it again in 1m0s"
	a = newAnswering(t, 200, recent)
	status, out, _ = runCommand(t.Context(), t, a.url, "refresh", "shop", "membership/org_1/auth0|1")
	require.Equal(t, 0, status)
	require.Equal(t, "/api/capydb/v1/projects/shop/records/membership/org_1%2Fauth0%7C1/refresh", strings.TrimPrefix(a.path, "POST "))
	require.Equal(t, "org_1/auth0|1: the row is newer than what Auth0 is certain to know; nothing was changed (refresh it again in 1m0s).\n", out.String())

	status, _, _ = runCommand(t.Context(), t, a.url, "refresh", "shop", "u", "--provider", "okta")
	require.Equal(t, 2, status)
	a = newAnswering(t, 422, map[string]any{"status": 422, "detail": "say which one to ask"})
	status, _, errs := runCommand(t.Context(), t, a.url, "refresh", "shop", "u")
	require.Equal(t, 1, status)
	require.Equal(t, "authsync: say which one to ask (422)\n", errs.String())
}

func TestRedeliverCommand(t *testing.T) {
	t.Parallel()
	stream := func(id string, more map[string]any) map[string]any {
		s := map[string]any{
			"id": id, "name": "authsync", "endpoint": "x", "enabled": true, "failed": 0, "complete": true,
			"types": map[string]int{}, "oldest": nil, "newest": nil, "requested": false, "problem": nil, "notes": []string{},
		}
		maps.Copy(s, more)
		return s
	}
	asked := stream("est_1", map[string]any{
		"failed": 1500, "complete": false, "requested": true, "types": map[string]int{"user.updated": 1300, "user.created": 200},
		"oldest": "2026-05-04T10:20:30Z", "newest": "2026-05-04T12:00:00.5Z", "notes": []string{"it is disabled"},
	})
	a := newAnswering(t, 200, map[string]any{"dry_run": false, "streams": []any{asked, stream("est_2", nil)}})
	status, out, errs := runCommand(t.Context(), t, a.url, "redeliver", "shop", "auth0", "--since", "2026-05-04T10:00:00Z", "--stream", "est_1")
	require.Equal(t, 0, status, errs.String())
	require.Equal(t, "POST /api/capydb/v1/projects/shop/integrations/auth0/redeliver", a.path)
	require.JSONEq(t, `{"since": "2026-05-04T10:00:00Z", "stream": "est_1"}`, a.body)
	require.Equal(t, ""+
		"STREAM  NAME      FAILED         TYPES                                OLDEST                    NEWEST                    STATE\n"+
		"est_1   authsync  1,500 or more  user.created 200, user.updated 1300  2026-05-04 10:20:30.000Z  2026-05-04 12:00:00.500Z  asked for again: see authsync events list\n"+
		"est_2   authsync  0              -                                    -                         -                         nothing to do\n", out.String())
	require.Equal(t, "est_1: it is disabled\n", errs.String())

	a = newAnswering(t, 200, map[string]any{"dry_run": true, "streams": []any{stream("est_1", map[string]any{"failed": 3})}})
	status, out, _ = runCommand(t.Context(), t, a.url, "redeliver", "shop", "auth0", "--dry-run")
	require.Equal(t, 0, status)
	require.Contains(t, out.String(), "dry run: not asked for")
	require.JSONEq(t, `{"dry_run": true}`, a.body)

	a = newAnswering(t, 200, map[string]any{"streams": []any{asked, stream("est_2", map[string]any{"failed": 3, "problem": "busy: wait"})}})
	status, out, _ = runCommand(t.Context(), t, a.url, "redeliver", "shop", "auth0")
	require.Equal(t, 1, status, "not all could be asked")
	require.Contains(t, out.String(), "not asked: busy: wait")
	status, out, _ = runCommand(t.Context(), t, a.url, "redeliver", "shop", "auth0", "--json")
	require.Equal(t, 1, status)
	require.True(t, json.Valid([]byte(out.String())))

	status, _, _ = runCommand(t.Context(), t, a.url, "redeliver", "shop", "auth0", "--since", "last week")
	require.Equal(t, 2, status)
}
