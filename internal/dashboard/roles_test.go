package dashboard_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// changes are all forms that change something, as somebody would send them who knows them.
func (s *site) changes(t *testing.T) []form {
	t.Helper()
	return []form{
		{s.event(t, "user.created") + "/replay", nil},
		{s.path("replay"), nil},
		{s.path("records", "user", hostileID, "refresh"), nil},
		{s.path("integrations", "auth0"), url.Values{"form": {"connect"}}},
		{s.path("integrations", "clerk"), url.Values{"form": {"secret"}, "secret": {"x"}}},
		{s.path("integrations", "clerk"), url.Values{"form": {"options"}}},
		{s.path("integrations", "clerk", "delete"), nil},
		{s.path("integrations", "clerk", "runs", "backfill"), nil},
		{s.path("integrations", "clerk", "runs", "reconcile", "cancel"), nil},
		{"/projects", url.Values{"name": {"mine"}}},
		{s.path("clone"), url.Values{"name": {"mine"}}},
		{s.path("resync"), nil},
		{s.path(), url.Values{"name": {"mine"}}},
		{s.path("delete"), url.Values{"name": {"shop"}}},
		{s.path("destinations"), url.Values{"type": {"webhook"}, "name": {"mine"}, "options.url": {"http://127.0.0.1:1/"}}},
		{s.outbound(t) + "/change", url.Values{"name": {"mine"}}},
		{s.outbound(t) + "/pause", url.Values{"reason": {"mine"}}},
		{s.outbound(t) + "/resume", nil},
		{s.outbound(t) + "/rotate", nil},
		{s.outbound(t) + "/test", nil},
		{s.outbound(t) + "/replay", url.Values{"state": {"failed"}}},
		{s.outbound(t) + "/delete", nil},
		{s.delivery(t) + "/retry", nil},
		{s.delivery(t) + "/cancel", nil},
		{"/keys", url.Values{"name": {"mine"}}},
		{"/keys/" + uuid.NewString() + "/revoke", nil},
	}
}

// journal counts what any form could have changed.
func (s *site) journal(t *testing.T) (n int) {
	t.Helper()
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT
		(SELECT count(*) FROM authsync.api_keys) + (SELECT count(*) FROM authsync.inbox_pending) + (SELECT count(*) FROM authsync.sync_runs)
		+ (SELECT count(*) FROM authsync.destinations) + (SELECT count(*) FROM authsync.destinations WHERE name = 'app' AND state = 'disabled')
		+ (SELECT count(*) FROM authsync.deliveries WHERE state = 'failed') + (SELECT count(*) FROM authsync.projects) + (SELECT count(*) FROM authsync.integrations)`).Scan(&n))
	return n
}

func TestFormsAreForThoseWhoMay(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox_pending`).Scan(&n))
		return n == 0
	})
	forms := s.changes(t)
	before := s.journal(t)
	for _, f := range forms {
		out := s.post(t, f, nil)
		require.Equal(t, http.StatusSeeOther, out.status, f.action)
		require.Equal(t, "/sign-in?next="+url.QueryEscape(s.path()), out.header.Get("Location"), "back to the page with the form")
		foreign := s.post(t, f, s.foreign)
		require.Contains(t, []int{http.StatusNotFound, http.StatusForbidden}, foreign.status, f.action)

		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+f.action, strings.NewReader(f.values.Encode()))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", "https://elsewhere.example")
		r.AddCookie(s.all)
		w, err := quiet.RoundTrip(r)
		require.NoError(t, err)
		require.NoError(t, w.Body.Close())
		require.Equal(t, http.StatusForbidden, w.StatusCode, f.action)

		// By one byte: of what the server has not read it knows nothing, and the connection may be reset before the answer is read.
		large := s.post(t, form{f.action, url.Values{"name": {strings.Repeat("x", 256<<10+1-len("name="))}}}, s.all)
		require.Equal(t, http.StatusRequestEntityTooLarge, large.status, f.action)
	}
	require.Equal(t, before, s.journal(t))
}

// isForm finds the pages that are there for their form.
var isForm = regexp.MustCompile(`/new$|/new\?|/change$|/replay$|/replay\?|/new-project$|/clone$|/keys$`)

func TestReadersSeeNoFormAndAreRefused(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	reader := s.enter(t, project.KeyInput{Name: "reader", Role: project.ReadOnly})
	for _, path := range append(s.everyPage(t), "/", "/new-project", "/keys", "/audit", s.path("replay"), s.path("clone")) {
		page := s.get(t, path, reader)
		require.Contains(t, []int{http.StatusOK, http.StatusForbidden}, page.status, path)
		require.Equal(t, page.status == http.StatusForbidden, isForm.MatchString(path) || strings.HasSuffix(path, "/audit"), path)
		for _, f := range page.forms("") {
			require.True(t, f.action == "/sign-out" || strings.HasPrefix(f.action, "GET "), "%s has a form to %s", path, f.action)
		}
	}
	for _, f := range s.changes(t) {
		require.Equal(t, http.StatusForbidden, s.post(t, f, reader).status, f.action)
	}
}
