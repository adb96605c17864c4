package generate_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/generate"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// The SQL is PostgreSQL's, and says of every relation what the mirror has.
func TestSQLIsThatOfTheMirror(t *testing.T) {
	t.Parallel()
	target, ok := generate.Find("sqlc")
	require.True(t, ok)
	text, err := target.Text()
	require.NoError(t, err)
	made, mirror := pgtest.Empty(t), pgtest.Project(t)
	_, err = made.Exec(t.Context(), text)
	require.NoError(t, err)
	relations := columns(t, made)
	require.Len(t, relations, 11)
	installed := columns(t, mirror)
	for name, of := range relations {
		require.Subset(t, installed[name], of, name)
	}
}

// columns returns the columns of every relation of the schema with their types.
func columns(t *testing.T, pool *pgxpool.Pool) map[string]map[string]string {
	t.Helper()
	var all map[string]map[string]string
	require.NoError(t, pool.QueryRow(t.Context(), `
		SELECT jsonb_object_agg(c.relname, c.columns) FROM (
			SELECT c.relname, jsonb_object_agg(a.attname, format_type(a.atttypid, a.atttypmod)) AS columns
			FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
			WHERE c.relnamespace = 'capydb_auth'::regnamespace AND c.relkind IN ('r', 'v') AND a.attnum > 0
			GROUP BY c.relname
		) AS c`).Scan(&all))
	return all
}
