package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/cli"
)

func TestEveryCommandHasAPage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, write(dir, edition{version: "1.2.3", date: "2026-01-31T12:00:00Z"}))
	for _, cmd := range everyCommand(cli.Root()) {
		text, err := os.ReadFile(filepath.Join(dir, pageName(cmd)+".1"))
		require.NoError(t, err)
		require.Contains(t, string(text), `"2026\-01\-31" "authsync 1.2.3" "authsync manual"`)
		require.Contains(t, string(text), ".SH \"SYNOPSIS\"\n.nf\n"+escape(cmd.CommandPath()))
		require.Contains(t, string(text), `\-\-json`, "%s: the flags are there", cmd.CommandPath())
		for line := range strings.Lines(string(text)) {
			require.Regexp(t, `^([^.']|\.(TH|SH|nf|fi|BR)\b)`, line, cmd.CommandPath())
		}
	}
	serve, err := os.ReadFile(filepath.Join(dir, "authsync-serve.1"))
	require.NoError(t, err)
	require.Contains(t, string(serve), ".SH SEE ALSO\n.BR authsync (1)\n")
}

func TestEscape(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a \\e b\n\\&.TH\n\\&'x\n\\-\\-json", escape("a \\ b\n.TH\n'x\n--json"))
	require.Equal(t, `"a \(dqb\(dq"`, quoted(`a "b"`))
}
