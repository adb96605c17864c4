package auth0_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

const streamSecret = "the-bearer-token-of-the-event-stream"

// tenant is a tenant without event streams, whose application may manage them.
type tenant struct {
	*userapitest.WebhookCase

	server      *demoprovider.Auth0
	credentials provider.Credentials
	options     provider.Options
}

func newTenant(tb testing.TB) *tenant {
	tb.Helper()
	clock := userapitest.NewClock()
	server := demoprovider.NewAuth0(demoprovider.NewAccount(3), clock.Now)
	server.Scope = demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	c := &tenant{server: server, credentials: credentials(), options: provider.Options{BaseURL: userapitest.Start(tb, server)}}
	c.credentials.WebhookSigningSecret = provider.Secrets{streamSecret, "an-older-one-that-is-still-accepted"}
	streams, added := &server.Streams, 0
	c.WebhookCase = &userapitest.WebhookCase{
		Clock: clock, Server: &server.Server, Path: "/event-streams",
		Want: userapi.WantedWebhook{Key: "authsync " + shopProject, URL: receiver},
		Open: func(d userapi.Deps) userapi.Webhooks {
			w, err := auth0.New().NewWebhooks(c.credentials, c.options, d)
			require.NoError(tb, err)
			return w
		},
		Add: func(url string) string {
			added++
			id := fmt.Sprintf("est_theirs%016d", added)
			streams.Streams = append(streams.Streams, demoprovider.Auth0Stream{ID: id, Name: id, Endpoint: url, Token: "theirs", Types: []string{"group.created", "user.created"}})
			return id
		},
		All: func() map[string]string {
			all := map[string]string{}
			for _, s := range streams.All() {
				all[s.ID] = fmt.Sprint(s)
			}
			return all
		},
		Disable: func(id string) { streams.Change(id, func(s *demoprovider.Auth0Stream) { s.Disabled = true }) },
		Narrow: func(id string) {
			streams.Change(id, func(s *demoprovider.Auth0Stream) { s.Types = []string{"user.created"} })
		},
		Reject: func() {
			server.Secret = "another"
			server.RevokeTokens()
		},
		Credential: "credentials.client_secret",
		Secrets:    []string{demoprovider.Auth0ClientSecret, "eyJ-token", streamSecret, "an-older-one"},
	}
	return c
}

func (c *tenant) open() userapi.Webhooks { return c.Open(c.Clock.Deps()) }

func TestWebhooks(t *testing.T) {
	t.Parallel()
	userapitest.WebhookConformance(t, func(tb testing.TB) *userapitest.WebhookCase {
		tb.Helper()
		return newTenant(tb).WebhookCase
	})
}

func TestStreamSendsExactlyWhatIsMirrored(t *testing.T) {
	t.Parallel()
	for want, groups := range map[string][]string{
		"organization.created organization.deleted organization.member.added organization.member.deleted organization.member.role.assigned " +
			"organization.member.role.deleted organization.updated user.created user.deleted user.updated": nil,
		"user.created user.deleted user.updated": {"users", "sessions"},
	} {
		c := newTenant(t)
		c.options.RecordTypes = groups
		made, err := c.open().Ensure(t.Context(), c.Want)
		require.NoError(t, err)
		require.Equal(t, want, strings.Join(c.server.Streams.Stream(made.ID).Types, " "))
		require.Equal(t, "authsync "+shopProject, c.server.Streams.Stream(made.ID).Name)

		// Every type that it sends is one that the decoder knows.
		for _, name := range c.server.Streams.Stream(made.ID).Types {
			events := auth0.New().Decode(provider.Message{Body: fmt.Appendf(nil, `{"type":%q,"id":"evt_1","time":"2026-05-04T10:20:30Z","data":{"object":{}}}`, name)}, c.options)
			require.NotContains(t, events[0].Reason, "not mirrored", name)
		}
		c.options.RecordTypes = []string{"users"}
		_, err = c.open().Ensure(t.Context(), c.Want)
		require.NoError(t, err)
		require.Equal(t, []string{"user.created", "user.deleted", "user.updated"}, c.server.Streams.Stream(made.ID).Types, "the options are followed")
	}
}

func TestStreamProvesItselfAsTheReceiverExpects(t *testing.T) {
	t.Parallel()
	for name, of := range map[string]provider.Credentials{
		"Secret":       {WebhookSigningSecret: provider.Secrets{streamSecret, "older-secret-that-is-accepted"}},
		"WithScheme":   {WebhookSigningSecret: provider.Secrets{"Bearer " + streamSecret}},
		"Bearer":       {WebhookAuthorization: &provider.Authorization{Method: "bearer", Token: streamSecret}},
		"Basic":        {WebhookAuthorization: &provider.Authorization{Method: "basic", Username: "u", Password: streamSecret}},
		"CustomHeader": {WebhookAuthorization: &provider.Authorization{Method: "custom_header", HeaderKey: "X-Auth0-Token", HeaderValue: streamSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newTenant(t)
			c.credentials.WebhookSigningSecret, c.credentials.WebhookAuthorization = of.WebhookSigningSecret, of.WebhookAuthorization
			verifier, err := auth0.New().NewVerifier(c.credentials, c.options)
			require.NoError(t, err)
			verified := make(chan error, 1)
			c.server.Streams.Local, c.server.Streams.To = true, userapitest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, err := verifier.Verify(r.Header, nil, c.Clock.Now())
				verified <- err
			}))
			made, err := c.open().Ensure(t.Context(), c.Want)
			require.NoError(t, err)
			id, err := c.open().SendTest(t.Context(), made.ID)
			require.NoError(t, err)
			require.NotEmpty(t, id)
			require.NoError(t, <-verified)
			require.Equal(t, []int{200}, c.server.Streams.Posted())
			require.Empty(t, c.open().TestFailure(t.Context(), made.ID, id))
		})
	}
}

func TestStreamNeedsASecret(t *testing.T) {
	t.Parallel()
	for want, secrets := range map[string]provider.Secrets{"webhook_signing_secret": nil, "webhook_authorization": {"Basic dXNlcjpwYXNzd29yZA=="}} {
		c := newTenant(t)
		c.credentials.WebhookSigningSecret = secrets
		_, err := c.open().Ensure(t.Context(), c.Want)
		require.True(t, fault.Is(err, fault.Unsupported), err)
		require.ErrorContains(t, err, want)
		require.Zero(t, c.server.Requests("/"), "nothing was sent")
	}
}

func TestMissingPermissionsAreNamedBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	c := newTenant(t)
	c.server.Scope = "read:users read:event_streams delete:event_streams"
	missing, err := c.open().MissingPermissions(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"create:event_streams", "update:event_streams"}, missing)
	require.Zero(t, c.server.Requests("/api/"), "a token was asked for, and nothing else")

	// A grant counts at once, for one that asked before, too.
	w := c.open()
	_, err = w.MissingPermissions(t.Context())
	require.NoError(t, err)
	c.server.Scope = demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	missing, err = w.MissingPermissions(t.Context())
	require.NoError(t, err)
	require.Empty(t, missing)

	// What is withdrawn in between is named by the call that needs it.
	for _, lacking := range []string{"create", "update", "delete", "read"} {
		c := newTenant(t)
		c.Add(receiver)
		if lacking == "create" {
			c.server.Streams.Streams = nil
		}
		c.server.Scope = strings.ReplaceAll(c.server.Scope, lacking+":event_streams", "")
		_, err := c.open().Ensure(t.Context(), c.Want)
		if lacking == "delete" {
			err = c.open().Remove(t.Context(), "est_theirs0000000000000001")
		}
		require.True(t, fault.Is(err, fault.CredentialsRefused), "%s: %v", lacking, err)
		require.ErrorContains(t, err, lacking+":event_streams")
	}
}

func TestTooManyStreamsAreNamed(t *testing.T) {
	t.Parallel()
	c := newTenant(t)
	c.server.Streams.Limit = 2
	c.Add("https://elsewhere.example.com/a")
	c.Add("https://elsewhere.example.com/b")
	before := c.All()
	_, err := c.open().Ensure(t.Context(), c.Want)
	require.True(t, fault.Is(err, fault.Unsupported), err)
	for _, want := range []string{"the tenant has 2", "est_theirs0000000000000001 (elsewhere.example.com/a)", "maximum number", "adopts"} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, before, c.All())
}

// Another authsync with a copy of the project's database has a stream of the same name to its own address.
func TestStreamOfTheSameNameThatGoesElsewhereIsLeftAlone(t *testing.T) {
	t.Parallel()
	c := newTenant(t)
	id := c.Add("https://staging.example.com/api/capydb/v1/integrations/auth0/webhook/" + shopProject)
	c.server.Streams.Change(id, func(s *demoprovider.Auth0Stream) { s.Name = c.Want.Key })
	before := c.All()
	_, err := c.open().Ensure(t.Context(), c.Want)
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.ErrorContains(t, err, id)
	require.ErrorContains(t, err, "left as it is")
	require.Equal(t, before, c.All())

	// Nor is one that goes to EventBridge, even if its id is known.
	c = newTenant(t)
	id = c.Add("")
	before = c.All()
	c.Want.ID, c.Want.Made = id, true
	made, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	require.NotEqual(t, id, made.ID)
	require.Equal(t, before[id], c.All()[id])
}

func TestStreamWithTooManyFailuresIsNotEnabled(t *testing.T) {
	t.Parallel()
	c := newTenant(t)
	c.server.Streams.FailedLimit = 3
	made, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	c.Disable(made.ID)
	fail(c.server, made.ID, 3)
	_, err = c.open().Ensure(t.Context(), c.Want)
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.ErrorContains(t, err, "authsync redeliver")
}

func TestWhyATestEventDidNotArrive(t *testing.T) {
	t.Parallel()
	c := newTenant(t)
	c.server.Streams.To = userapitest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	made, err := c.open().Ensure(t.Context(), c.Want)
	require.NoError(t, err)
	id, err := c.open().SendTest(t.Context(), made.ID)
	require.NoError(t, err)
	require.Equal(t, []int{418}, c.server.Streams.Posted())
	require.Contains(t, c.open().TestFailure(t.Context(), made.ID, id), "418")
	require.Empty(t, c.open().TestFailure(t.Context(), made.ID, "evt_other"))
	c.server.Scope = demoprovider.Auth0ManageScopes
	require.Empty(t, c.open().TestFailure(t.Context(), made.ID, id), "without the permission it stays unknown")
	_, err = c.open().SendTest(t.Context(), "est_none")
	require.True(t, fault.Is(err, fault.ProviderError), err)
}

func TestWebhooksNameMissingCredentials(t *testing.T) {
	t.Parallel()
	_, err := auth0.New().NewWebhooks(provider.Credentials{Domain: "shop.eu.auth0.com"}, provider.Options{}, userapi.Deps{})
	require.True(t, fault.Is(err, fault.Unsupported), err)
	require.ErrorContains(t, err, "create:event_streams")
	for _, name := range []string{"credentials.client_id", "credentials.client_secret"} {
		require.ErrorContains(t, err, name)
	}
	require.False(t, slices.Contains(strings.Fields(err.Error()), "credentials.domain"))
}
