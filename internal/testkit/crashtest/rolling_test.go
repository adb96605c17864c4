package crashtest

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// build builds authsync with more files than this one has, or other ones: a release to come.
func build(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	dir := t.TempDir()
	replace := map[string]string{}
	for path, text := range files {
		file := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		replace[filepath.Join(root, path)] = file
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	require.NoError(t, err)
	overlayFile, program := filepath.Join(dir, "overlay.json"), filepath.Join(dir, name)
	require.NoError(t, os.WriteFile(overlayFile, overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", overlayFile, "-o", program, "./cmd/authsync")
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return program
}

// appended is a file of this version with more at its end.
func appended(t *testing.T, path, more string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", path))
	require.NoError(t, err)
	return string(text) + more
}

// nextRelease has another table or column, and other code, in both databases.
func nextRelease(t *testing.T) map[string]string {
	t.Helper()
	const header = "-- Adds what only the next release uses.\n--\n-- Why:   a test.\n-- Locks: none that matter.\n\n"
	return map[string]string{
		"migrations/control/000900_add_note_to_projects.up.sql":   header + "ALTER TABLE authsync.projects ADD COLUMN note text;\n",
		"migrations/control/000900_add_note_to_projects.down.sql": "-- Drops it.\nALTER TABLE authsync.projects DROP COLUMN note;\n",
		"migrations/project/000900_add_locale_to_users.up.sql":    header + "ALTER TABLE capydb_auth.users ADD COLUMN locale text;\n",
		"migrations/project/000900_add_locale_to_users.down.sql":  "-- Drops it.\nALTER TABLE capydb_auth.users DROP COLUMN locale;\n",
		"sql/control/functions/remove_project.sql":                appended(t, "sql/control/functions/remove_project.sql", "-- The next release.\n"),
		"sql/project/functions/change_cursor.sql":                 appended(t, "sql/project/functions/change_cursor.sql", "-- The next release.\n"),
		"sql/control/revision":                                    "900 next\n",
		"sql/project/revision":                                    "900 next\n",
	}
}

// readiness asks a server again and again whether it is ready, and remembers each answer that says no.
type readiness struct {
	mu    sync.Mutex
	noes  []string
	asked int
}

func (r *readiness) watch(ctx context.Context, url string) {
	for ctx.Err() == nil {
		status, body := ready(ctx, url)
		r.mu.Lock()
		if r.asked++; status != http.StatusOK && ctx.Err() == nil {
			r.noes = append(r.noes, body)
		}
		r.mu.Unlock()
	}
}

func (r *readiness) answers() (asked int, noes []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked, r.noes
}

func ready(ctx context.Context, url string) (status int, body string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
	if err != nil {
		return 0, err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// TestRollingUpgrade runs servers of two releases on the same databases.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	files := nextRelease(t)
	next := build(t, "next", files)
	files = maps.Clone(files)
	files["migrations/control/000901_drop_nothing.up.sql"] = "-- Does nothing.\n--\n-- Why:   a test.\n-- Locks: none.\n" +
		"-- Breaking: servers of the releases before write what nobody reads any more.\n\nSELECT 1;\n"
	files["migrations/control/000901_drop_nothing.down.sql"] = "-- Nothing.\nSELECT 1;\n"
	breaking := build(t, "breaking", files)

	database := startDatabase(t)
	b := prepare(t, database)
	old := b.server
	old.start(t)
	t.Cleanup(func() { old.kill(t) })
	oldURL, _ := old.url.Load().(string)

	var group sync.WaitGroup
	background, stop := context.WithCancel(ctx)
	defer stop()
	var answers readiness
	group.Go(func() { b.load.run(background) })
	group.Go(func() { answers.watch(background, oldURL) })
	moreTaken := func(more int) {
		t.Helper()
		enough := b.load.count() + more
		waittest.Until(t, func() bool { return b.load.count() >= enough })
	}
	moreTaken(50)

	migrate := server{program: next, env: old.env}
	out, err := migrate.command(t, "migrate", "up").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "to 900")
	moreTaken(50)

	newer := server{program: next, env: old.env}
	newer.start(t)
	t.Cleanup(func() { newer.kill(t) })
	waittest.Until(t, func() bool { // its worker upgrades the mirror, beside the old one's
		return rowsOf[struct{ Version int64 }](t, b.project, `SELECT version FROM capydb_auth.schema_migrations`)[0].Version == 900
	})
	moreTaken(50)
	newer.kill(t)
	moreTaken(50)
	newer.start(t)
	moreTaken(50)
	asked, noes := answers.answers()
	require.Empty(t, noes, "the old server was ready all the time")
	require.Greater(t, asked, 10)
	require.Zero(t, b.load.refused.Load(), "and took every webhook")
	stop()
	group.Wait()
	require.Empty(t, b.load.bad)
	b.requireHealed(t, "after the upgrade")
	b.requireExactlyOnce(t, "after the upgrade")

	old.kill(t)
	old.start(t) // as a crash or a scale-up may start it
	oldURL, _ = old.url.Load().(string)
	status, body := ready(ctx, oldURL)
	require.Equal(t, http.StatusOK, status, body)
	out, err = old.command(t, "migrate", "status").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "compatible")
	out, err = old.command(t, "migrate", "up").CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "Nothing to do")

	migrate.program = breaking
	out, err = migrate.command(t, "migrate", "up").CombinedOutput()
	require.NoError(t, err, string(out))
	status, body = ready(ctx, oldURL)
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Contains(t, body, "is too new for this authsync")
	out, err = old.command(t, "serve").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "needs a binary that knows version 901")
	newerURL, _ := newer.url.Load().(string)
	status, _ = ready(ctx, newerURL)
	require.Equal(t, http.StatusServiceUnavailable, status, "this one does not know it either")
}
