// Package npmtest builds the npm packages of clients/ as npm would publish them, for tests that use them. Only tests
// import it.
package npmtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Modules is the folder, below the root of the checkout, that has what builds and tests clients/better-auth.
const Modules = ".bin/better-auth-1/node_modules"

// Workspace is a new directory in which the modules of a folder are found, and the package of clients/better-auth as its
// tarball has it. Both paths are those from the test's own directory.
func Workspace(tb testing.TB, root, modules string) string {
	tb.Helper()
	dir := tb.TempDir()
	Install(tb, root, modules, dir)
	return dir
}

// Install puts both into a directory.
func Install(tb testing.TB, root, modules, dir string) {
	tb.Helper()
	from := absolute(tb, root, modules)
	entries, err := os.ReadDir(from)
	require.NoError(tb, err, "make tools installs what programs need, with npm")
	to := filepath.Join(dir, "node_modules")
	require.NoError(tb, os.MkdirAll(filepath.Join(to, "@authsync"), 0o750))
	for _, entry := range entries {
		require.NoError(tb, os.Symlink(filepath.Join(from, entry.Name()), filepath.Join(to, entry.Name())))
	}
	tarball := filepath.Join(Build(tb, root), "package.tgz")
	run(tb, to, "tar", "-xzf", tarball, "-C", filepath.Join(to, "@authsync"))
	require.NoError(tb, os.Rename(filepath.Join(to, "@authsync", "package"), filepath.Join(to, "@authsync", "better-auth")))
}

// Build copies clients/better-auth into a new directory and makes package.tgz in it, as npm pack does; dist/ has the
// compiled files, and node_modules what its tests need.
func Build(tb testing.TB, root string) string {
	tb.Helper()
	dir := tb.TempDir()
	source := filepath.Join(root, "clients", "better-auth")
	for _, name := range []string{"package.json", "tsconfig.json", "README.md", "LICENSE"} {
		run(tb, dir, "cp", absolute(tb, source, name), name)
	}
	for _, name := range []string{"src", "test"} {
		require.NoError(tb, os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(source, name))))
	}
	modules := absolute(tb, root, Modules)
	require.DirExists(tb, modules, "make tools installs what builds the package, with npm")
	require.NoError(tb, os.Symlink(modules, filepath.Join(dir, "node_modules")))
	run(tb, dir, "npm", "pack", "--silent", "--offline")
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	require.NoError(tb, err)
	require.Len(tb, packed, 1)
	require.NoError(tb, os.Rename(packed[0], filepath.Join(dir, "package.tgz")))
	return dir
}

func absolute(tb testing.TB, parts ...string) string {
	tb.Helper()
	path, err := filepath.Abs(filepath.Join(parts...))
	require.NoError(tb, err)
	return path
}

func run(tb testing.TB, dir, name string, args ...string) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...) //nolint:gosec // npm, tar and cp, by tests
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(tb, err, "%s %v: %s", name, args, out)
}
