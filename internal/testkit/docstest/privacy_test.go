package docstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
)

func TestPrivacy(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/privacy.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			return clerk(t, demoprovider.NewAccount(7))
		},
		paste: func(*scene) []string {
			return []string{"user_2ghi7Lq0", demoprovider.ClerkID(3), "ada.lovelace@example.com", "nobody@shop.test"}
		},
		end: func(s *scene) {
			s.count(6, `SELECT count(*) FROM capydb_auth.users`)
			require.Contains(s.t, s.last("no longer stored"), "authsync reconcile")
			require.Contains(s.t, s.last("DIGEST"), "running")
		},
	}.run(t)
}
