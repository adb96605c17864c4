package schema_test

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// code returns a source with one table and the given files of sql/.
func code(files map[string]string) schema.Source {
	tree := fstest.MapFS{}
	for name, text := range files {
		tree["project/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	return schema.NewSource(schema.Project, fstest.MapFS{
		"project/000001_a.up.sql":   {Data: []byte(`CREATE TABLE capydb_auth.a (n int, m int);`)},
		"project/000001_a.down.sql": {Data: []byte(`DROP TABLE capydb_auth.a;`)},
	}, tree)
}

func function(signature, body string) string {
	name, _, _ := strings.Cut(signature, " RETURNS ")
	return `CREATE OR REPLACE FUNCTION capydb_auth.` + signature + ` LANGUAGE sql AS $fn$` + body + `$fn$;
		` + "\nCOMMENT ON FUNCTION capydb_auth." + name + ` IS '…';`
}

func view(name, query string) string {
	return `CREATE OR REPLACE VIEW capydb_auth.` + name + ` AS ` + query + ";\nCOMMENT ON VIEW capydb_auth." + name + ` IS '…';`
}

func trigger(name string) string {
	return `CREATE OR REPLACE TRIGGER ` + name + ` AFTER INSERT ON capydb_auth.a EXECUTE FUNCTION capydb_auth.tf();
		` + "\nCOMMENT ON TRIGGER " + name + ` ON capydb_auth.a IS '…';`
}

const triggerFunction = `CREATE OR REPLACE FUNCTION capydb_auth.tf() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
COMMENT ON FUNCTION capydb_auth.tf() IS '…';`

const procedure = `CREATE OR REPLACE PROCEDURE capydb_auth.p() LANGUAGE sql AS $$ SELECT 1 $$;
COMMENT ON PROCEDURE capydb_auth.p() IS '…';`

func objects(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return list(t, pool, `
		SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'capydb_auth'::regnamespace
		UNION ALL SELECT c.oid::regclass::text FROM pg_class AS c WHERE c.relnamespace = 'capydb_auth'::regnamespace AND c.relkind = 'v'
		UNION ALL SELECT t.tgname FROM pg_trigger AS t WHERE NOT t.tgisinternal
		ORDER BY 1`)
}

func TestCode(t *testing.T) {
	t.Parallel()
	type bundle struct {
		pool *pgxpool.Pool
		up   func(files map[string]string) schema.Report
		fail func(files map[string]string) error
	}
	setup := func(t *testing.T) *bundle {
		t.Helper()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		return &bundle{
			pool: pool,
			up: func(files map[string]string) schema.Report {
				report, err := code(files).Up(t.Context(), dsn, schema.Options{})
				require.NoError(t, err)
				return report
			},
			fail: func(files map[string]string) error {
				_, err := code(files).Up(t.Context(), dsn, schema.Options{})
				require.Error(t, err)
				return err
			},
		}
	}

	t.Run("IsAppliedWhenItChangedAndOnlyThen", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{"functions/f.sql": function("f() RETURNS int", "SELECT 1")}
		require.True(t, b.up(files).CodeApplied)
		require.False(t, b.up(files).CodeApplied)
		files["functions/f.sql"] = function("f() RETURNS int", "SELECT 2")
		require.True(t, b.up(files).CodeApplied)
		require.Equal(t, []string{"2"}, list(t, b.pool, `SELECT capydb_auth.f()::text`))
	})

	t.Run("LosesWhatNoFileMakesAnyMore", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{
			"functions/f.sql":  function("f(int) RETURNS int", "SELECT 1"),
			"functions/g.sql":  function("g() RETURNS int", "SELECT 1"),
			"functions/p.sql":  procedure,
			"functions/tf.sql": triggerFunction,
			"views/v.sql":      view("v", "SELECT capydb_auth.g() AS n"),
			"views/w.sql":      view("w", "SELECT n FROM capydb_auth.v"),
			"triggers/t1.sql":  trigger("t1"),
			"triggers/t2.sql":  trigger("t2"),
		}
		b.up(files)
		files["functions/f.sql"] = function("f(bigint) RETURNS int", "SELECT 2") // another signature: an overload
		for _, gone := range []string{"functions/g.sql", "functions/p.sql", "views/v.sql", "views/w.sql", "triggers/t2.sql"} {
			delete(files, gone)
		}
		report := b.up(files)
		require.Equal(t, []string{
			"trigger t2 on capydb_auth.a", "view capydb_auth.w", "function capydb_auth.f(integer)", "procedure capydb_auth.p()",
			"view capydb_auth.v", "function capydb_auth.g()",
		}, report.Dropped)
		require.Equal(t, []string{"capydb_auth.f(bigint)", "capydb_auth.tf()", "t1"}, objects(t, b.pool))
	})

	t.Run("FindsTheOrderOfViews", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.up(map[string]string{
			"functions/reads_view.sql": function("reads_view() RETURNS bigint", "SELECT count(*) FROM capydb_auth.c"),
			"views/a1.sql":             view("a1", "SELECT n FROM capydb_auth.b1"),
			"views/b1.sql":             view("b1", "SELECT n FROM capydb_auth.c"),
			"views/c.sql":              view("c", "SELECT n FROM capydb_auth.a"),
		})
		require.Equal(t, []string{"0"}, list(t, b.pool, `SELECT count(*)::text FROM capydb_auth.a1`))
	})

	t.Run("ReplacesAViewThatLostAColumn", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{"views/v.sql": view("v", "SELECT n, m FROM capydb_auth.a")}
		b.up(files)
		files["views/v.sql"] = view("v", "SELECT m::text FROM capydb_auth.a")
		b.up(files)
		require.Equal(t, []string{"m"}, list(t, b.pool,
			`SELECT attname::text FROM pg_attribute WHERE attrelid = 'capydb_auth.v'::regclass AND attnum > 0`))
	})

	t.Run("LeavesWhatOthersBuiltOnItAlone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{"views/v.sql": view("v", "SELECT n, m FROM capydb_auth.a")}
		b.up(files)
		execute(t, b.pool, `CREATE VIEW public.theirs AS SELECT n FROM capydb_auth.v; GRANT SELECT ON capydb_auth.v TO pg_monitor`)
		files["views/v.sql"] = view("v", "SELECT n, m, 1 AS more FROM capydb_auth.a")
		b.up(files)
		require.Equal(t, []string{"true"}, list(t, b.pool, `SELECT has_table_privilege('pg_monitor', 'capydb_auth.v', 'SELECT')::text`))

		files["views/v.sql"] = view("v", "SELECT n FROM capydb_auth.a")
		err := b.fail(files)
		require.ErrorIs(t, err, schema.ErrDepends, "dropping it would take theirs along")
		require.ErrorContains(t, err, "view public.theirs depends on view capydb_auth.v")

		delete(files, "views/v.sql")
		report := b.up(files)
		require.Empty(t, report.Dropped)
		require.Equal(t, []string{"view capydb_auth.v is no longer needed, but view public.theirs depends on view capydb_auth.v"}, report.Kept)
		require.Equal(t, []string{"0"}, list(t, b.pool, `SELECT count(*)::text FROM public.theirs`))

		execute(t, b.pool, `DROP VIEW public.theirs`)
		files["functions/f.sql"] = function("f() RETURNS int", "SELECT 1")
		require.Equal(t, []string{"view capydb_auth.v"}, b.up(files).Dropped, "it goes as soon as it can")
	})

	t.Run("ReplacesAFunctionThatReturnsAnotherType", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{"functions/f.sql": function("f(int) RETURNS int", "SELECT 1")}
		b.up(files)
		execute(t, b.pool, `GRANT EXECUTE ON FUNCTION capydb_auth.f(int) TO pg_monitor`)
		files["functions/f.sql"] = function("f(int) RETURNS text", "SELECT 'x'")
		require.Empty(t, b.up(files).Dropped)
		require.Equal(t, []string{"x"}, list(t, b.pool, `SELECT capydb_auth.f(1)`))
		require.Equal(t, []string{"true"}, list(t, b.pool, `SELECT has_function_privilege('pg_monitor', 'capydb_auth.f(int)', 'EXECUTE')::text`))
	})

	t.Run("ReplacesAViewThatOthersOfOursRead", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{
			"views/base.sql":  view("base", "SELECT n, m FROM capydb_auth.a"),
			"views/above.sql": view("above", "SELECT m FROM capydb_auth.base"),
			"views/top.sql":   view("top", "SELECT m FROM capydb_auth.above"),
			"views/other.sql": view("other", "SELECT n FROM capydb_auth.a"),
		}
		b.up(files)
		execute(t, b.pool, `GRANT SELECT ON capydb_auth.base, capydb_auth.top TO pg_monitor WITH GRANT OPTION;
			CREATE VIEW public.theirs AS SELECT n FROM capydb_auth.other`)
		files["views/base.sql"] = view("base", "SELECT m, n FROM capydb_auth.a")
		require.Empty(t, b.up(files).Dropped, "all of them are there again")
		for _, name := range []string{"base", "top"} {
			require.Equal(t, []string{"true"}, list(t, b.pool,
				`SELECT has_table_privilege('pg_monitor', 'capydb_auth.' || $1, 'SELECT WITH GRANT OPTION')::text`, name), "what was granted on it stays")
		}
		execute(t, b.pool, `CREATE VIEW public.on_top AS SELECT m FROM capydb_auth.top`)
		files["views/base.sql"] = view("base", "SELECT n, m FROM capydb_auth.a")
		err := b.fail(files)
		require.ErrorIs(t, err, schema.ErrDepends)
		require.ErrorContains(t, err, "view public.on_top depends on view capydb_auth.top")
	})

	t.Run("IsAppliedAsAWholeOrNotAtAll", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{"functions/f.sql": function("f() RETURNS int", "SELECT 1")}
		b.up(files)
		broken := maps.Clone(files)
		broken["functions/f.sql"] = function("f() RETURNS int", "SELECT 2")
		broken["functions/g.sql"] = "-- a comment\nCREATE OR REPLACE FUNCTIN capydb_auth.g();\nCOMMENT ON FUNCTION capydb_auth.g() IS '…';"
		err := b.fail(broken)
		require.ErrorContains(t, err, "functions/g.sql, line 2")
		require.Equal(t, []string{"1"}, list(t, b.pool, `SELECT capydb_auth.f()::text`))

		broken = maps.Clone(files)
		broken["views/v.sql"] = view("v", "SELECT n FROM capydb_auth.no_such_table")
		require.ErrorContains(t, b.fail(broken), "views/v.sql")
		require.False(t, b.up(files).Changed())
	})

	t.Run("IsGivenOnlySoMuchTime", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		source := code(map[string]string{"grants/slow.sql": `DO $$ BEGIN PERFORM pg_sleep(60); END $$`})
		_, err := source.Up(t.Context(), pgtest.URL(t, pool), schema.Options{StatementTimeout: time.Second})
		require.Equal(t, "57014", pgdb.Code(err))
		require.ErrorContains(t, err, "grants/slow.sql")
	})

	t.Run("OfANewerBinaryIsLeftAlone", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		older := map[string]string{"revision": "3 hash", "functions/f.sql": function("f() RETURNS int", "SELECT 3")}
		newer := map[string]string{"revision": "4 hash", "functions/f.sql": function("f() RETURNS int", "SELECT 4")}
		b.up(older)
		require.True(t, b.up(newer).CodeApplied)
		current, err := code(older).UpToDate(t.Context(), b.pool)
		require.NoError(t, err)
		require.True(t, current)
		require.False(t, b.up(older).CodeApplied)
		require.Equal(t, []string{"4"}, list(t, b.pool, `SELECT capydb_auth.f()::text`))
	})

	t.Run("IsAppliedAgainAfterAMigration", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		files := map[string]string{"views/v.sql": view("v", "SELECT n FROM capydb_auth.a")}
		b.up(files)
		tree := fstest.MapFS{"project/views/v.sql": {Data: []byte(files["views/v.sql"])}}
		migrations := fstest.MapFS{
			"project/000001_a.up.sql": {Data: []byte(`-- applied already`)},
			"project/000002_widen_n.up.sql": {Data: []byte(
				`DROP VIEW capydb_auth.v; ALTER TABLE capydb_auth.a ALTER COLUMN n TYPE bigint;`)},
		}
		report, err := schema.NewSource(schema.Project, migrations, tree).Up(t.Context(), pgtest.URL(t, b.pool), schema.Options{})
		require.NoError(t, err)
		require.True(t, report.CodeApplied, "the code did not change, the view is gone all the same")
		require.Equal(t, []string{"capydb_auth.v"}, objects(t, b.pool))
	})

	t.Run("LeavesRiversRoutinesAlone", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Control(t)
		execute(t, pool, `UPDATE authsync.schema_code SET hash = 'other', revision = 0`)
		report, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Control, schema.Options{})
		require.NoError(t, err)
		require.Empty(t, report.Dropped)
		require.Equal(t, []string{"river_job_state_in_bitmask"}, list(t, pool,
			`SELECT proname::text FROM pg_proc WHERE pronamespace = 'authsync'::regnamespace AND proname LIKE 'river%'`))
	})
}
