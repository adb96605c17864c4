package project_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
)

const anySecret = `{"webhook_signing_secret": "a-secret-of-acme-that-is-long-enough"}`

// definition is one of a provider of a tenant's own, in which a type is ignored for a reason.
func definition(t *testing.T, reason string) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(map[string]any{"definition": map[string]any{
		"signature": map[string]any{"scheme": "hmac", "header": "X-Signature"},
		"types":     map[string]string{"user.created": "user.created"},
		"ignore":    map[string]string{"login": reason},
		"records":   map[string]any{"user": map[string]string{"id": ".id"}},
	}})
	require.NoError(t, err)
	return text
}

func TestAProjectHasALimitedNumberOfProvidersOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	for i := range 20 {
		_, err := b.store.PutIntegration(t.Context(), shop.ID, fmt.Sprintf("custom:p%d", i), credentials(t, anySecret), definition(t, "it is none"))
		require.NoError(t, err)
	}
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:p20", credentials(t, anySecret), definition(t, "it is none"))
	require.True(t, fault.Is(err, fault.Invalid), "%v", err)
	require.ErrorContains(t, err, "at most 20")
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "custom:p7", nil, definition(t, "it is one still"))
	require.NoError(t, err, "those that exist are changed")
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "clerk", nil, nil)
	require.NoError(t, err, "others are not counted")
	_, err = b.store.PutIntegration(t.Context(), other.ID, "custom:p20", credentials(t, anySecret), definition(t, "it is none"))
	require.NoError(t, err, "nor are those of other projects")
}

func TestADefinitionThatPostgreSQLCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:acme", credentials(t, anySecret), definition(t, "nul\x00"))
	require.True(t, fault.Is(err, fault.Invalid), "%v", err)
}
