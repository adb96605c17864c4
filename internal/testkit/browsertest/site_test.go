package browsertest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// site is a whole server, and the database of a customer.
type site struct {
	*sitetest.Site

	t *testing.T
}

func newSite(t *testing.T) *site {
	t.Helper()
	program(t) // before anything is started for nothing
	return &site{Site: sitetest.Start(t), t: t}
}

// admin is a browser that is signed in with a key that may do everything.
func (s *site) admin() *tab {
	s.t.Helper()
	b := newBrowser(s.t, s.URL)
	b.signIn(s.Key(s.t, project.KeyInput{Name: "Ada’s laptop"}))
	return b
}

// send sends a webhook until it is taken, as providers do: the receiver learns of a new secret within a moment.
func (s *site) send(projectID, name string, sample provider.Sample, secret string) {
	s.t.Helper()
	waittest.Until(s.t, func() bool {
		return s.Try(s.t, projectID, name, sample, secret) == http.StatusNoContent
	})
}

// clerk sends webhooks of Clerk, one after the other, and waits until each has its outcome.
func (s *site) clerk(of project.Project, samples ...provider.Sample) {
	s.t.Helper()
	for _, sample := range samples {
		s.send(of.ID.String(), provider.Clerk, sample, sitetest.ClerkSecret)
		s.settled()
	}
}

// settled waits until no event is pending.
func (s *site) settled() {
	s.t.Helper()
	waittest.Until(s.t, func() bool {
		var pending int
		require.NoError(s.t, s.Control.QueryRow(s.t.Context(), `SELECT count(*) FROM authsync.events WHERE outcome = 'pending'`).Scan(&pending))
		return pending == 0
	})
}

func run(t *testing.T, pool *pgxpool.Pool, query string, args ...any) {
	t.Helper()
	_, err := pool.Exec(t.Context(), query, args...)
	require.NoError(t, err)
}

// pathOf is the page of a project, or one below it.
func pathOf(projectID string, segments ...string) string {
	path := []string{"/projects", projectID}
	for _, segment := range segments {
		path = append(path, url.PathEscape(segment))
	}
	return strings.Join(path, "/")
}

// everyPage has a path of each kind of page that a project has.
func (s *site) everyPage(of project.Project, userID, organizationID string) (paths []string) {
	s.t.Helper()
	id := of.ID.String()
	paths = []string{
		"/", "/sign-in", pathOf(id), pathOf(id, "events"), pathOf(id, "events") + "?outcome=failed", pathOf(id, "events", s.Event(s.t, "user.created")),
		pathOf(id, "integrations", "clerk"), pathOf(id, "integrations", "auth0"), pathOf(id, "records", "user", userID), pathOf(id, "records", "organization", organizationID),
	}
	for _, d := range record.Types() {
		paths = append(paths, pathOf(id, "records", string(d.Type)))
	}
	return paths
}

// history has a user appear and change its name, join an organization, and be signed in.
func (s *site) history(of project.Project, userID, name string) {
	s.t.Helper()
	at := time.Now().Add(-time.Hour).Truncate(time.Second)
	s.clerk(of,
		provider.Sample{Type: "user.created", UserID: userID, At: at, Set: map[string]any{"first_name": name, "unsafe_metadata": map[string]any{name: name}}},
		provider.Sample{Type: "user.updated", UserID: userID, At: at.Add(time.Minute), Set: map[string]any{"first_name": name + " the second", "username": name}},
		provider.Sample{Type: "organization.created", OrganizationID: "org_1", At: at, Set: map[string]any{"name": name + " Ltd."}},
		provider.Sample{Type: "organizationMembership.created", OrganizationID: "org_1", UserID: userID, At: at},
		provider.Sample{Type: "organizationInvitation.created", OrganizationID: "org_1", At: at, Set: map[string]any{"email_address": name}},
		provider.Sample{Type: "session.created", UserID: userID, At: at},
		provider.Sample{Type: "role.created"},
	)
}
