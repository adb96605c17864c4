package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
)

func TestProjectsKeepWhatTheyAreToldTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.Regexp(t, `(?m)^deliveries +90 days +the server's default$`, b.must(t, "projects", "get", "shop"))

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
