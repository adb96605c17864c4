package schema_test

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// goldenMajor is the PostgreSQL version whose pg_dump wrote the golden files, the oldest supported
// one: others print some definitions differently.
const goldenMajor = 15

// dump returns the definition of our schema, without what differs between runs and minor versions.
// If only a pg_dump older than the server is installed, which refuses to work, it returns what psql
// shows of the definition.
func dump(t *testing.T, pool *pgxpool.Pool, kind schema.Kind) string {
	t.Helper()
	program, major := pgtest.Program(t, "pg_dump")
	if serverMajor(t, pool) > major {
		return strings.Join(list(t, pool, `
			SELECT concat_ws(' ', c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid))
			FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
			WHERE c.relnamespace = $1::text::regnamespace AND a.attnum > 0
			UNION ALL SELECT concat_ws(' ', i.tablename, i.indexdef) FROM pg_indexes AS i WHERE i.schemaname = $1
			UNION ALL SELECT concat_ws(' ', o.conrelid::regclass, o.conname, pg_get_constraintdef(o.oid))
			FROM pg_constraint AS o WHERE o.connamespace = $1::text::regnamespace
			UNION ALL SELECT concat_ws(' ', v.viewname, v.definition) FROM pg_views AS v WHERE v.schemaname = $1
			UNION ALL SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p WHERE p.pronamespace = $1::text::regnamespace
			ORDER BY 1`, kind.Name()), "\n")
	}
	cmd := exec.CommandContext(t.Context(), program,
		"--schema-only", "--no-owner", "--schema="+kind.Name(), "--dbname="+pgtest.URL(t, pool))
	out, err := cmd.Output()
	require.NoError(t, err)
	text := regexp.MustCompile(`(?m)^(--.*|SET .*|SELECT pg_catalog\.set_config.*|\\(un)?restrict.*)\n`).ReplaceAllString(string(out), "")
	return strings.TrimLeft(regexp.MustCompile(`\n{3,}`).ReplaceAllString(text, "\n\n"), "\n")
}

func serverMajor(t *testing.T, pool *pgxpool.Pool) (major int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_setting('server_version_num')::int / 10000`).Scan(&major))
	return major
}

func TestGoldenDump(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Empty(t)
			dsn := pgtest.URL(t, pool)
			_, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err)
			first := dump(t, pool, kind)
			if major := serverMajor(t, pool); major == goldenMajor {
				pgtest.Golden(t, "testdata/"+string(kind)+".sql", first)
			} else {
				t.Logf("the server is PostgreSQL %d: not compared with the golden file, which is of %d", major, goldenMajor)
			}

			report, err := schema.Down(t.Context(), dsn, kind, 1000, schema.Options{})
			require.NoError(t, err)
			require.Zero(t, report.To)
			require.Zero(t, report.RiverTo)
			require.Empty(t, list(t, pool, `
				SELECT c.relname::text FROM pg_class AS c
				WHERE c.relnamespace = $1::regnamespace AND c.relname NOT LIKE 'schema\_migrations%'
				UNION ALL SELECT t.typname::text FROM pg_type AS t
				WHERE t.typnamespace = $1::regnamespace AND t.typname NOT LIKE '%schema\_migrations'
				UNION ALL SELECT p.proname::text FROM pg_proc AS p WHERE p.pronamespace = $1::regnamespace`, kind.Name()),
				"down leaves nothing but the version table")

			_, err = schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err)
			require.Equal(t, first, dump(t, pool, kind), "down and up again gives the same schema")
		})
	}
}

// TestRevision checks that sql/<kind>/revision was raised with the code: it tells an older binary
// to leave newer code alone.
func TestRevision(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		source := schema.SourceOf(kind)
		number := source.Revision()
		if pgtest.UpdatingGolden() && !strings.Contains(revisionFile(t, kind), schema.Hash(kind)) {
			number++
		}
		pgtest.Golden(t, "../../sql/"+string(kind)+"/revision", fmt.Sprintf("%d %s\n", number, schema.Hash(kind)))
		require.Positive(t, number)
	}
}
