package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/project"
)

// No form is taken from another site, whatever cookie its browser sends along: of all that the code routes, so that a new
// form is looked at as well.
func TestNoFormIsTakenFromAnotherSite(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.history(t)
	fill := strings.NewReplacer("/projects/{project}/destinations/{destination}", s.outbound(t), "/projects/{project}/deliveries/{delivery}", s.delivery(t),
		"/projects/{project}/events/{event}", s.event(t, "user.created"), "{project}", s.shop.ID.String(), "{provider}", "clerk",
		"{type}", "user", "{id}", url.PathEscape(hostileID), "{kind}", "backfill", "{key}", uuid.NewString())
	forms := 0
	for _, pattern := range patterns(t) {
		method, path, _ := strings.Cut(fill.Replace(pattern), " ")
		if method != http.MethodPost {
			continue
		}
		forms++
		for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+path, strings.NewReader("name=mine"))
			require.NoError(t, err)
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(name, value)
			r.AddCookie(s.all)
			w, err := quiet.RoundTrip(r)
			require.NoError(t, err)
			require.NoError(t, w.Body.Close())
			require.Equal(t, http.StatusForbidden, w.StatusCode, "%s with %s", pattern, name)
			require.Equal(t, "application/problem+json", w.Header.Get("Content-Type"), "it is refused before it is looked at: %s", pattern)
			require.Empty(t, w.Cookies(), pattern)
		}
	}
	require.Greater(t, forms, 20)
}

// Whoever planted a session in somebody's browser does not share what that person does after signing in.
func TestSignInTakesOverNoSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, theirs, err := b.store.CreateKey(t.Context(), project.KeyInput{Name: "planted"})
	require.NoError(t, err)
	planted := b.sessionOf(t, theirs)
	in := b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {b.secret}}, cookie: planted})
	require.Equal(t, http.StatusSeeOther, in.Code)
	require.Len(t, in.Result().Cookies(), 1, "the session is another one")
	own := in.Result().Cookies()[0]
	require.NotEqual(t, planted.Value, own.Value)
	require.Contains(t, b.get(t, "/sign-in", own).Body.String(), "Ada&#39;s laptop")
	require.NotContains(t, b.get(t, "/sign-in", planted).Body.String(), "Ada&#39;s laptop")
	require.NotEqual(t, own.Value, b.session(t).Value, "each sign-in has its own")

	wrong := b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {"capy_live_wrong"}}, cookie: planted})
	require.Equal(t, http.StatusUnauthorized, wrong.Code, "a session that is there makes no key right")
	require.Empty(t, wrong.Result().Cookies())
}
