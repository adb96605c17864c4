package project_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

func TestASecretThatTheProviderMadeIsAddedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	const old, newer = "whsec_b2xkLXNlY3JldC1vZi10aGlzLXRlc3QtYWxvbmU=", "whsec_bmV3LXNlY3JldC1vZi10aGlzLXRlc3QtYWxvbmU="
	require.ErrorIs(t, b.store.AddSigningSecret(t.Context(), shop.ID, provider.Clerk, newer), project.ErrNoIntegration)
	_, err := b.store.PutIntegration(t.Context(), shop.ID, provider.Clerk,
		map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + old + `"`), "secret_key": json.RawMessage(`"sk_test_c2hvcA"`)}, nil)
	require.NoError(t, err)
	for range 2 {
		require.NoError(t, b.store.AddSigningSecret(t.Context(), shop.ID, provider.Clerk, newer))
	}
	stored, _, err := b.store.Credentials(t.Context(), shop.ID, provider.Clerk)
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{newer, old}, stored.WebhookSigningSecret)
	require.Equal(t, provider.Secret("sk_test_c2hvcA"), stored.SecretKey, "the others stay")
	err = b.store.AddSigningSecret(t.Context(), shop.ID, provider.Clerk, "no secret of Svix's")
	require.True(t, fault.Is(err, fault.Invalid), err)
	require.NotContains(t, err.Error(), "no secret of")

	var jobs int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE kind = 'provision_webhook'`).Scan(&jobs))
	require.Zero(t, jobs, "what the job stores does not ask for another one")
}
