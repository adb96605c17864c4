package schema_test

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/migrations"
	"github.com/authsync/authsync/sql"
)

const maxWidth = 140

func revisionFile(t *testing.T, kind schema.Kind) string {
	t.Helper()
	text, err := os.ReadFile("../../sql/" + string(kind) + "/revision")
	require.NoError(t, err)
	return string(text)
}

// TestCodeFiles checks the files of sql/ against the rules of sql/README.md.
func TestCodeFiles(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		for name, text := range schema.SourceOf(kind).CodeText() {
			t.Run(string(kind)+"/"+name, func(t *testing.T) {
				t.Parallel()
				layer, object, _ := strings.Cut(strings.TrimSuffix(name, ".sql"), "/")
				checkLayout(t, text)
				creates := regexp.MustCompile(`(?m)^CREATE (?:OR REPLACE )?(\w+) ([\w.]+)`).FindAllStringSubmatch(text, -1)
				switch layer {
				case "functions":
					require.Len(t, creates, 1, "one object a file")
					require.Contains(t, []string{"FUNCTION", "PROCEDURE"}, creates[0][1])
					require.Equal(t, kind.Name()+"."+object, creates[0][2], "the file has the name of its object")
					require.Contains(t, text, "CREATE OR REPLACE ")
					header, body, _ := strings.Cut(text, "\nCREATE ")
					for _, says := range []string{"-- " + object + " ", "\n-- Repeatable: ", "\n-- Order: ", "\n-- Result: "} {
						require.Contains(t, "\n"+header, says, "the header")
					}
					require.Contains(t, body, "\nSET search_path = pg_catalog, pg_temp\n")
					require.Contains(t, body, "COMMENT ON "+creates[0][1]+" "+kind.Name()+"."+object+"(")
					require.NotRegexp(t, `(?i)EXCEPTION\s+WHEN\s+others`, body)
					require.Equal(t, strings.HasPrefix(object, "ensure_"), strings.Contains(body, "SECURITY DEFINER"))
				case "views":
					require.Len(t, creates, 1, "one object a file")
					require.Equal(t, []string{"VIEW", kind.Name() + "." + object}, creates[0][1:])
					require.Contains(t, text, "CREATE OR REPLACE ")
					require.True(t, strings.HasPrefix(text, "-- "+object+" "), "the header begins with the name")
					require.Contains(t, text, "COMMENT ON VIEW "+kind.Name()+"."+object)
				case "triggers":
					require.Len(t, creates, 1, "one object a file")
					require.Equal(t, []string{"TRIGGER", object}, creates[0][1:])
					require.Contains(t, text, "CREATE OR REPLACE ")
					require.True(t, strings.HasPrefix(text, "-- "), "the header says why")
				case "grants":
					require.Empty(t, creates)
				}
			})
		}
	}
}

func checkLayout(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, "\t", "tabs")
	require.NotContains(t, text, "\r")
	require.True(t, strings.HasSuffix(text, "\n"))
	require.NotRegexp(t, `(?m) +$`, text, "white space at the end of a line")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "COMMENT ON ") { // one line each, so that grep finds them
			continue
		}
		require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), maxWidth, line)
	}
}

// TestNoFileIsOverlooked finds files in the folders that are not applied.
func TestNoFileIsOverlooked(t *testing.T) {
	t.Parallel()
	for kind, tree := range map[schema.Kind]fs.FS{schema.Control: sql.Control, schema.Project: sql.Project} {
		applied := schema.SourceOf(kind).CodeText()
		err := fs.WalkDir(tree, string(kind), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || name == string(kind)+"/revision" {
				return err
			}
			if strings.HasSuffix(name, ".sql.tmpl") { // what it stands for is among the applied
				_, object, _ := strings.Cut(strings.TrimSuffix(name, ".tmpl"), string(kind)+"/")
				name = string(kind) + "/" + strings.NewReplacer("TABLE", "users", "TYPE", "user").Replace(object)
			}
			require.Contains(t, applied, strings.TrimPrefix(name, string(kind)+"/"), "it lies in no layer")
			return nil
		})
		require.NoError(t, err)
	}
}

// TestMigrationFiles checks the files of migrations/ against their rules.
func TestMigrationFiles(t *testing.T) {
	t.Parallel()
	for kind, tree := range map[schema.Kind]fs.FS{schema.Control: migrations.Control, schema.Project: migrations.Project} {
		names, err := fs.Glob(tree, string(kind)+"/*")
		require.NoError(t, err)
		require.NotEmpty(t, names)
		numbers := map[string]int{}
		for _, name := range names {
			text, err := fs.ReadFile(tree, name)
			require.NoError(t, err)
			base := filepath.Base(name)
			require.Regexp(t, `^\d{6}_[a-z]+(_[a-z0-9]+)*\.(up|down)\.sql$`, base)
			numbers[base[:6]]++
			checkLayout(t, string(text))
			require.True(t, strings.HasPrefix(string(text), "-- "), "%s: the header says why", name)
			if strings.HasSuffix(base, ".up.sql") {
				require.Contains(t, string(text), "\n-- Why: ", "%s: the header says why", name)
				require.Contains(t, string(text), "\n-- Locks: ", "%s: the header says how long it locks", name)
			}
			require.NotRegexp(t, `(?im)^\s*(BEGIN|COMMIT|ROLLBACK|START TRANSACTION)\s*;`, string(text), name)
		}
		for number, files := range numbers {
			require.Equal(t, 2, files, "migration %s has one up and one down", number)
		}
	}
}

// TestEverythingHasAComment checks our own objects, not River's.
func TestEverythingHasAComment(t *testing.T) {
	t.Parallel()
	for kind, pool := range map[schema.Kind]func() []string{
		schema.Control: func() []string { return uncommented(t, schema.Control) },
		schema.Project: func() []string { return uncommented(t, schema.Project) },
	} {
		require.Empty(t, pool(), "objects of %s without COMMENT", kind.Name())
	}
}

func uncommented(t *testing.T, kind schema.Kind) []string {
	t.Helper()
	pool := pgtest.Control(t)
	if kind == schema.Project {
		pool = pgtest.Project(t)
	}
	return list(t, pool, `
		SELECT 'schema ' || n.nspname FROM pg_namespace AS n
		WHERE n.nspname = $1 AND obj_description(n.oid, 'pg_namespace') IS NULL
		UNION ALL
		SELECT c.oid::regclass::text FROM pg_class AS c
		WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
		AND c.relname NOT LIKE 'river\_%' AND obj_description(c.oid, 'pg_class') IS NULL
		UNION ALL
		SELECT p.oid::regprocedure::text FROM pg_proc AS p
		WHERE p.pronamespace = $1::regnamespace AND p.proname NOT LIKE 'river\_%' AND obj_description(p.oid, 'pg_proc') IS NULL
		UNION ALL
		SELECT 'type ' || t.typname FROM pg_type AS t LEFT JOIN pg_class AS c ON c.oid = t.typrelid
		WHERE t.typnamespace = $1::regnamespace AND t.typname NOT LIKE 'river\_%'
		AND (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND obj_description(t.oid, 'pg_type') IS NULL
		UNION ALL
		SELECT 'trigger ' || t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
		WHERE c.relnamespace = $1::regnamespace AND c.relname NOT LIKE 'river\_%' AND NOT t.tgisinternal AND t.tgparentid = 0
		AND obj_description(t.oid, 'pg_trigger') IS NULL
		ORDER BY 1`, kind.Name())
}

// TestFunctionBodies checks what CREATE does not (check_function_bodies is off): SQL functions by
// recreating them, PL/pgSQL by plpgsql_check.
func TestFunctionBodies(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Control(t)
			if kind == schema.Project {
				pool = pgtest.Project(t)
			} else { // whose trigger is on a table only then
				_, err := pool.Exec(t.Context(), `
					SELECT authsync.make_inbox_partitions('2026-08-01', 1), authsync.begin_inbox_rewrite('20260801', '2026-08-01', '2026-08-02', '{}')`)
				require.NoError(t, err)
			}
			for name, text := range schema.SourceOf(kind).CodeText() {
				if strings.HasPrefix(name, "functions/") {
					_, err := pool.Exec(t.Context(), text)
					require.NoError(t, err, name)
				}
			}
			if !pgtest.HasExtension(t, pool, "plpgsql_check") {
				return
			}
			require.Empty(t, list(t, pool, `
				SELECT p.oid::regprocedure || ': ' || c
				FROM pg_proc AS p
				JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql'
				LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid AND NOT t.tgisinternal
				CROSS JOIN LATERAL plpgsql_check_function(p.oid, relid => coalesce(t.tgrelid, 0),
					extra_warnings => true, performance_warnings => true, security_warnings => true) AS c
				WHERE p.pronamespace = $1::regnamespace`, kind.Name()))
		})
	}
}

// TestOwnSQLSTATEs compares the codes that functions raise with those in sql/README.md and in Go.
func TestOwnSQLSTATEs(t *testing.T) {
	t.Parallel()
	raised, known := map[string]bool{}, map[string]bool{}
	for _, kind := range kinds {
		for _, text := range schema.SourceOf(kind).CodeText() {
			for _, match := range regexp.MustCompile(`ERRCODE = '(US\w{3})'`).FindAllStringSubmatch(text, -1) {
				raised[match[1]] = true
			}
		}
	}
	readme, err := os.ReadFile("../../sql/README.md")
	require.NoError(t, err)
	var explained []string
	for _, match := range regexp.MustCompile("(?m)^\\| `(US\\w{3})` \\|").FindAllStringSubmatch(string(readme), -1) {
		explained = append(explained, match[1])
	}
	err = filepath.WalkDir("..", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return err
		}
		text, err := os.ReadFile(name)
		for _, match := range regexp.MustCompile(`= "(US\d{3})"`).FindAllStringSubmatch(string(text), -1) {
			require.NotContains(t, known, match[1], "listed twice in Go")
			known[match[1]] = true
		}
		return err
	})
	require.NoError(t, err)
	require.Equal(t, slices.Sorted(maps.Keys(raised)), explained, "raised in sql/, explained in sql/README.md")
	require.Equal(t, explained, slices.Sorted(maps.Keys(known)), "explained in sql/README.md, known in Go")
}
