package dashboard

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination/registry"
)

func TestEveryDestinationTypeHasAForm(t *testing.T) {
	t.Parallel()
	types := destinationTypes()
	names := make([]string, len(types))
	for i, typ := range types {
		names[i] = typ.Name
	}
	require.ElementsMatch(t, registry.Names(), names)
}
