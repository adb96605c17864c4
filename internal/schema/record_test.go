package schema_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// installed lists everything in a schema, ours and others', with definitions and privileges.
func installed(t *testing.T, pool *pgxpool.Pool, kind schema.Kind) []string {
	t.Helper()
	return list(t, pool, `
		SELECT concat_ws(' ', p.oid::regprocedure, CASE WHEN p.prokind <> 'a' THEN pg_get_functiondef(p.oid) END, p.proacl)
		FROM pg_proc AS p WHERE p.pronamespace = $1::regnamespace
		UNION ALL
		SELECT concat_ws(' ', c.oid::regclass, c.relkind, CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END, c.relacl, c.reloptions)
		FROM pg_class AS c WHERE c.relnamespace = $1::regnamespace
		UNION ALL
		SELECT concat_ws(' ', t.tgrelid::regclass, pg_get_triggerdef(t.oid), t.tgenabled)
		FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
		WHERE c.relnamespace = $1::regnamespace AND NOT t.tgisinternal
		UNION ALL
		SELECT concat_ws(' ', k.conrelid::regclass, k.conname, pg_get_constraintdef(k.oid))
		FROM pg_constraint AS k WHERE k.connamespace = $1::regnamespace
		UNION ALL
		SELECT concat_ws(' ', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attacl)
		FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
		WHERE c.relnamespace = $1::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT concat_ws(' ', t.oid::regtype, t.typtype, t.typacl) FROM pg_type AS t WHERE t.typnamespace = $1::regnamespace
		ORDER BY 1`, kind.Name())
}

// database returns a database with the schema, and its URL.
func database(t *testing.T, kind schema.Kind) (*pgxpool.Pool, string) {
	t.Helper()
	pool := pgtest.Project(t)
	if kind == schema.Control {
		pool = pgtest.Control(t)
	}
	return pool, pgtest.URL(t, pool)
}

// applyAgain makes the next Up apply all code.
func applyAgain(t *testing.T, pool *pgxpool.Pool, kind schema.Kind) {
	t.Helper()
	execute(t, pool, `UPDATE `+kind.Name()+`.schema_code SET revision = 0, hash = 'old'`)
}

func TestHandsOnOurObjectsAreUndone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind     schema.Kind
		damage   string
		repaired []string
	}{
		"AViewMadeAnewByTheCustomer": {
			schema.Project, `DROP VIEW capydb_auth.placeholders; CREATE VIEW capydb_auth.placeholders AS SELECT 1 AS old_column`,
			[]string{"view capydb_auth.placeholders was changed"},
		},
		"AViewMadeAnewByTheOperator": {
			schema.Control, `DROP VIEW authsync.stuck_jobs; CREATE VIEW authsync.stuck_jobs AS SELECT 1 AS old_column`,
			[]string{"view authsync.stuck_jobs was changed"},
		},
		"AColumnOfAViewRenamed": {
			schema.Project, `ALTER VIEW capydb_auth.user_sources RENAME COLUMN value TO other`,
			// membership_sources reads the column.
			[]string{"view capydb_auth.membership_sources was changed", "view capydb_auth.user_sources was changed"},
		},
		"AViewThatNoLongerHeedsRowSecurity": {
			schema.Project, `ALTER VIEW capydb_auth.user_sources SET (security_invoker = false)`,
			[]string{"view capydb_auth.user_sources was changed"},
		},
		"AViewDropped": {
			schema.Control, `DROP VIEW authsync.inbox_days`, []string{"view authsync.inbox_days is missing"},
		},
		"AFunctionDropped": {
			schema.Project, `DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`, []string{"function capydb_auth.apply_events(capydb_auth.event[]) is missing"},
		},
		"AFunctionRenamed": {
			schema.Control, `ALTER FUNCTION authsync.remove_project(uuid) RENAME TO remove_project_old; DROP FUNCTION authsync.remove_project_old(uuid)`,
			[]string{"function authsync.remove_project(uuid) is missing"},
		},
		"AFunctionWithAnotherBody": {
			schema.Project, `CREATE OR REPLACE FUNCTION capydb_auth.ensure_user(p_id text) RETURNS text LANGUAGE sql AS 'SELECT $1'`,
			[]string{"function capydb_auth.ensure_user(text) was changed"},
		},
		"AFunctionWithAnotherResult": {
			schema.Project, `DROP FUNCTION capydb_auth.change_cursor(timestamptz);
				CREATE FUNCTION capydb_auth.change_cursor(timestamptz) RETURNS text LANGUAGE sql AS 'SELECT ''''';
				REVOKE EXECUTE ON FUNCTION capydb_auth.change_cursor(timestamptz) FROM PUBLIC`,
			[]string{"function capydb_auth.change_cursor(timestamp with time zone) was changed"},
		},
		"ASettingOfAFunction": {
			schema.Project, `ALTER FUNCTION capydb_auth.apply_events(capydb_auth.event[]) SET search_path = public`,
			[]string{"function capydb_auth.apply_events(capydb_auth.event[]) was changed"},
		},
		"AFunctionOpenedToEverybody": {
			schema.Project, `GRANT EXECUTE ON FUNCTION capydb_auth.apply_events(capydb_auth.event[]) TO PUBLIC`,
			[]string{"function capydb_auth.apply_events(capydb_auth.event[]) was changed"},
		},
		"ATriggerDropped": {
			schema.Control, `DROP TRIGGER projects_bump_directory_version ON authsync.projects`,
			[]string{"trigger projects_bump_directory_version on authsync.projects is missing"},
		},
		"ATriggerDisabled": {
			schema.Control, `ALTER TABLE authsync.projects DISABLE TRIGGER projects_bump_directory_version`,
			[]string{"trigger projects_bump_directory_version on authsync.projects was changed"},
		},
		"AnIndexDropped": {
			schema.Project, `DROP INDEX capydb_auth.changes_record_idx`, []string{"index capydb_auth.changes_record_idx is missing"},
		},
		"APrimaryKeyDropped": {
			schema.Project, `ALTER TABLE capydb_auth.users DROP CONSTRAINT users_pkey`, []string{"constraint users_pkey on capydb_auth.users is missing"},
		},
		"SeveralAtOnce": {
			schema.Control, `DROP VIEW authsync.stuck_jobs; CREATE VIEW authsync.stuck_jobs AS SELECT 1 AS old_column;
				DROP VIEW authsync.inbox_days; CREATE VIEW authsync.inbox_days AS SELECT 1 AS old_column; DROP FUNCTION authsync.remove_project(uuid)`,
			[]string{
				"function authsync.remove_project(uuid) is missing", "view authsync.inbox_days was changed", "view authsync.stuck_jobs was changed",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, dsn := database(t, c.kind)
			before := installed(t, pool, c.kind)
			var log bytes.Buffer
			opts := schema.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}

			execute(t, pool, c.damage)
			state, err := schema.Status(t.Context(), dsn, c.kind)
			require.NoError(t, err)
			require.Equal(t, "damaged", state.Word())
			var problems []string
			for _, p := range state.Problems {
				require.True(t, p.Heals)
				problems = append(problems, p.String())
			}
			require.Equal(t, c.repaired, problems)

			report, err := schema.Up(t.Context(), dsn, c.kind, opts)
			require.NoError(t, err)
			require.Equal(t, c.repaired, report.Repaired)
			require.Equal(t, before, installed(t, pool, c.kind))
			for _, problem := range c.repaired {
				require.Contains(t, log.String(), `msg=schema_object_repaired schema=`+c.kind.Name()+` problem="`+problem+`"`)
			}

			execute(t, pool, c.damage) // and by an upgrade
			applyAgain(t, pool, c.kind)
			_, err = schema.Up(t.Context(), dsn, c.kind, opts)
			require.NoError(t, err)
			require.Equal(t, before, installed(t, pool, c.kind))
			report, err = schema.Up(t.Context(), dsn, c.kind, opts)
			require.NoError(t, err)
			require.False(t, report.Changed())
		})
	}
}

// What somebody else has made under a name of ours is dropped, and only the log still has it.
func TestWhatIsReplacedIsLogged(t *testing.T) {
	t.Parallel()
	pool, dsn := database(t, schema.Project)
	execute(t, pool, `
		DROP VIEW capydb_auth.placeholders; CREATE VIEW capydb_auth.placeholders AS SELECT 1 AS mine;
		CREATE OR REPLACE FUNCTION capydb_auth.ensure_user(p_id text) RETURNS text LANGUAGE sql AS '-- `+strings.Repeat("x", 2000)+`
SELECT $1'`)
	var log bytes.Buffer
	report, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	require.NoError(t, err)
	require.Equal(t, []string{"function capydb_auth.ensure_user(text)", "view capydb_auth.placeholders"},
		[]string{report.Replaced[0].Object, report.Replaced[1].Object})
	require.Regexp(t, `level=WARN msg=schema_object_dropped schema=capydb_auth object="view capydb_auth.placeholders" definition=".*SELECT 1 AS mine;"`, log.String())
	require.Regexp(t, `msg=schema_object_dropped schema=capydb_auth object="function capydb_auth.ensure_user\(text\)" definition="CREATE OR REPLACE FUNCTION [^\n]*x…"`, log.String())
	require.LessOrEqual(t, len(report.Replaced[0].Definition), 1<<10+len("…"))

	report, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
	require.NoError(t, err)
	require.Empty(t, report.Replaced)
}

func TestWhatIsLostIsNotMadeAnewEmpty(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   schema.Kind
		damage string
		lost   string
	}{
		"TheLedger":                 {schema.Project, `DROP TABLE capydb_auth.processed_events`, "table capydb_auth.processed_events is missing"},
		"TheUsers":                  {schema.Project, `DROP TABLE capydb_auth.users CASCADE`, "table capydb_auth.users is missing"},
		"TheOwner":                  {schema.Project, `DROP TABLE capydb_auth.owner`, "table capydb_auth.owner is missing"},
		"AColumn":                   {schema.Project, `ALTER TABLE capydb_auth.users DROP COLUMN username CASCADE`, "column capydb_auth.users.username is missing"},
		"AType":                     {schema.Project, `DROP TYPE capydb_auth.version CASCADE`, "type capydb_auth.version is missing"},
		"ATypeOfAnotherShape":       {schema.Project, `ALTER TYPE capydb_auth.version ADD ATTRIBUTE more text`, "type capydb_auth.version was changed"},
		"ATableOfTheControl":        {schema.Control, `DROP TABLE authsync.rate_limits`, "table authsync.rate_limits is missing"},
		"ATableThatIsNowAView":      {schema.Control, `DROP TABLE authsync.rate_limits; CREATE VIEW authsync.rate_limits AS SELECT 1`, "table authsync.rate_limits is missing"},
		"TheDefaultPartition":       {schema.Control, `DROP TABLE authsync.inbox_default`, "table authsync.inbox_default is missing"},
		"RightsOfOurOwnRole":        {schema.Project, `DO $$ BEGIN EXECUTE 'ALTER SCHEMA capydb_auth OWNER TO pg_monitor' ; END $$; DROP TABLE capydb_auth.owner`, "table capydb_auth.owner is missing"},
		"TheTableOfARenamedSchema":  {schema.Project, `ALTER TABLE capydb_auth.changes SET SCHEMA public`, "table capydb_auth.changes is missing"},
		"SeveralWithOurFunctionsOn": {schema.Project, `DROP TABLE capydb_auth.changes CASCADE; DROP FUNCTION capydb_auth.apply_events`, "table capydb_auth.changes is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, dsn := database(t, c.kind)
			execute(t, pool, c.damage)
			before := installed(t, pool, c.kind)
			for range 2 {
				_, err := schema.Up(t.Context(), dsn, c.kind, schema.Options{})
				require.ErrorIs(t, err, schema.ErrDamaged)
				require.ErrorContains(t, err, c.lost)
				require.ErrorContains(t, err, "restored from a backup")
				applyAgain(t, pool, c.kind) // nor by an upgrade
			}
			require.Equal(t, before, installed(t, pool, c.kind), "nothing was touched")
			state, err := schema.Status(t.Context(), dsn, c.kind)
			require.NoError(t, err)
			require.Equal(t, "damaged", state.Word())
		})
	}
}

func TestWhatACustomerChangedInOurTablesIsSaidAndLeft(t *testing.T) {
	t.Parallel()
	pool, dsn := database(t, schema.Project)
	execute(t, pool, `
		ALTER TABLE capydb_auth.users ALTER COLUMN image_url SET NOT NULL;
		ALTER TABLE capydb_auth.users ADD COLUMN crm_id text, ADD CONSTRAINT short CHECK (length(username) < 80);
		CREATE INDEX users_theirs_idx ON capydb_auth.users (email)`)
	state, err := schema.Status(t.Context(), dsn, schema.Project)
	require.NoError(t, err)
	require.Len(t, state.Problems, 1, "what was added is theirs")
	require.Equal(t, `column capydb_auth.users.image_url was changed: it should be "text" and is "text NOT NULL"`, state.Problems[0].String())
	require.Equal(t, "current", state.Word(), "events go on")
	applyAgain(t, pool, schema.Project)
	_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
	require.NoError(t, err)
	state, err = schema.Status(t.Context(), dsn, schema.Project)
	require.NoError(t, err)
	require.Len(t, state.Problems, 1, "an upgrade does not take it for ours")
}

func TestOurOwnRoleThatMayNotWorkIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ damage, says string }{
		"ForcedRowSecurityWithoutAPolicy": {
			`ALTER TABLE capydb_auth.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY`, "run ALTER TABLE capydb_auth.users NO FORCE ROW LEVEL SECURITY",
		},
		"ForcedRowSecurityThatHidesRows": {
			`ALTER TABLE capydb_auth.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
			 CREATE POLICY mine ON capydb_auth.users USING (id = current_user) WITH CHECK (true)`, "NO FORCE ROW LEVEL SECURITY",
		},
		"ForcedRowSecurityThatRestricts": {
			`ALTER TABLE capydb_auth.changes ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
			 CREATE POLICY everything ON capydb_auth.changes USING (true);
			 CREATE POLICY no ON capydb_auth.changes AS RESTRICTIVE USING (false)`, "capydb_auth.changes NO FORCE",
		},
		"RightsTakenAway": {`REVOKE INSERT ON capydb_auth.processed_events FROM %s`, "run GRANT ALL ON capydb_auth.processed_events TO"},
		"RowSecurityThatIsNotForced": {
			`ALTER TABLE capydb_auth.users ENABLE ROW LEVEL SECURITY; CREATE POLICY mine ON capydb_auth.users USING (id = current_user)`, "",
		},
		"ForcedRowSecurityThatLetsUsIn": {
			`ALTER TABLE capydb_auth.users ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
			 CREATE POLICY ours ON capydb_auth.users TO %s USING (true)`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Empty(t)
			dsn, role := asRole(t, pool)
			execute(t, pool, `DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO `+role+`', current_database()); END $$`)
			_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
			require.NoError(t, err)
			execute(t, pool, string(bytes.ReplaceAll([]byte(c.damage), []byte("%s"), []byte(role))))
			_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, schema.ErrDamaged)
			require.ErrorContains(t, err, c.says)
		})
	}
}

func TestTablesOfThisPackageThatWereDropped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind   schema.Kind
		damage string
	}{
		"TheRecord":             {schema.Project, `DROP TABLE capydb_auth.schema_objects`},
		"TheRecordOfTheControl": {schema.Control, `DROP TABLE authsync.schema_objects`},
		"TheRecordAndAFunction": {schema.Project, `DROP TABLE capydb_auth.schema_objects; DROP FUNCTION capydb_auth.ensure_user(text)`},
		"TheVersion":            {schema.Project, `DROP TABLE capydb_auth.schema_migrations`},
		"TheVersionsRow":        {schema.Control, `DELETE FROM authsync.schema_migrations`},
		"TheCode":               {schema.Control, `DROP TABLE authsync.schema_code`},
		"TheRecordAndTheCode":   {schema.Project, `DROP TABLE capydb_auth.schema_objects, capydb_auth.schema_code`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool, dsn := database(t, c.kind)
			before := installed(t, pool, c.kind)
			record := list(t, pool, `SELECT concat_ws(' ', kind, identity, definition) FROM `+c.kind.Name()+`.schema_objects ORDER BY 1`)
			require.Greater(t, len(record), 40)
			execute(t, pool, c.damage)
			_, err := schema.Up(t.Context(), dsn, c.kind, schema.Options{})
			require.NoError(t, err)
			require.Equal(t, before, installed(t, pool, c.kind))
			require.Equal(t, record, list(t, pool, `SELECT concat_ws(' ', kind, identity, definition) FROM `+c.kind.Name()+`.schema_objects ORDER BY 1`))
			state, err := schema.Status(t.Context(), dsn, c.kind)
			require.NoError(t, err)
			require.Equal(t, "current", state.Word())
		})
	}

	t.Run("WithoutTheRecordAFunctionThatDiffersIsNotTakenForOurs", func(t *testing.T) {
		t.Parallel()
		pool, dsn := database(t, schema.Project)
		execute(t, pool, `DROP TABLE capydb_auth.schema_objects;
			CREATE OR REPLACE FUNCTION capydb_auth.ensure_user(p_id text) RETURNS text LANGUAGE sql AS 'SELECT $1'`)
		_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.ErrorIs(t, err, schema.ErrForeign)
		require.ErrorContains(t, err, "function capydb_auth.ensure_user(text)")
		execute(t, pool, `DROP FUNCTION capydb_auth.ensure_user(text)`)
		_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.NoError(t, err)
	})
}

// TestTheRecordHasAllThatMigrationsMake compares what is parsed from the migrations with the
// catalog.
func TestTheRecordHasAllThatMigrationsMake(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		pool, _ := database(t, kind)
		require.Empty(t, list(t, pool, `
			SELECT c.oid::regclass::text FROM pg_class AS c LEFT JOIN pg_index AS i ON i.indexrelid = c.oid
			WHERE c.relnamespace = $1::regnamespace AND c.relname NOT LIKE 'river\_%' AND c.relname NOT LIKE 'schema\_%'
			AND c.relkind IN ('r', 'p', 'i', 'I', 'c', 'v') AND NOT coalesce(i.indisprimary OR i.indisunique AND EXISTS (
				SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid), false)
			AND coalesce(i.indrelid::regclass::text, '') NOT LIKE '%.river\_%' AND NOT (c.relispartition AND c.relkind IN ('i', 'I'))
			AND NOT EXISTS (SELECT FROM pg_index AS x JOIN pg_class AS t ON t.oid = x.indrelid WHERE x.indexrelid = c.oid AND t.relispartition)
			EXCEPT
			SELECT identity FROM `+kind.Name()+`.schema_objects`, kind.Name()), kind)
		require.Empty(t, list(t, pool, `
			SELECT a.attrelid::regclass || '.' || a.attname FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
			WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND a.attnum > 0 AND NOT a.attisdropped
			AND c.relname NOT LIKE 'river\_%' AND c.relname NOT LIKE 'schema\_%'
			EXCEPT
			SELECT identity FROM `+kind.Name()+`.schema_objects WHERE kind = 'column'`, kind.Name()), kind)
	}
}
