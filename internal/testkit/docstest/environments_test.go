package docstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
)

func TestEnvironments(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/environments.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := clerk(t, demoprovider.NewAccount(7))
			s.hidden("export PREVIEW_DATABASE_URL='" + s.database("preview") + "' LOAD_TEST_DATABASE_URL='" + s.database("load_test") +
				"' STAGING_DATABASE_URL='" + s.database("staging") + "'")
			return s
		},
		commands: map[string]step{
			"authsync projects get preview-42": {after: func(s *scene) {
				require.Contains(s.t, s.last("Clone:"), "follows shop")
				require.Equal(s.t, "7", s.hidden(`psql -XAtc 'SELECT count(*) FROM capydb_auth.active_users' "$PREVIEW_DATABASE_URL"`))
			}},
			"authsync apply -f staging.yaml": {after: func(s *scene) {
				require.Contains(s.t, s.last("Created project"), "Created project staging.")
				require.Contains(s.t, s.hidden("authsync export staging"), "clone_of:")
				s.hidden("authsync plan -f staging.yaml")
			}},
			"authsync projects resync preview-42 --still": {after: func(s *scene) {
				require.Contains(s.t, s.hidden("authsync projects get preview-42"), "stands still: as shop was at")
				require.Contains(s.t, s.hidden("authsync projects get load-test --json | jq -r .clone.state"), "still")
			}},
		},
		blocks: map[string]step{
			"version: 1": {instead: func(s *scene, text string) {
				require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "staging.yaml"), []byte(text), 0o600))
			}},
		},
	}.run(t)
}
