package clientstest_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// The code that sqlc makes of queries which join the mirror compiles, and reads it.
func TestSQLCReadsTheMirror(t *testing.T) {
	t.Parallel()
	sqlc := findSQLC(t)
	dir, pool := t.TempDir(), mirror(t)
	files, err := fs.Sub(programs, "testdata/sqlc")
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(dir, files))
	generated(t, "sqlc", filepath.Join(dir, "capydb_auth.sql"))
	output(t, dir, nil, sqlc, "generate")

	_, err = pool.Exec(t.Context(), `
		CREATE TABLE orders (id text PRIMARY KEY, owner_id text NOT NULL, total integer NOT NULL);
		INSERT INTO orders VALUES ('1', 'user_1', 42)`)
	require.NoError(t, err)
	requirements, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	write(t, filepath.Join(dir, "go.mod"), regexp.MustCompile(`(?m)^module .*`).ReplaceAllString(string(requirements), "module example.com/shop"))
	sums, err := os.ReadFile(filepath.Join(root, "go.sum"))
	require.NoError(t, err)
	write(t, filepath.Join(dir, "go.sum"), string(sums))
	require.JSONEq(t, `{
		"order": {"ID": "1", "Total": 42, "Email": "ada@example.com", "OrganizationID": "org_1", "Roles": ["admin", "billing"]},
		"session": ["ada@example.com", "sess_1"],
		"addresses": 0
	}`, output(t, dir, []string{"DATABASE_URL=" + pgtest.URL(t, pool)}, "go", "run", "."))
}

// findSQLC finds what takes many minutes to build, so that REQUIRE_CLIENTS does not ask for it.
func findSQLC(t *testing.T) (program string) {
	t.Helper()
	if program := os.Getenv("SQLC"); program != "" {
		if _, err := os.Stat(program); err == nil {
			return program
		}
	}
	program, err := exec.LookPath("sqlc")
	if err != nil {
		t.Skip("NOT RUN: sqlc is missing: make tools/sqlc")
	}
	return program
}
