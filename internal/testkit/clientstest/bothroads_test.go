package clientstest_test

import (
	"encoding/json"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// The package sends what its hooks see, and triggers note what its tables see: each change comes by both roads. The rows are
// those of the tables, and the change feed has each change once.
func TestBetterAuthByBothRoads(t *testing.T) {
	t.Parallel()
	dir, site := betterAuthPrograms(t), sitetest.Start(t)
	b := newBetterAuth(t, site, dir, "Both")
	project, err := site.Store.FindProject(t.Context(), "both")
	require.NoError(t, err)
	// The triggers cannot know which fields the server hides (returned: false).
	_, err = site.Store.PutIntegration(t.Context(), project.ID, provider.BetterAuth, nil,
		json.RawMessage(`{"record_types": ["users", "organizations", "sessions"], "pull": true, "exclude": ["note"]}`))
	require.NoError(t, err)
	waittest.Until(t, func() bool {
		var connected bool
		require.NoError(t, site.Control.QueryRow(t.Context(),
			`SELECT EXISTS (SELECT FROM authsync.pull_health WHERE project_id = $1 AND state = 'connected')`, project.ID).Scan(&connected))
		return connected
	})

	b.run(t, "act.mjs")
	b.run(t, "flush.mjs")
	_, err = b.pool.Exec(t.Context(), `UPDATE "user" SET image = 'https://images.example.com/by-sql.png' WHERE email = 'augusta@example.com'`)
	require.NoError(t, err, "a change that no hook sees")
	waittest.Until(t, func() bool { // all that the triggers have noted is in the inbox
		var schema string
		require.NoError(t, b.pool.QueryRow(t.Context(),
			`SELECT nspname FROM pg_namespace WHERE starts_with(nspname, 'authsync_changes_')`).Scan(&schema))
		var left int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM `+pgx.Identifier{schema, "changes"}.Sanitize()).Scan(&left))
		return left == 0
	})
	b.requireEqual(t)
	require.Equal(t, "10 users, 2 organizations, 4 members, 4 invitations, 5 deleted users, 1 deleted organization", b.counts(t))

	var pulled, sent, failed int
	require.NoError(t, site.Control.QueryRow(t.Context(), `SELECT messages FROM authsync.pulls WHERE project_id = $1`, project.ID).Scan(&pulled))
	require.NoError(t, site.Control.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox WHERE project_id = $1`, project.ID).Scan(&sent))
	require.NoError(t, site.Control.QueryRow(t.Context(),
		`SELECT count(*) FROM authsync.events WHERE project_id = $1 AND outcome = 'failed'`, project.ID).Scan(&failed))
	require.Positive(t, pulled)
	require.Greater(t, sent, pulled, "both roads were used")
	require.Zero(t, failed)

	rows, err := b.pool.Query(t.Context(), doubled)
	require.NoError(t, err)
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Empty(t, found)
}

// doubled are the changes in the feed that change nothing, and the records that were created or deleted twice.
const doubled = `
	SELECT format('%s %s: %s %s by %s changes nothing', record_type, record_id, kind, changed, event_id)
	FROM capydb_auth.record_changes
	WHERE before = after
	UNION ALL
	SELECT format('%s %s: %s %s times', record_type, record_id, kind, count(*))
	FROM capydb_auth.changes
	WHERE kind IN ('created', 'deleted')
	GROUP BY record_type, record_id, kind
	HAVING count(*) > 1`
