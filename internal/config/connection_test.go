package config_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
)

func TestConnection(t *testing.T) {
	t.Parallel()

	whole := config.Connection{
		DatabaseURL:     "postgres://postgres:it's $HOME `x` \\ \"q\"@127.0.0.1:5/authsync?a=b&c=d",
		DemoDatabaseURL: "postgres://demo",
		URL:             "http://127.0.0.1:8080",
		APIKey:          "capy_test_'",
		DemoProjectID:   "0b0c",
	}

	t.Run("IsReadAsItWasWritten", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, config.WriteConnection(dir, whole))
		read, err := config.ReadConnection(dir)
		require.NoError(t, err)
		require.Equal(t, whole, read)
	})

	t.Run("AShellReadsTheSameValues", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		require.NoError(t, config.WriteConnection(dir, whole))
		out, err := exec.CommandContext(t.Context(), "sh", "-c",
			`set -a; . "$0"; printf %s "$DATABASE_URL|$AUTHSYNC_API_KEY"`, filepath.Join(dir, config.ConnectionFile)).Output()
		require.NoError(t, err)
		require.Equal(t, whole.DatabaseURL.Reveal()+"|"+whole.APIKey.Reveal(), string(out))
	})

	t.Run("OnlyTheOwnerMayReadIt", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		path := filepath.Join(dir, config.ConnectionFile)
		require.NoError(t, os.WriteFile(path, nil, 0o644))
		require.NoError(t, config.WriteConnection(dir, whole))
		info, err := os.Stat(path)
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, 1, "no temporary file stays")
	})

	t.Run("ADirectoryWithoutOneSaysSo", func(t *testing.T) {
		t.Parallel()
		_, err := config.ReadConnection(t.TempDir())
		require.ErrorIs(t, err, config.ErrNoConnection)
	})

	t.Run("ALineBreakIsRefused", func(t *testing.T) {
		t.Parallel()
		require.ErrorContains(t, config.WriteConnection(t.TempDir(), config.Connection{URL: "a\nb"}), "AUTHSYNC_URL")
	})
}
