package docstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGenerate(t *testing.T) {
	t.Parallel()
	walk{
		file:  "docs/generate.md",
		begin: func(t *testing.T) *scene { t.Helper(); return newScene(t, "") },
		end: func(s *scene) {
			text, err := os.ReadFile(filepath.Join(s.dir, "capydb-auth.ts"))
			require.NoError(s.t, err)
			require.Contains(s.t, string(text), "export const authUsers")
		},
	}.run(t)
}
