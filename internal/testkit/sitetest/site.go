// Package sitetest starts a whole server for the tests of its pages, and sends it what providers send.
package sitetest

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
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
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// ClerkSecret is what Clerk signs with for the project that Shop creates.
const ClerkSecret = "whsec_dGVzdHMgb2YgcGFnZXMsIGEgc2VjcmV0IG9mIENsZXJr" //nolint:gosec // of tests

// Site is a server with all roles, and the database of a customer.
type Site struct {
	URL     string
	Store   *project.Store
	Control *pgxpool.Pool
	Mirror  *pgxpool.Pool // the database of a customer; see Shop
}

// Start starts a server on a database of the test's own, and stops it when the test ends.
func Start(t *testing.T) *Site {
	t.Helper()
	s := &Site{Control: pgtest.Control(t), Mirror: pgtest.Project(t)}
	env := map[string]string{
		"DATABASE_URL": pgtest.URL(t, s.Control), "AUTHSYNC_ENCRYPTION_KEY": seal.NewKey(), "AUTHSYNC_LISTEN": "127.0.0.1:0",
		"AUTHSYNC_ALLOW_DATABASE_TARGETS": "127.0.0.1", "AUTHSYNC_ALLOW_TARGETS": "127.0.0.1",
		"AUTHSYNC_DATABASE_CONNECTIONS": pgtest.ServerConnections,
	}
	settings, err := config.Load(func(name string) string { return env[name] })
	require.NoError(t, err)
	settings.Roles = config.Roles{Receiver: true, Worker: true, API: true}
	a, err := app.Start(t.Context(), app.Config{Settings: settings, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) })
	s.URL, s.Store = a.URL(), a.Store
	return s
}

// Key makes a key, and gives what is entered at the sign-in.
func (s *Site) Key(t *testing.T, in project.KeyInput) (secret string) {
	t.Helper()
	_, secret, err := s.Store.CreateKey(t.Context(), in)
	require.NoError(t, err)
	return secret
}

// Shop creates a project for Mirror, with Clerk, whose secret is stored.
func (s *Site) Shop(t *testing.T) project.Project {
	t.Helper()
	shop, err := s.Store.CreateProject(t.Context(), "shop", pgtest.URL(t, s.Mirror), false)
	require.NoError(t, err)
	_, err = s.Store.PutIntegration(t.Context(), shop.ID, provider.Clerk,
		map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + ClerkSecret + `"`)},
		json.RawMessage(`{"record_types": ["users", "organizations", "sessions"]}`))
	require.NoError(t, err)
	return shop
}

// Try sends a webhook as the provider would that signs with a secret, and gives the status of the answer.
func (s *Site) Try(t *testing.T, projectID, providerName string, sample provider.Sample, secret string) int {
	t.Helper()
	kind, err := registry.Lookup(providerName)
	require.NoError(t, err)
	credentials := provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(secret)}}
	header, body, err := kind.Sign(sample, credentials, provider.Options{}, time.Now())
	require.NoError(t, err)
	c := client.New(s.URL, "")
	defer c.Close()
	if err = c.Deliver(t.Context(), providerName, projectID, header, body); err == nil {
		return http.StatusNoContent
	}
	require.NotZero(t, client.Status(err), "%v", err)
	return client.Status(err)
}

// Event is the id of the newest event of a type, as it is in paths.
func (s *Site) Event(t *testing.T, eventType string) (id string) {
	t.Helper()
	require.NoError(t, s.Control.QueryRow(t.Context(),
		`SELECT inbox_id || '.' || ordinal FROM authsync.event_outcomes WHERE type = $1 ORDER BY inbox_id DESC LIMIT 1`, eventType).Scan(&id))
	return id
}
