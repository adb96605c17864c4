package clientstest_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// typeScript is a workspace with the generated models and an application that reads with them.
func typeScript(t *testing.T) string {
	t.Helper()
	dir := workspace(t, "orders.ts", "read.ts", "tsconfig.json", "drizzle.config.ts")
	for _, target := range []string{"drizzle", "kysely", "typescript", "zod"} {
		generated(t, target, filepath.Join(dir, target+".ts"))
	}
	return dir
}

func TestTypeScriptReadsTheMirror(t *testing.T) {
	t.Parallel()
	dir, pool := typeScript(t), mirror(t)
	output(t, dir, nil, "node_modules/.bin/tsc", "--project", "tsconfig.json")
	require.JSONEq(t, `{
		"memberships": [["org_1", "Acme", ["admin", "billing"]], ["org_9", null, null]],
		"sessions": ["sess_1"],
		"active": ["user_1"],
		"emails": [],
		"members": [{"organization_id": "org_1", "roles": ["admin", "billing"]}, {"organization_id": "org_9", "roles": null}],
		"created": "2026-01-02T03:04:05.678Z",
		"zod": [["user_1", 1767323045678], ["user_2", null]]
	}`, output(t, dir, []string{"DATABASE_URL=" + pgtest.URL(t, pool)}, "node", "built/read.js"))
}

// Drizzle Kit with the settings that the generated file names makes the application's table, with its foreign key,
// and leaves the mirror as it is.
func TestDrizzleKitLeavesTheMirrorAlone(t *testing.T) {
	t.Parallel()
	dir, pool := typeScript(t), mirror(t)
	env := []string{"DATABASE_URL=" + pgtest.URL(t, pool)}
	before := definition(t, pool)
	output(t, dir, env, "node_modules/.bin/drizzle-kit", "push", "--force")
	require.Equal(t, before, definition(t, pool))
	_, err := pool.Exec(t.Context(), `INSERT INTO orders (id, owner_id) VALUES ('1', 'user_1')`)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), `INSERT INTO orders (id, owner_id) VALUES ('2', 'nobody')`)
	require.ErrorContains(t, err, "orders_owner_id_users_id_fk")
	require.Contains(t, output(t, dir, env, "node_modules/.bin/drizzle-kit", "push", "--force"), "No changes detected")
}

// Who pulls our schema all the same gets a file that compiles.
func TestWhatDrizzleKitPullsCompiles(t *testing.T) {
	t.Parallel()
	dir, pool := typeScript(t), mirror(t)
	output(t, dir, []string{"SCHEMAS=public,capydb_auth", "DATABASE_URL=" + pgtest.URL(t, pool)}, "node_modules/.bin/drizzle-kit", "pull")
	output(t, dir, nil, "node_modules/.bin/tsc", "--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--module", "nodenext", "--types", "node",
		"migrations/schema.ts", "migrations/relations.ts")
}
