package registry_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/registry"
	"github.com/authsync/authsync/internal/fault"
)

func TestLookup(t *testing.T) {
	t.Parallel()
	require.Subset(t, registry.Names(), []string{"webhook", "http"})
	for _, name := range registry.Names() {
		typ, err := registry.Lookup(" " + name + "\n")
		require.NoError(t, err)
		require.Equal(t, name, typ.Name())
	}
	for _, unknown := range []string{"", "salesforce", "web-hook"} {
		_, err := registry.Lookup(unknown)
		require.True(t, fault.Is(err, fault.Invalid))
		for _, name := range registry.Names() {
			require.ErrorContains(t, err, name)
		}
	}
}
