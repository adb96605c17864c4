package browsertest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// clerkSecret is what Clerk signs with.
const clerkSecret = "whsec_YnJvd3NlciB0ZXN0cywgYSBzZWNyZXQgb2YgQ2xlcms="

// site is a whole server, and the database of a customer.
type site struct {
	t       *testing.T
	url     string
	store   *project.Store
	control *pgxpool.Pool
	mirror  *pgxpool.Pool
}

func newSite(t *testing.T) *site {
	t.Helper()
	program(t) // before anything is started for nothing
	s := &site{t: t, control: pgtest.Control(t), mirror: pgtest.Project(t)}
	env := map[string]string{
		"DATABASE_URL": pgtest.URL(t, s.control), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(), "AUTHSYNC_LISTEN": "127.0.0.1:0",
		"AUTHSYNC_ALLOW_DATABASE_TARGETS": "127.0.0.1", "AUTHSYNC_ALLOW_TARGETS": "127.0.0.1",
	}
	settings, err := config.Load(func(name string) string { return env[name] })
	require.NoError(t, err)
	settings.Roles = config.Roles{Receiver: true, Worker: true, API: true}
	a, err := app.Start(t.Context(), app.Config{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) })
	s.url, s.store = a.URL(), a.Store
	return s
}

// key makes a key, and gives what is entered at the sign-in.
func (s *site) key(in project.KeyInput) string {
	s.t.Helper()
	_, secret, err := s.store.CreateKey(s.t.Context(), in)
	require.NoError(s.t, err)
	return secret
}

// admin is a browser that is signed in with a key that may do everything.
func (s *site) admin() *tab {
	s.t.Helper()
	b := newBrowser(s.t, s.url)
	b.signIn(s.key(project.KeyInput{Name: "Ada’s laptop"}))
	return b
}

// shop is a project with Clerk, whose secret is stored.
func (s *site) shop() project.Project {
	s.t.Helper()
	shop, err := s.store.CreateProject(s.t.Context(), "shop", pgtest.URL(s.t, s.mirror), false)
	require.NoError(s.t, err)
	_, err = s.store.PutIntegration(s.t.Context(), shop.ID, provider.Clerk,
		map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + clerkSecret + `"`)},
		json.RawMessage(`{"record_types": ["users", "organizations", "sessions"]}`))
	require.NoError(s.t, err)
	return shop
}

// try sends a webhook as the provider would that signs with these credentials, and gives the status of the answer.
func (s *site) try(projectID, name string, sample provider.Sample, credentials provider.Credentials) int {
	s.t.Helper()
	kind, err := registry.Lookup(name)
	require.NoError(s.t, err)
	header, body, err := kind.Sign(sample, credentials, provider.Options{}, time.Now())
	require.NoError(s.t, err)
	c := client.New(s.url, "")
	defer c.Close()
	if err = c.Deliver(s.t.Context(), name, projectID, header, body); err == nil {
		return http.StatusNoContent
	}
	require.NotZero(s.t, client.Status(err), "%v", err)
	return client.Status(err)
}

// send sends a webhook until it is taken, as providers do: the receiver learns of a new secret within a moment.
func (s *site) send(projectID, name string, sample provider.Sample, secret string) {
	s.t.Helper()
	waittest.Until(s.t, func() bool {
		return s.try(projectID, name, sample, provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(secret)}}) == http.StatusNoContent
	})
}

// clerk sends webhooks of Clerk, one after the other, and waits until each has its outcome.
func (s *site) clerk(of project.Project, samples ...provider.Sample) {
	s.t.Helper()
	for _, sample := range samples {
		s.send(of.ID.String(), provider.Clerk, sample, clerkSecret)
		s.settled()
	}
}

// settled waits until no event is pending.
func (s *site) settled() {
	s.t.Helper()
	waittest.Until(s.t, func() bool {
		var pending int
		require.NoError(s.t, s.control.QueryRow(s.t.Context(), `SELECT count(*) FROM authsync.events WHERE outcome = 'pending'`).Scan(&pending))
		return pending == 0
	})
}

// event is the newest one of a type, as it is in paths.
func (s *site) event(eventType string) (id string) {
	s.t.Helper()
	require.NoError(s.t, s.control.QueryRow(s.t.Context(),
		`SELECT inbox_id || '.' || ordinal FROM authsync.event_outcomes WHERE type = $1 ORDER BY inbox_id DESC LIMIT 1`, eventType).Scan(&id))
	return id
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
		"/", "/sign-in", pathOf(id), pathOf(id, "events"), pathOf(id, "events") + "?outcome=failed", pathOf(id, "events", s.event("user.created")),
		pathOf(id, "integrations", "clerk"), pathOf(id, "integrations", "auth0"), pathOf(id, "records", "user", userID), pathOf(id, "records", "organization", organizationID),
	}
	for _, d := range record.Types() {
		paths = append(paths, pathOf(id, "records", string(d.Type)))
	}
	return paths
}
