package dashboard

import (
	"io/fs"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A page that has a template of the name of a common one would show it in that one's place.
func TestTemplatesHaveNamesOfTheirOwn(t *testing.T) {
	t.Parallel()
	in := map[string]string{}
	files, err := fs.Glob(pageFiles, "pages/*.html")
	require.NoError(t, err)
	for _, file := range files {
		page, err := fs.ReadFile(pageFiles, file)
		require.NoError(t, err)
		for _, found := range regexp.MustCompile(`{{define "([^"]+)"`).FindAllStringSubmatch(string(page), -1) {
			if name := found[1]; name != "main" { // of which each page has one
				require.Empty(t, in[name], "%s defines %s, too", file, name)
				in[name] = file
			}
		}
	}
	require.Greater(t, len(in), 10)
}
