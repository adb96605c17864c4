package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// tenant is an Auth0 tenant on this machine, whose application may manage event streams, and the command
// that sets it up.
func tenant(t *testing.T, b *testBundle) (server *demoprovider.Auth0, set []string) {
	t.Helper()
	server = demoprovider.NewAuth0(demoprovider.NewAccount(2), time.Now)
	server.Scope = "read:users " + demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	server.Streams.Local = true
	b.env["AUTH0_CLIENT_SECRET"] = demoprovider.Auth0ClientSecret
	base := userapitest.Start(t, server)
	t.Cleanup(func() { server.Streams.Posted() })
	return server, []string{
		"integrations", "set", "tenant", "auth0", "--provision", "--domain", demoprovider.Auth0Domain, "--client-id", demoprovider.Auth0ClientID,
		"--client-secret-env", "AUTH0_CLIENT_SECRET", "--option", "base_url=" + base,
	}
}

// setupTenant is a server with a project that has no integration yet.
func setupTenant(t *testing.T) *testBundle {
	t.Helper()
	b := setupEmpty(t)
	b.must(t, "projects", "create", "tenant", "--database-url-env", "SHOP_DATABASE_URL")
	return b
}

func TestProvisionSetsUpTheWebhookStepByStep(t *testing.T) {
	t.Parallel()
	b := setupTenant(t)
	server, set := tenant(t, b)
	out := b.must(t, set...)
	require.Regexp(t, `(?s)Set\. Auth0 sends to:\n  http://127\.0\.0\.1:\d+/api/capydb/v1/integrations/auth0/webhook/.*`+
		`✓ permissions: .*✓ webhook: created est_.*; it sends 10 event types.*✓ test event sent: .*✓ test event arrived: `, out)
	require.Contains(t, out, "All users are read into the mirror now.")
	require.NotContains(t, out, demoprovider.Auth0ClientSecret)
	require.Len(t, server.Streams.All(), 1)
	require.Contains(t, b.must(t, "events", "list", "tenant"), "Auth0's test event")

	got := b.must(t, "integrations", "get", "tenant", "auth0")
	require.Contains(t, got, "Webhook set up by authsync: ready")
	require.Contains(t, got, "The provider has it as it should be.")

	// Again, as a program reads it: the stream is the same.
	var again struct {
		client.Integration
	}
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "integrations", "set", "tenant", "auth0", "--provision", "--json")), &again))
	require.Equal(t, "ready", again.Config.Webhook.State)
	require.Len(t, again.Config.Webhook.Steps, 4)
	for _, step := range again.Config.Webhook.Steps {
		require.Equal(t, "done", step.State, step.Name)
	}
	stream := server.Streams.All()[0]
	require.Equal(t, stream.ID, *again.Config.Webhook.ID)

	server.Streams.Change(stream.ID, func(s *demoprovider.Auth0Stream) { s.Disabled = true })
	b.must(t, "integrations", "set", "tenant", "auth0", "--provision", "--no-wait", "--option", "absent_fields=clear")

	require.Contains(t, b.must(t, "integrations", "delete", "tenant", "auth0", "--yes"), "Removed auth0")
	require.Empty(t, server.Streams.All())
}

func TestProvisionSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setupTenant(t)
	server, set := tenant(t, b)
	server.Scope = "read:users read:event_streams"
	var attempts atomic.Int32 // to change something; the server's own look at the streams is none
	server.Begun = func(r *http.Request) {
		if r.Method != http.MethodGet && strings.Contains(r.URL.Path, "/event-streams") {
			attempts.Add(1)
		}
	}
	r := b.run(t, set...)
	require.Equal(t, 1, r.status)
	require.Contains(t, r.out, "✗ permissions: ")
	require.Contains(t, r.err, "create:event_streams, update:event_streams, delete:event_streams")
	require.Contains(t, r.err, "authsync integrations set tenant auth0 --provision")
	require.NotContains(t, r.out+r.err, demoprovider.Auth0ClientSecret)
	require.Zero(t, attempts.Load())

	asJSON := b.run(t, append(set, "--json")...)
	require.Equal(t, 1, asJSON.status)
	require.Contains(t, asJSON.out, `"missing_permissions"`)

	doctor := b.run(t, "doctor")
	require.Equal(t, 1, doctor.status)
	require.Contains(t, doctor.out, "failed   webhooks: the webhook of auth0 of project tenant is not set up: the credentials lack permissions at the provider")
	require.Contains(t, doctor.out, "missing: create:event_streams")
	require.Contains(t, doctor.out, "authsync integrations set tenant auth0 --provision")

	server.Change(func() {
		server.Scope = "read:users " + demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	})
	b.must(t, "integrations", "set", "tenant", "auth0", "--provision")
	require.NotZero(t, attempts.Load())
	require.NotContains(t, b.run(t, "doctor").out, "failed   webhooks")

	// A difference that nobody has looked at is a warning.
	execute(t, b.control, `UPDATE authsync.provisioned_webhooks SET differences = '{the event stream is disabled}'`)
	require.Contains(t, b.run(t, "doctor").out, "warning  webhooks: the webhook of auth0 of project tenant differs at the provider: the event stream is disabled")
}

func TestProvisionAtTheRealProviderNeedsAPublicURL(t *testing.T) {
	t.Parallel()
	b := setupTenant(t)
	b.env["AUTH0_CLIENT_SECRET"] = demoprovider.Auth0ClientSecret
	r := b.run(t, "integrations", "set", "tenant", "auth0", "--provision", "--domain", "shop.eu.auth0.com", "--client-id", "c", "--client-secret-env", "AUTH0_CLIENT_SECRET")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "AUTHSYNC_PUBLIC_URL")
	require.Contains(t, r.err, "tunnel")
	require.Equal(t, 1, b.run(t, "integrations", "get", "tenant", "auth0").status, "nothing is stored")
}

func TestDeletingSaysWhyAWebhookCannotBeRemoved(t *testing.T) {
	t.Parallel()
	b := setupTenant(t)
	server, set := tenant(t, b)
	b.must(t, set...)
	server.Change(func() { server.Scope = strings.ReplaceAll(server.Scope, "delete:event_streams", "") })
	r := b.run(t, "integrations", "delete", "tenant", "auth0", "--yes")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "delete:event_streams")
	require.Contains(t, r.err, "--keep-webhook")
	require.Contains(t, b.must(t, "integrations", "delete", "tenant", "auth0", "--yes", "--keep-webhook"), "Removed auth0")
	require.Len(t, server.Streams.All(), 1)
}

// A project is detached with what authsync made at its providers; a provider that refuses keeps it.
func TestDetachingRemovesTheWebhooks(t *testing.T) {
	t.Parallel()
	b := setupTenant(t)
	server, set := tenant(t, b)
	b.must(t, set...)
	server.Streams.Start("", append(server.Streams.All(), demoprovider.Auth0Stream{ID: "est_other", Name: "other", Endpoint: "https://elsewhere.example.com", Token: "x"})...)
	scope := server.Scope
	server.Change(func() { server.Scope = strings.ReplaceAll(scope, "delete:event_streams", "") })
	r := b.run(t, "projects", "detach", "tenant", "--yes")
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "delete:event_streams")
	require.Contains(t, r.err, "--keep-webhook")
	require.Contains(t, b.must(t, "integrations", "get", "tenant", "auth0"), "Webhook set up by authsync")
	require.Len(t, server.Streams.All(), 2)

	server.Change(func() { server.Scope = scope })
	require.Contains(t, b.must(t, "projects", "detach", "tenant", "--yes"), "Detached project tenant")
	require.Len(t, server.Streams.All(), 1, "another's stays")
	require.Equal(t, "est_other", server.Streams.All()[0].ID)

	b.must(t, "projects", "create", "tenant", "--adopt", "--database-url-env", "SHOP_DATABASE_URL")
	b.must(t, set...)
	require.Contains(t, b.must(t, "projects", "detach", "tenant", "--yes", "--keep-webhook"), "Detached project tenant")
	require.Len(t, server.Streams.All(), 2)
}

func TestProvisionFetchesTheSigningSecretOfClerk(t *testing.T) {
	t.Parallel()
	b := setupTenant(t)
	server := demoprovider.NewClerk(demoprovider.NewAccount(2), time.Now)
	server.Svix.Local = true
	base := userapitest.Start(t, server)
	t.Cleanup(server.Svix.Posted)
	b.env["CLERK_SECRET_KEY"] = demoprovider.ClerkKey
	set := []string{"integrations", "set", "tenant", "clerk", "--provision", "--secret-key-env", "CLERK_SECRET_KEY", "--option", "base_url=" + base}
	out := b.must(t, set...)
	require.Contains(t, out, "✓ test event arrived: ")
	require.NotContains(t, out, "whsec_")
	require.Contains(t, b.must(t, "integrations", "list", "tenant"), "clerk")
	require.Contains(t, b.must(t, "events", "list", "tenant"), "ignored")
	b.must(t, "integrations", "delete", "tenant", "clerk", "--yes")
	require.Empty(t, server.Svix.All())

	// A surprise says how to go on by hand, and the integration is stored.
	server.Change(func() { server.Svix.Link = "https://portal.example.com/#key=x" })
	r := b.run(t, set...)
	require.Equal(t, 1, r.status)
	require.Contains(t, r.err, "By hand: Clerk dashboard")
	require.Contains(t, b.must(t, "integrations", "get", "tenant", "clerk"), "✗ permissions: ")
}
