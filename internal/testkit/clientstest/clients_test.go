// Package clientstest uses what authsync generates for the customer's code with the tools it is for, on a mirror in
// PostgreSQL.
package clientstest_test

import (
	"context"
	"embed"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/generate"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

//go:embed testdata
var programs embed.FS

const root = "../../.."

// mirror is a project database with a user who belongs to one of two organizations, and to one that has not arrived.
func mirror(t *testing.T) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Project(t)
	_, err := pool.Exec(t.Context(), `
		INSERT INTO capydb_auth.users (id, email, created_at, raw, provider, last_event_processed)
		VALUES ('user_1', 'ada@example.com', '2026-01-02 03:04:05.678+00', '{"a": [1]}', 'clerk', '2026-01-02 03:04:05.678+00'),
		       ('user_2', NULL, NULL, NULL, NULL, NULL);
		INSERT INTO capydb_auth.organizations (id, name, last_event_processed) VALUES ('org_1', 'Acme', now()), ('org_2', 'Other', now());
		INSERT INTO capydb_auth.memberships (organization_id, user_id, roles, last_event_processed)
		VALUES ('org_1', 'user_1', '{admin,billing}', now()), ('org_9', 'user_1', NULL, now());
		INSERT INTO capydb_auth.sessions (id, user_id, last_event_processed) VALUES ('sess_1', 'user_1', now())`)
	require.NoError(t, err)
	return pool
}

// tool finds what the tests of this package run. Where it is missing they are left out, unless REQUIRE_CLIENTS=1, as in CI.
func tool(t *testing.T, installed bool, what, how string) {
	t.Helper()
	if installed {
		return
	}
	require.Empty(t, os.Getenv("REQUIRE_CLIENTS"), what+" is missing: "+how)
	t.Skip("NOT RUN: " + what + " is missing: " + how)
}

// workspace is a directory in which the npm packages of these tests are found, with programs of testdata.
func workspace(t *testing.T, files ...string) string {
	t.Helper()
	dir := workspaceOf(t, ".bin/clients-node-2/node_modules")
	for _, file := range files {
		text, err := programs.ReadFile("testdata/" + file)
		require.NoError(t, err)
		write(t, filepath.Join(dir, file), string(text))
	}
	return dir
}

// workspaceOf is a directory in which the npm packages of a folder are found.
func workspaceOf(t *testing.T, folder string) string {
	t.Helper()
	modules, err := filepath.Abs(filepath.Join(root, folder))
	require.NoError(t, err)
	_, err = os.Stat(modules)
	tool(t, err == nil, "what npm installs for these tests", "make test/clients")
	dir := t.TempDir()
	require.NoError(t, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	return dir
}

func write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o750))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

// generated writes the file of a target.
func generated(t *testing.T, target, file string) {
	t.Helper()
	of, ok := generate.Find(target)
	require.True(t, ok)
	text, err := of.Text()
	require.NoError(t, err)
	write(t, file, text)
}

// output runs a program in a directory and returns what it prints; it must succeed.
func output(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	// The end of the test ends the program.
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, name+" "+strings.Join(args, " ")+"\n"+string(out))
	return string(out)
}

// definition is every relation of the schema with its columns.
func definition(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	var text string
	require.NoError(t, pool.QueryRow(context.WithoutCancel(t.Context()), `
		SELECT string_agg(concat_ws(' ', c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull), E'\n' ORDER BY c.relname, a.attnum)
		FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
		WHERE c.relnamespace = 'capydb_auth'::regnamespace AND a.attnum > 0`).Scan(&text))
	return text
}
