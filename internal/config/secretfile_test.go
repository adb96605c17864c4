package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
)

func TestASecretMayBeInAFile(t *testing.T) {
	t.Parallel()
	write := func(t *testing.T, content string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "secret")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}

	t.Run("ItCountsAsSet", func(t *testing.T) {
		t.Parallel()
		path := write(t, "hunter2\n")
		c, err := config.Load(lookup(map[string]string{"AUTHSYNC_ENCRYPTION_KEY_FILE": path}))
		require.NoError(t, err)
		require.Equal(t, "hunter2", c.EncryptionKey.Reveal())
		require.True(t, c.IsSet("AUTHSYNC_ENCRYPTION_KEY"))
		require.NoError(t, c.Require("AUTHSYNC_ENCRYPTION_KEY"))
		for _, row := range c.Table() {
			switch row.Name {
			case "AUTHSYNC_ENCRYPTION_KEY":
				require.Equal(t, "***", row.Value)
			case "AUTHSYNC_ENCRYPTION_KEY_FILE":
				require.Equal(t, path, row.Value)
			}
		}
	})

	t.Run("ItIsCheckedAsTheVariableIs", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(lookup(map[string]string{"DATABASE_URL_FILE": write(t, "postgres://u:hunter2@h/d?nonsense=1")}))
		require.ErrorContains(t, err, "DATABASE_URL_FILE is ")
		require.ErrorContains(t, err, "nonsense")
		require.NotContains(t, err.Error(), "hunter2")
	})

	for name, tc := range map[string]struct {
		env  map[string]string
		says string
	}{
		"NotBesideTheVariable": {map[string]string{"AUTHSYNC_API_KEY": "hunter2", "AUTHSYNC_API_KEY_FILE": write(t, "hunter2")}, "AUTHSYNC_API_KEY is set too: unset one of the two"},
		"NotMissing":           {map[string]string{"AUTHSYNC_API_KEY_FILE": filepath.Join(t.TempDir(), "nothing")}, "the file cannot be read: no such file or directory"},
		"NotADirectory":        {map[string]string{"AUTHSYNC_API_KEY_FILE": t.TempDir()}, "it is not a regular file"},
		"NotEmpty":             {map[string]string{"AUTHSYNC_API_KEY_FILE": write(t, " \n")}, "the file is empty"},
		"NotAnotherFile":       {map[string]string{"AUTHSYNC_API_KEY_FILE": write(t, strings.Repeat("hunter2 ", 10_000))}, "more than 64 kB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(lookup(tc.env))
			require.ErrorContains(t, err, tc.says)
			require.NotContains(t, err.Error(), "hunter2")
		})
	}
}
