package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/testkit/jobstest"
)

func TestProjectsKeepWhatTheyAreToldTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Regexp(t, `(?m)^deliveries +90 days +the server's default$`, b.must(t, "projects", "get", "shop"))
	require.NotContains(t, b.must(t, "projects", "get", "shop")+b.must(t, "doctor"), "a deletion is held back")
	jobstest.Completed(t, b.control, "prune_mirrors") // the next one comes in an hour
	execute(t, b.control, `INSERT INTO authsync.mirror_prunings (project_id, attempted_at, finished_at, held_reason, held_since)
		SELECT p.id, now(), now(), 'a deletion is held back from destination crm', '2026-05-04 10:20Z' FROM authsync.projects AS p
		ON CONFLICT (project_id) DO UPDATE SET held_reason = excluded.held_reason, held_since = excluded.held_since`)
	require.Regexp(t, `Changes are kept for longer since 2026-05-04 10:20\S*: a deletion is held back from destination crm\.`, b.must(t, "projects", "get", "shop"))
	require.Regexp(t, `warning +retention: the change feed of project shop keeps changes .*, since 2026-05-04 10:20Z: a deletion is held back`, b.must(t, "doctor"))

	out := b.must(t, "projects", "update", "shop", "--keep", "inbox=45", "--keep", "changes=3d")
	require.Regexp(t, `(?m)^inbox +45 days +the project$`, out)
	require.Regexp(t, `(?m)^ledger +45 days +raised, `, out)
	require.Regexp(t, `(?m)^changes +3 days +the project$`, out)
	var p client.Project
	require.NoError(t, json.Unmarshal([]byte(b.must(t, "projects", "update", "shop", "--keep", "changes=default", "--json")), &p))
	require.Equal(t, client.KeepDays{Inbox: new(45)}, p.KeepDays)

	for flag, want := range map[string]string{
		"inbox":       "it takes inbox, ledger, changes or deliveries",
		"outcomes=3":  "it takes inbox, ledger, changes or deliveries",
		"inbox=month": "it takes a number of days, or default",
		"ledger=44":   "must be at least 45",
	} {
		require.Contains(t, b.run(t, "projects", "update", "shop", "--keep", flag).err, want, flag)
	}
	require.Contains(t, b.run(t, "projects", "update", "shop", "--keep", "inbox=1", "--keep", "inbox=2").err, "given twice")

	// As code: what the file leaves out has the server's default again.
	file := filepath.Join(t.TempDir(), "authsync.yaml")
	plan := func(keep string) string {
		require.NoError(t, os.WriteFile(file, []byte("version: 1\nprojects:\n  shop:\n"+keep), 0o600))
		return b.run(t, "plan", "-f", file).out
	}
	require.Contains(t, plan("    keep_days: {inbox: 45}\n"), "unchanged")
	require.Regexp(t, `keep_days\.inbox`, plan("    database_url: {env: SHOP_URL}\n"))
	require.Regexp(t, `keep_days\.ledger`, plan("    keep_days: {inbox: 45, ledger: 60}\n"))
	b.must(t, "apply", "-f", file, "--yes")
	require.Regexp(t, `(?m)^ledger +60 days +the project$`, b.must(t, "projects", "get", "shop"))
	plan("    keep_days: {ledger: 31}\n")
	b.must(t, "apply", "-f", file, "--yes")
	require.Regexp(t, `(?m)^inbox +30 days +the server's default$`, b.must(t, "projects", "get", "shop"))
	require.NoError(t, os.WriteFile(file, []byte("version: 1\nprojects:\n  shop:\n    keep_days: {inbox: 401}\n"), 0o600))
	require.Contains(t, b.run(t, "plan", "-f", file).err, "inbox is 401: must be 1 to 400 days")
}
