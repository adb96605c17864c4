package dashboard_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// hostile is what anybody may have entered anywhere.
const hostile = `"'><script>alert(1)</script><img src=x onerror=alert(2)>{{.}}&amp;`

// keyName is the name of a key, and so on every page that it opens; no other text is part of it.
const keyName = `</span></form><script>alert(4)</script>`

// hostileID is the id of a user.
const hostileID = `user/../<script>alert(3)</script>?a=b#c&d"'%2F|é`

// site is a whole server as browsers see it, with a project, a user and what happened to it.
type site struct {
	*sitetest.Site

	shop    project.Project
	other   project.Project
	all     *http.Cookie // of a key for all projects
	limited *http.Cookie // of a key for shop
	foreign *http.Cookie // of a key for other
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{Site: sitetest.Start(t)}
	s.shop = s.Shop(t)
	var err error
	s.other, err = s.Store.CreateProject(t.Context(), "other", pgtest.URL(t, pgtest.Project(t)), false)
	require.NoError(t, err)
	s.all = s.enter(t, project.KeyInput{Name: keyName})
	s.limited = s.enter(t, project.KeyInput{Name: "of shop", ProjectID: &s.shop.ID})
	s.foreign = s.enter(t, project.KeyInput{Name: "of other", ProjectID: &s.other.ID})
	return s
}

// enter makes a key and signs in with it.
func (s *site) enter(t *testing.T, in project.KeyInput) *http.Cookie {
	t.Helper()
	return s.signIn(t, s.Key(t, in))
}

func (s *site) signIn(t *testing.T, secret string) *http.Cookie {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.URL+"/sign-in", strings.NewReader(url.Values{"key": {secret}}.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w, err := quiet.RoundTrip(r)
	require.NoError(t, err)
	require.NoError(t, w.Body.Close())
	require.Equal(t, http.StatusSeeOther, w.StatusCode)
	require.Equal(t, "/", w.Header.Get("Location"))
	require.Len(t, w.Cookies(), 1)
	return w.Cookies()[0]
}

// send delivers a sample of Clerk.
func (s *site) send(t *testing.T, sample provider.Sample) {
	t.Helper()
	require.Equal(t, http.StatusNoContent, s.try(t, sample))
}

// try delivers a sample of Clerk and gives the status of the answer.
func (s *site) try(t *testing.T, sample provider.Sample) int {
	t.Helper()
	return s.Try(t, s.shop.ID.String(), provider.Clerk, sample, sitetest.ClerkSecret)
}

// exec changes the control database.
func (s *site) exec(t *testing.T, query string, args ...any) {
	t.Helper()
	_, err := s.Control.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

// settled waits until that many events have their outcome.
func (s *site) settled(t *testing.T, events int) {
	t.Helper()
	waittest.Until(t, func() bool {
		var n int
		require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.event_outcomes WHERE outcome <> 'pending'`).Scan(&n))
		return n >= events
	})
}
