package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

func TestAllHasEveryName(t *testing.T) {
	t.Parallel()
	names := make([]string, 0, len(provider.Names()))
	for _, p := range registry.All() {
		names = append(names, p.Name())
	}
	require.Equal(t, provider.Names(), names)
}

func TestLookup(t *testing.T) {
	t.Parallel()
	for spelling, want := range map[string]string{
		"auth0": provider.Auth0, "clerk": provider.Clerk, "better_auth": provider.BetterAuth,
		"better-auth": provider.BetterAuth, "Better-Auth": provider.BetterAuth, "CLERK": provider.Clerk,
	} {
		p, err := registry.Lookup(spelling)
		require.NoError(t, err)
		require.Equal(t, want, p.Name())
	}
	for _, unknown := range []string{"", "okta", "betterauth", "auth0/"} {
		_, err := registry.Lookup(unknown)
		require.ErrorContains(t, err, "auth0, clerk, better_auth")
	}
}
