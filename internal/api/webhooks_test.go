package api_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/publicurl"
	"github.com/authsync/authsync/internal/sync/provision"
)

// fakeWebhooks answers what it is told, for a server at base.
type fakeWebhooks struct {
	mu       sync.Mutex
	base     string // empty: https://sync.example.com
	status   *provision.Status
	err      error
	refuse   string // the provider that err is of; empty: each
	compared []bool
	removed  int
}

func (f *fakeWebhooks) set(change func(*fakeWebhooks)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

func (f *fakeWebhooks) CheckBase(_ uuid.UUID, name string, o provider.Options) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	base := f.base
	if base == "" {
		base = "https://sync.example.com"
	}
	return publicurl.CheckReachable(base, provider.Title(name), o.BaseURL)
}

func (f *fakeWebhooks) Status(_ context.Context, _ uuid.UUID, _ string, compare bool) (*provision.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.compared = append(f.compared, compare)
	return f.status, nil
}

func (f *fakeWebhooks) Remove(_ context.Context, _ uuid.UUID, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil && (f.refuse == "" || f.refuse == name) {
		return f.err
	}
	f.removed++
	return nil
}

// fullWebhook has everything that a webhook may have.
func fullWebhook() *provision.Status {
	return &provision.Status{
		State: provision.Blocked, ID: "est_1", Made: true, URL: "https://sync.example.com/hook", EventTypes: []string{"user.created"},
		Steps:   []provision.Step{{Name: "permissions", State: provision.Failed, Detail: "create:event_streams"}},
		Missing: []string{"create:event_streams"}, Problem: "the credentials lack permissions", Differences: []string{"it is disabled"},
		ComparedAt: new(time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)), Unknown: "unknown: Auth0 could not be asked",
	}
}

const oneKey = `{"credentials": {"domain": "shop.eu.auth0.com", "client_id": "c", "client_secret": "s-f0e1d2c3b4a5"}, "options": {"provision": true}}`

func TestAWebhookIsAskedForByOneKey(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.project(t, "shop")
	path := "/projects/shop/integrations/auth0"

	// What cannot work is refused before anything is stored.
	b.webhooks.set(func(w *fakeWebhooks) { w.base = "http://127.0.0.1:8080" })
	refused := b.call(t, http.MethodPut, path, oneKey)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.text, "AUTHSYNC_PUBLIC_URL")
	b.webhooks.set(func(w *fakeWebhooks) { w.base = "" })
	refused = b.call(t, http.MethodPut, path, `{"credentials": {"domain": "shop.eu.auth0.com"}, "options": {"provision": true}}`)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.text, "credentials.client_id, credentials.client_secret")
	refused = b.call(t, http.MethodPut, "/projects/shop/integrations/better_auth", `{"options": {"provision": true}}`)
	require.Equal(t, http.StatusUnprocessableEntity, refused.status)
	require.Contains(t, refused.text, "options.provision: authsync cannot set up the webhook of Better Auth")
	require.Equal(t, http.StatusUnprocessableEntity, b.call(t, http.MethodPut, path, `{"options": {"provision": "yes"}}`).status)
	require.Equal(t, http.StatusNotFound, b.call(t, http.MethodGet, path, "").status)

	set := b.call(t, http.MethodPut, path, oneKey)
	require.Equal(t, http.StatusOK, set.status, set.text)
	require.NotContains(t, set.text, "s-f0e1d2c3b4a5")
	credentials, options, err := b.store.Credentials(t.Context(), p.ID, provider.Auth0)
	require.NoError(t, err)
	require.True(t, options.Provision)
	require.Len(t, credentials.WebhookSigningSecret, 1, "a secret was generated")
	var jobs int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE kind = 'provision_webhook' AND queue = 'webhooks'`).Scan(&jobs))
	require.Equal(t, 1, jobs)

	// One that is set stays.
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, path, oneKey).status)
	again, _, err := b.store.Credentials(t.Context(), p.ID, provider.Auth0)
	require.NoError(t, err)
	require.Equal(t, credentials.WebhookSigningSecret, again.WebhookSigningSecret)
}

func TestAWebhookIsShownAndComparedOnRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	path := "/projects/shop/integrations/auth0"
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, path, oneKey).status)
	b.webhooks.set(func(w *fakeWebhooks) { w.status, w.compared = fullWebhook(), nil })
	shown := b.call(t, http.MethodGet, path, "")
	config, ok := shown.body["config"].(object)
	require.True(t, ok)
	require.Equal(t, object{
		"state": "blocked", "id": "est_1", "made": true, "url": "https://sync.example.com/hook", "event_types": []any{"user.created"},
		"steps":               []any{object{"name": "permissions", "state": "failed", "detail": "create:event_streams"}},
		"missing_permissions": []any{"create:event_streams"}, "problem": "the credentials lack permissions",
		"differences": []any{"it is disabled"}, "compared_at": "2026-05-04T10:20:30Z", "comparison_problem": "unknown: Auth0 could not be asked",
	}, config["webhook"])
	require.Equal(t, http.StatusOK, b.call(t, http.MethodGet, path+"?compare=false", "").status)
	require.Equal(t, http.StatusOK, b.call(t, http.MethodGet, path+"?compare=true", "").status)
	require.Equal(t, []bool{true, false, true}, b.webhooks.compared)
	b.call(t, http.MethodGet, path+"?compare=maybe", "").invalid(t, "query", "compare", "invalid")
}

func TestAnIntegrationIsDeletedWithTheWebhookThatAuthsyncMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	path := "/projects/shop/integrations/auth0"
	require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, path, oneKey).status)
	b.webhooks.set(func(w *fakeWebhooks) { w.err = fault.New(fault.ProviderUnavailable, "Auth0 answered 503") })
	kept := b.call(t, http.MethodDelete, path, "")
	require.Equal(t, http.StatusServiceUnavailable, kept.status)
	require.Contains(t, kept.text, "Auth0 answered 503")
	require.Contains(t, kept.text, "keep_webhook=true")
	require.Equal(t, http.StatusOK, b.call(t, http.MethodGet, path, "").status, "without it nobody could remove the webhook")
	b.call(t, http.MethodDelete, path+"?keep_webhook=x", "").invalid(t, "query", "keep_webhook", "invalid")
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, path+"?keep_webhook=true", "").status)
	require.Zero(t, b.webhooks.removed)

	require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, path, oneKey).status)
	b.webhooks.set(func(w *fakeWebhooks) { w.err = nil })
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, path, "").status)
	require.Equal(t, 1, b.webhooks.removed)
}

func TestAProjectIsDeletedWithTheWebhooksThatAuthsyncMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.project(t, "shop").ID
	for name, body := range map[string]string{"auth0": oneKey, "clerk": `{"credentials": {"secret_key": "sk_test_0123456789abcdef0123456789"}}`} {
		require.Equal(t, http.StatusOK, b.call(t, http.MethodPut, "/projects/shop/integrations/"+name, body).status)
	}
	b.webhooks.set(func(w *fakeWebhooks) {
		w.err, w.refuse = fault.New(fault.ProviderUnavailable, "Auth0 answered 503"), provider.Auth0
	})
	kept := b.call(t, http.MethodDelete, "/projects/shop", "")
	require.Equal(t, http.StatusServiceUnavailable, kept.status)
	require.Contains(t, kept.text, "Auth0 answered 503")
	require.Contains(t, kept.text, "keep_webhook=true")
	require.Equal(t, 1, b.webhooks.removed, "the other provider's is gone")
	require.Equal(t, http.StatusOK, b.call(t, http.MethodGet, "/projects/shop/integrations/auth0", "").status, "nothing is lost")
	b.call(t, http.MethodDelete, "/projects/shop?keep_webhook=x", "").invalid(t, "query", "keep_webhook", "invalid")

	// Credentials that cannot be opened: whether a webhook was made is known.
	_, err := b.pool.Exec(t.Context(), `UPDATE authsync.integrations SET credentials_sealed = 'x' WHERE project_id = $1 AND provider = 'auth0'`, id)
	require.NoError(t, err)
	b.webhooks.set(func(w *fakeWebhooks) { w.err, w.status = nil, fullWebhook() })
	kept = b.call(t, http.MethodDelete, "/projects/shop", "")
	require.NotEqual(t, http.StatusNoContent, kept.status)
	require.Contains(t, kept.text, "Auth0 could not be removed, so the project stays")

	b.webhooks.set(func(w *fakeWebhooks) { w.removed = 0 })
	require.Equal(t, http.StatusNoContent, b.call(t, http.MethodDelete, "/projects/shop?keep_webhook=true", "").status)
	require.Zero(t, b.webhooks.removed)
	require.Equal(t, http.StatusNotFound, b.call(t, http.MethodGet, "/projects/shop", "").status)
}
