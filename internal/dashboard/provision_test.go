package dashboard_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestAWebhookIsSetUpByTheForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := demoprovider.NewAuth0(demoprovider.NewAccount(2), time.Now)
	server.Scope = "read:users read:event_streams"
	server.Streams.Local = true
	base := userapitest.Start(t, server)
	t.Cleanup(func() { server.Streams.Posted() })
	page := s.get(t, s.path("integrations", "auth0"), s.all)
	page = s.do(t, page.formWith(t, "connect"), s.all)
	require.Contains(t, page.words, "read:, create:, update: and delete:event_streams")

	// Without credentials it cannot be done, and the form says what is missing.
	refused := s.post(t, page.formWith(t, "provision"), s.all)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.words, "AUTHSYNC_PUBLIC_URL") // it would be the real Auth0

	read := page.formWith(t, "read")
	read.values.Set("provision", "yes")
	read.values.Set("option.base_url", base)
	page = s.do(t, read, s.all, "credential.domain", demoprovider.Auth0Domain, "credential.client_id", demoprovider.Auth0ClientID,
		"credential.client_secret", demoprovider.Auth0ClientSecret)
	waittest.Until(t, func() bool {
		page = s.get(t, s.path("integrations", "auth0"), s.all)
		return strings.Contains(page.words, "Missing permissions")
	})
	require.Contains(t, page.words, "create:event_streams update:event_streams delete:event_streams")
	require.Contains(t, page.step(t, "Check the permissions"), "failed: ")
	require.NotContains(t, page.text, demoprovider.Auth0ClientSecret)

	server.Change(func() {
		server.Scope = "read:users " + demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	})
	page = s.do(t, page.formWith(t, "provision"), s.all)
	require.Contains(t, page.notice(t), "is being set up")
	waittest.Until(t, func() bool {
		page = s.get(t, s.path("integrations", "auth0"), s.all)
		return strings.Contains(page.step(t, "Receive the test event"), "done: ")
	})
	require.Contains(t, page.words, "Auth0 has it as it should be.")
	require.Len(t, server.Streams.All(), 1)

	// It is removed with the integration, unless it is to stay.
	keep := page.form(t, "/delete")
	keep.values.Set("keep_webhook", "yes")
	s.do(t, keep, s.all)
	require.Len(t, server.Streams.All(), 1)
}
