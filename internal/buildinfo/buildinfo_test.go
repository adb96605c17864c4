package buildinfo

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestComplete(t *testing.T) {
	t.Parallel()
	noted := &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{
		{Key: "vcs.revision", Value: "abc"}, {Key: "vcs.time", Value: "2026-01-31T12:00:00Z"}, {Key: "vcs.modified", Value: "false"},
	}}
	require.Equal(t, Info{Version: "1.2.3", Commit: "abc", Date: "2026-01-31T12:00:00Z"}, complete(Info{}, noted))
	linked := Info{Version: "0.1.0", Commit: "def", Date: "2026-02-01T00:00:00Z"}
	require.Equal(t, linked, complete(linked, noted), "what the linker set counts")
}

func TestString(t *testing.T) {
	t.Parallel()
	require.Equal(t, "authsync 0.1.0 (def of 2026-02-01T00:00:00Z), go1.26",
		Info{Version: "0.1.0", Commit: "def", Date: "2026-02-01T00:00:00Z", Go: "go1.26"}.String())
	require.Equal(t, "authsync (devel), go1.26", Info{Version: "(devel)", Go: "go1.26"}.String())
}

func TestReadKnowsAVersion(t *testing.T) {
	t.Parallel()
	require.NotEmpty(t, Read().Version)
	require.NotEmpty(t, Read().Go)
}
