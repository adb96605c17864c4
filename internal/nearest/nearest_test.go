package nearest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/nearest"
)

func TestWord(t *testing.T) {
	t.Parallel()
	known := []string{"integrations", "destinations", "database_url"}
	for word, want := range map[string]string{
		"integratons": "integrations", "Destinations": "destinations", "databaseurl": "database_url", "owner": "", "": "",
	} {
		require.Equal(t, want, nearest.Word(word, known), word)
	}
}
