package docstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAudit(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/audit.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := newScene(t, "")
			s.shop()
			return s
		},
		end: func(s *scene) {
			text, err := os.ReadFile(filepath.Join(s.dir, "audit.jsonl"))
			require.NoError(s.t, err)
			require.Contains(s.t, string(text), `"action":"project.create"`)
			require.Contains(s.t, string(text), `"action":"key.create"`)
			require.NotContains(s.t, string(text), s.project)
		},
	}.run(t)
}
