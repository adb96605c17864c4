package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
)

// Golden compares got with the file; with UPDATE_GOLDEN=1 (make golden) it writes the file.
func Golden(tb testing.TB, file, got string) {
	tb.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(tb, os.MkdirAll(filepath.Dir(file), 0o750))
		require.NoError(tb, os.WriteFile(file, []byte(got), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(tb, err, "run make golden")
	require.Equal(tb, string(want), got, "if the change is meant, run make golden and look at the diff")
}

// UpdatingGolden reports whether golden files are being written.
func UpdatingGolden() bool { return os.Getenv("UPDATE_GOLDEN") != "" }

// HasExtension installs an extension that tests may use and reports whether it
// could. With REQUIRE_SQL_TOOLS=1, as in CI, its absence fails the test.
func HasExtension(tb testing.TB, pool *pgxpool.Pool, name string) bool {
	tb.Helper()
	var available bool
	require.NoError(tb, pool.QueryRow(tb.Context(),
		`SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = $1)`, name).Scan(&available))
	if !available {
		if os.Getenv("REQUIRE_SQL_TOOLS") != "" {
			require.FailNow(tb, "extension "+name+" is not installed on the server")
		}
		tb.Logf("extension %s is not installed on the server: not checked", name)
		return false
	}
	_, err := pool.Exec(tb.Context(), `CREATE EXTENSION IF NOT EXISTS `+name)
	require.NoError(tb, err)
	return true
}

// Program returns the path of a client program, such as pg_dump, and its version. It may be
// older than the server, if the programs of the server's version came without it.
func Program(tb testing.TB, name string) (path string, major int) {
	tb.Helper()
	ctx := context.WithoutCancel(tb.Context())
	dir, err := localpg.ProgramDir(ctx, name)
	require.NoError(tb, err)
	path = filepath.Join(dir, name)
	version, err := exec.CommandContext(ctx, path, "--version").Output()
	require.NoError(tb, err)
	_, err = fmt.Sscanf(string(version), name+" (PostgreSQL) %d", &major)
	require.NoError(tb, err, "%s", version)
	return path, major
}
