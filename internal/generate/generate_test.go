package generate_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/generate"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// TestTargetsGolden keeps what is generated where a reader of a change sees it.
func TestTargetsGolden(t *testing.T) {
	t.Parallel()
	for _, target := range generate.Targets() {
		t.Run(target.Name, func(t *testing.T) {
			t.Parallel()
			text, err := target.Text()
			require.NoError(t, err)
			require.Contains(t, text[:120], generate.Mark+" "+target.Name, "the first line says where the file is from")
			pgtest.Golden(t, "testdata/"+target.Name+"/"+target.File, text)
		})
	}
}
