package architecture_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docs/observability.md lists exactly the metrics that there are.
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	named := regexp.MustCompile(`(?:Name:\s+|NewDesc\()"(authsync_[a-z_]+)"`)
	exist := map[string]bool{}
	require.NoError(t, filepath.WalkDir(filepath.Join(root, "internal"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if strings.Contains(string(text), "prometheus.") {
			for _, found := range named.FindAllStringSubmatch(string(text), -1) {
				exist[found[1]] = true
			}
		}
		return nil
	}))
	require.Greater(t, len(exist), 15)
	text, err := os.ReadFile(filepath.Join(root, "docs", "observability.md"))
	require.NoError(t, err)
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(authsync_[a-z_]+)` \\|").FindAllStringSubmatch(string(text), -1) {
		documented[row[1]] = true
	}
	require.Equal(t, exist, documented)
}
