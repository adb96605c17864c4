package api_test

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever stores credentials that allow it is told how often the mirror will be
// compared with the provider, and can change it or turn it off.
func TestReconcileIsScheduledByDefaultWhereCredentialsAllow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.project(t, "shop")
	for name, c := range map[string]struct{ provider, body, every string }{
		"ClerkWithAKey":            {"clerk", `{"credentials": {"secret_key": "sk_test_one"}}`, "24h"},
		"ClerkWithoutAKey":         {"clerk", `{"credentials": {"webhook_signing_secret": "whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw=="}}`, ""},
		"Auth0WithAnApplication":   {"auth0", `{"credentials": {"domain": "shop.eu.auth0.com", "client_id": "c", "client_secret": "s"}}`, "1w"},
		"Auth0WithHalfOfIt":        {"auth0", `{"credentials": {"domain": "shop.eu.auth0.com", "client_id": "c"}}`, ""},
		"BetterAuthWithTables":     {"better_auth", `{"options": {"source": {}}}`, "6h"},
		"BetterAuthWithASession":   {"better_auth", `{"credentials": {"session_token": "t"}, "options": {"base_url": "https://app.example.com"}}`, "6h"},
		"BetterAuthWithoutAddress": {"better_auth", `{"credentials": {"session_token": "t"}}`, ""},
	} {
		path := "/projects/shop/integrations/" + c.provider
		answer := b.call(t, "PUT", path, c.body)
		require.Equal(t, 200, answer.status, "%s: %s", name, answer.text)
		want := object{"every": nil, "default": true}
		if c.every != "" {
			want["every"] = c.every
		}
		require.Equal(t, want, at(t, answer.body, "config", "reconcile"), name)
		require.Equal(t, want, at(t, b.call(t, "GET", path, "").body, "config", "reconcile"), name)
		require.Equal(t, 204, b.call(t, "DELETE", path, "").status)
	}

	put := func(body string) any { return at(t, b.call(t, "PUT", clerkPath, body).body, "config", "reconcile") }
	put(`{"credentials": {"secret_key": "sk_test_one"}}`)
	require.Equal(t, object{"every": "2d", "default": false}, put(`{"options": {"reconcile": {"every": "2d"}}}`))
	require.Equal(t, object{"every": nil, "default": false}, put(`{"options": {"reconcile": {"every": "never"}}}`))
	require.Equal(t, object{"every": "24h", "default": true}, put(`{"options": {"reconcile": {"max_deleted_percent": 7}}}`))
	require.Equal(t, object{"every": nil, "default": true}, put(`{"credentials": {"secret_key": null}}`), "the key is gone")
	require.Equal(t, 422, b.call(t, "PUT", clerkPath, `{"options": {"reconcile": {"every": "sometimes"}}}`).status)
}
