package schema_test

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// theirs is what a customer may have added to the mirror's schema.
const theirs = `
	CREATE TYPE capydb_auth.mood AS ENUM ('ok', 'bad');
	CREATE TYPE capydb_auth.pair AS (a int, b int);
	CREATE DOMAIN capydb_auth.short AS text CHECK (length(VALUE) < 9);
	CREATE SEQUENCE capydb_auth.numbers;
	CREATE TABLE capydb_auth.notes (user_id text REFERENCES capydb_auth.users (id), mood capydb_auth.mood, note capydb_auth.short);
	CREATE TABLE capydb_auth.vip (since date) INHERITS (capydb_auth.users);
	CREATE TABLE capydb_auth.days (day date) PARTITION BY RANGE (day);
	CREATE TABLE capydb_auth.days_default PARTITION OF capydb_auth.days DEFAULT;
	CREATE VIEW capydb_auth.live AS SELECT id, email FROM capydb_auth.users WHERE deleted_at IS NULL;
	CREATE MATERIALIZED VIEW capydb_auth.counted AS SELECT count(*) AS n FROM capydb_auth.live;
	CREATE VIEW capydb_auth.with_source AS SELECT s.user_id, s.value FROM capydb_auth.user_sources AS s;
	CREATE FUNCTION capydb_auth.greet(name text) RETURNS text LANGUAGE sql AS $$ SELECT 'hello ' || name $$;
	CREATE FUNCTION capydb_auth.ensure_user(p_id bigint) RETURNS text LANGUAGE sql AS $$ SELECT capydb_auth.ensure_user(p_id::text) $$;
	CREATE PROCEDURE capydb_auth.tidy() LANGUAGE sql AS $$ DELETE FROM capydb_auth.notes $$;
	CREATE AGGREGATE capydb_auth.glue (text) (SFUNC = textcat, STYPE = text);
	CREATE FUNCTION capydb_auth.on_note() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN PERFORM capydb_auth.ensure_user(NEW.user_id); RETURN NEW; END $$;
	CREATE TRIGGER on_note BEFORE INSERT ON capydb_auth.notes FOR EACH ROW EXECUTE FUNCTION capydb_auth.on_note();
	CREATE FUNCTION capydb_auth.on_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
	CREATE TRIGGER on_user BEFORE UPDATE ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION capydb_auth.on_user();
	CREATE RULE nothing AS ON DELETE TO capydb_auth.live DO INSTEAD NOTHING;
	CREATE INDEX users_lower_email ON capydb_auth.users (lower(email));
	ALTER TABLE capydb_auth.users ADD CONSTRAINT short_id CHECK (length(id) < 500), ADD COLUMN crm_id text;
	GRANT SELECT ON capydb_auth.live TO pg_monitor;
	GRANT SELECT ON capydb_auth.user_sources TO pg_monitor;
	GRANT EXECUTE ON FUNCTION capydb_auth.greet(text) TO PUBLIC;
	CREATE POLICY everybody ON capydb_auth.users USING (true);
	CREATE PUBLICATION everything FOR ALL TABLES`

func TestWhatOthersPutIntoTheSchemaIsLeftAlone(t *testing.T) {
	t.Parallel()

	t.Run("ByAnUpgradeAndARepair", func(t *testing.T) {
		t.Parallel()
		pool, dsn := database(t, schema.Project)
		execute(t, pool, theirs)
		before := installed(t, pool, schema.Project)
		applyAgain(t, pool, schema.Project)
		report, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
		require.True(t, report.CodeApplied)
		require.Empty(t, report.Dropped)
		require.Equal(t, before, installed(t, pool, schema.Project))

		execute(t, pool, `DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`)
		_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
		require.Equal(t, before, installed(t, pool, schema.Project))
		execute(t, pool, `INSERT INTO capydb_auth.notes VALUES ('u1', 'ok', 'hi')`)
		require.Equal(t, []string{"u1"}, list(t, pool, `SELECT id FROM capydb_auth.users`), "their trigger calls our function")
	})

	t.Run("WhenItWasThereFirst", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		execute(t, pool, `CREATE SCHEMA capydb_auth;
			CREATE TABLE capydb_auth.mine (n int);
			CREATE FUNCTION capydb_auth.hello() RETURNS text LANGUAGE sql AS 'SELECT ''hello''';
			CREATE VIEW capydb_auth.mine_too AS SELECT n FROM capydb_auth.mine`)
		before := installed(t, pool, schema.Project)
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Project, schema.Options{})
		require.NoError(t, err)
		require.Subset(t, installed(t, pool, schema.Project), before)
		_, err = schema.Down(t.Context(), pgtest.URL(t, pool), schema.Project, 1000, schema.Options{})
		require.NoError(t, err)
		require.Subset(t, installed(t, pool, schema.Project), before)
	})

	t.Run("InTheControlDatabase", func(t *testing.T) {
		t.Parallel()
		pool, dsn := database(t, schema.Control)
		execute(t, pool, `
			CREATE VIEW authsync.by_day AS SELECT * FROM authsync.inbox_days;
			CREATE FUNCTION authsync.on_project() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
			CREATE TRIGGER on_project BEFORE INSERT ON authsync.projects FOR EACH ROW EXECUTE FUNCTION authsync.on_project();
			CREATE TRIGGER reload AFTER INSERT ON authsync.destinations FOR EACH STATEMENT EXECUTE FUNCTION authsync.bump_directory_version()`)
		before := installed(t, pool, schema.Control)
		applyAgain(t, pool, schema.Control)
		report, err := schema.Up(t.Context(), dsn, schema.Control, schema.Options{})
		require.NoError(t, err)
		require.Empty(t, report.Dropped)
		require.Equal(t, before, installed(t, pool, schema.Control))
	})

	t.Run("AnExtensionsObjects", func(t *testing.T) {
		t.Parallel()
		pool, dsn := database(t, schema.Project)
		if !pgtest.HasExtension(t, pool, "plpgsql_check") {
			return
		}
		execute(t, pool, `DROP EXTENSION plpgsql_check; CREATE EXTENSION plpgsql_check SCHEMA capydb_auth`)
		before := installed(t, pool, schema.Project)
		applyAgain(t, pool, schema.Project)
		_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
		require.Equal(t, before, installed(t, pool, schema.Project))
	})

	t.Run("RightsThatTheyGaveByDefault", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		execute(t, pool, `
			ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO pg_monitor;
			ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO pg_monitor;
			ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`)
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Project, schema.Options{})
		require.NoError(t, err)
		require.Equal(t, []string{"true true false"}, list(t, pool, `
			SELECT concat_ws(' ', has_table_privilege('pg_monitor', 'capydb_auth.users', 'SELECT')::text,
				has_function_privilege('pg_monitor', 'capydb_auth.ensure_user(text)', 'EXECUTE')::text,
				has_function_privilege('pg_read_all_data', 'capydb_auth.ensure_user(text)', 'EXECUTE')::text)`))
	})

	t.Run("AclsThatStayAreNotWritten", func(t *testing.T) {
		t.Parallel()
		pool, dsn := database(t, schema.Project)
		execute(t, pool, theirs)
		version := func() []string {
			return list(t, pool, `SELECT oid::regprocedure || ' ' || xmin FROM pg_proc
				WHERE pronamespace = 'capydb_auth'::regnamespace AND proname IN ('greet', 'tidy', 'glue', 'on_note') ORDER BY 1`)
		}
		before := version()
		applyAgain(t, pool, schema.Project)
		_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
		require.Equal(t, before, version())
	})

	t.Run("EventTriggersHearOfWhatIsMade", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		execute(t, pool, `
			CREATE TABLE public.heard (tag text);
			CREATE FUNCTION public.hear() RETURNS event_trigger LANGUAGE plpgsql AS
				$$ BEGIN INSERT INTO public.heard VALUES (tg_tag); END $$;
			CREATE EVENT TRIGGER hear ON ddl_command_end EXECUTE FUNCTION public.hear()`)
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Project, schema.Options{})
		require.NoError(t, err)
		require.NotEmpty(t, list(t, pool, `SELECT tag FROM public.heard`))
		execute(t, pool, `CREATE FUNCTION public.refuse() RETURNS event_trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION 'not on a Friday'; END $$; CREATE EVENT TRIGGER refuse ON sql_drop EXECUTE FUNCTION public.refuse()`)
		_, err = schema.Down(t.Context(), pgtest.URL(t, pool), schema.Project, 100, schema.Options{})
		require.ErrorContains(t, err, "not on a Friday")
		state, err := schema.Status(t.Context(), pgtest.URL(t, pool), schema.Project)
		require.NoError(t, err)
		require.Equal(t, "current", state.Word(), "nothing was dropped")
	})
}

func TestANameThatIsTakenIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ theirs, says string }{
		"ATable":               {`CREATE TABLE capydb_auth.users (id int)`, "table capydb_auth.users"},
		"AViewInPlaceOfATable": {`CREATE VIEW capydb_auth.users AS SELECT 1 AS id`, "view capydb_auth.users"},
		"AnIndex":              {`CREATE TABLE capydb_auth.t (n int); CREATE INDEX users_placeholders_idx ON capydb_auth.t (n)`, "index capydb_auth.users_placeholders_idx"},
		"AKey":                 {`CREATE TABLE capydb_auth.users_pkey (id int)`, `"users_pkey"`},
		"AType":                {`CREATE TYPE capydb_auth.version AS ENUM ('1')`, "type capydb_auth.version"},
		"ATypeInPlaceOfATable": {`CREATE DOMAIN capydb_auth.owner AS text`, "type capydb_auth.owner"},
		"AFunction":            {`CREATE FUNCTION capydb_auth.ensure_user(text) RETURNS text LANGUAGE sql AS 'SELECT $1'`, "function capydb_auth.ensure_user(text)"},
		"AFunctionOfAnotherType": {
			`CREATE FUNCTION capydb_auth.ensure_user(text) RETURNS int LANGUAGE sql AS 'SELECT 1'`, "function capydb_auth.ensure_user(text)",
		},
		"AProcedureInPlaceOfAFunction": {`CREATE PROCEDURE capydb_auth.ensure_user(text) LANGUAGE sql AS 'SELECT 1'`, "procedure capydb_auth.ensure_user(text)"},
		"AnAggregateInPlaceOfAFunction": {
			`CREATE AGGREGATE capydb_auth.ensure_user(text) (SFUNC = textcat, STYPE = text)`, "aggregate capydb_auth.ensure_user(text)",
		},
		"AView":                {`CREATE VIEW capydb_auth.placeholders AS SELECT 1 AS n`, "view capydb_auth.placeholders"},
		"ATableInPlaceOfAView": {`CREATE TABLE capydb_auth.placeholders (n int)`, "table capydb_auth.placeholders"},
		"AMaterializedView":    {`CREATE MATERIALIZED VIEW capydb_auth.placeholders AS SELECT 1 AS n`, "materialized view capydb_auth.placeholders"},
		"ATypeInPlaceOfAView":  {`CREATE DOMAIN capydb_auth.placeholders AS text`, `"placeholders"`},
		"Migrations":           {`CREATE TABLE capydb_auth.schema_migrations (version bigint PRIMARY KEY, dirty boolean); INSERT INTO capydb_auth.schema_migrations VALUES (20240101, false)`, "table capydb_auth.schema_migrations"},
		"OurRecord":            {`CREATE TABLE capydb_auth.schema_objects (name text)`, "table capydb_auth.schema_objects"},
		"Several": {
			`CREATE TABLE capydb_auth.users (id int); CREATE TABLE capydb_auth.changes (id int)`, "table capydb_auth.changes, table capydb_auth.users are there already",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Empty(t)
			dsn := pgtest.URL(t, pool)
			execute(t, pool, `CREATE SCHEMA capydb_auth; `+c.theirs)
			before := installed(t, pool, schema.Project)
			for range 2 {
				_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
				require.ErrorIs(t, err, schema.ErrForeign)
				require.ErrorContains(t, err, c.says)
				require.ErrorContains(t, err, "rename or drop")
				require.NotErrorIs(t, err, schema.ErrDirty)
			}
			require.Subset(t, installed(t, pool, schema.Project), before)

			execute(t, pool, `ALTER SCHEMA capydb_auth RENAME TO theirs; CREATE SCHEMA capydb_auth`)
			_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
			require.NoError(t, err)
		})
	}

	t.Run("InTheMiddleOfAnUpgrade", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		_, err := firstRelease(t).Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
		execute(t, pool, `CREATE TABLE capydb_auth.owner (name text)`)
		_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.ErrorIs(t, err, schema.ErrForeign)
		require.ErrorContains(t, err, "table capydb_auth.owner")
		require.Equal(t, []string{"1 false"}, list(t, pool, `SELECT concat_ws(' ', version, dirty::text) FROM capydb_auth.schema_migrations`))
		execute(t, pool, `ALTER TABLE capydb_auth.owner RENAME TO owner_of_ours`)
		_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
	})

	t.Run("InTheControlDatabase", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		execute(t, pool, `CREATE SCHEMA authsync; CREATE TABLE authsync.projects (name text)`)
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Control, schema.Options{})
		require.ErrorIs(t, err, schema.ErrForeign)
		require.ErrorContains(t, err, "table authsync.projects is there already")
	})

	t.Run("UnlessItIsInEveryRespectWhatWeMake", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		files := map[string]string{"functions/f.sql": function("f() RETURNS int", "SELECT 1")}
		_, err := code(nil).Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
		execute(t, pool, files["functions/f.sql"])
		_, err = code(files).Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
	})
}

func TestDownLeavesWhatOthersBuilt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ theirs, says string }{
		"OnATable":    {`CREATE TABLE public.orders (user_id text REFERENCES capydb_auth.users (id))`, "constraint orders_user_id_fkey on table public.orders depends on table capydb_auth.users"},
		"OnAView":     {`CREATE VIEW public.theirs AS SELECT record_id FROM capydb_auth.placeholders`, "view public.theirs depends on view capydb_auth.placeholders"},
		"OnAFunction": {`CREATE TABLE public.t (id text DEFAULT capydb_auth.ensure_user('u'))`, "default value for column id of table public.t depends on function capydb_auth.ensure_user(text)"},
		"OnAType":     {`CREATE TABLE public.t (v capydb_auth.version)`, "column v of table public.t depends on type capydb_auth.version"},
		"ByHeritage":  {`CREATE TABLE public.vip (since date) INHERITS (capydb_auth.users)`, "table public.vip depends on table capydb_auth.users"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, dsn := database(t, schema.Project)
			execute(t, pool, c.theirs)
			_, err := schema.Down(t.Context(), dsn, schema.Project, 1000, schema.Options{})
			require.ErrorIs(t, err, schema.ErrDepends)
			require.ErrorContains(t, err, c.says)
			require.NotErrorIs(t, err, schema.ErrDirty)
			_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
			require.NoError(t, err, "and back again")
			state, err := schema.Status(t.Context(), dsn, schema.Project)
			require.NoError(t, err)
			require.Equal(t, "current", state.Word())
			require.Empty(t, state.Problems)
		})
	}

	t.Run("AndDropsNothingOfTheirs", func(t *testing.T) {
		t.Parallel()
		pool, dsn := database(t, schema.Project)
		execute(t, pool, `
			CREATE TABLE capydb_auth.mine (n int);
			CREATE FUNCTION capydb_auth.hello() RETURNS text LANGUAGE sql AS 'SELECT ''hello''';
			CREATE FUNCTION capydb_auth.on_user() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
			CREATE TRIGGER on_user BEFORE UPDATE ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION capydb_auth.on_user();
			CREATE VIEW capydb_auth.mine_too AS SELECT n FROM capydb_auth.mine`)
		_, err := schema.Down(t.Context(), dsn, schema.Project, 1000, schema.Options{})
		require.NoError(t, err)
		require.Equal(t, []string{"hello()", "mine", "mine_too", "on_user()"}, names(t, pool))
		_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
	})
}

// names lists what is left in the schema other than the version.
func names(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return list(t, pool, `
		SELECT replace(p.oid::regprocedure::text, 'capydb_auth.', '') FROM pg_proc AS p WHERE p.pronamespace = 'capydb_auth'::regnamespace
		UNION ALL SELECT relname::text FROM pg_class WHERE relnamespace = 'capydb_auth'::regnamespace AND relname NOT LIKE 'schema\_migrations%'
		ORDER BY 1`)
}

// TestStaleObjectsOfAnotherHand checks that only unmodified stale objects are dropped.
func TestStaleObjectsOfAnotherHand(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	dsn := pgtest.URL(t, pool)
	files := map[string]string{
		"functions/f.sql": function("f() RETURNS int", "SELECT 1"),
		"functions/g.sql": function("g() RETURNS int", "SELECT 1"),
		"views/v.sql":     view("v", "SELECT n FROM capydb_auth.a"),
	}
	_, err := code(files).Up(t.Context(), dsn, schema.Options{})
	require.NoError(t, err)
	execute(t, pool, `CREATE OR REPLACE FUNCTION capydb_auth.f() RETURNS int LANGUAGE sql AS 'SELECT 2';
		DROP VIEW capydb_auth.v; CREATE TABLE capydb_auth.v (n int)`)
	report, err := code(nil).Up(t.Context(), dsn, schema.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{"function capydb_auth.g()"}, report.Dropped)
	require.Equal(t, []string{"function capydb_auth.f() is no longer authsync's: someone else changed it"}, report.Kept)
	require.Equal(t, []string{"2"}, list(t, pool, `SELECT capydb_auth.f()::text`))
	require.Equal(t, []string{"0"}, list(t, pool, `SELECT count(*)::text FROM capydb_auth.v`))
}

// TestNothingOfACutShortUpgradeIsForeign checks that Up continues after a process died between a
// migration and its record.
func TestNothingOfACutShortUpgradeIsForeign(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	dsn := pgtest.URL(t, pool)
	_, err := firstRelease(t).Up(t.Context(), dsn, schema.Options{})
	require.NoError(t, err)
	_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
	require.NoError(t, err)
	want := list(t, pool, `SELECT concat_ws(' ', kind, identity) FROM capydb_auth.schema_objects WHERE kind <> 'column' ORDER BY 1`)
	execute(t, pool, `DELETE FROM capydb_auth.schema_objects WHERE identity NOT IN ('capydb_auth.users');
		UPDATE capydb_auth.schema_code SET hash = ''`)
	_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
	require.NoError(t, err)
	got := list(t, pool, `SELECT concat_ws(' ', kind, identity) FROM capydb_auth.schema_objects WHERE kind <> 'column' ORDER BY 1`)
	require.Subset(t, got, []string{"table capydb_auth.owner", "function capydb_auth.apply_events(capydb_auth.event[])"})
	require.Subset(t, want, got)
}
