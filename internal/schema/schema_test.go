package schema_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

var kinds = []schema.Kind{schema.Control, schema.Project} //nolint:gochecknoglobals // a constant

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func list(t *testing.T, pool *pgxpool.Pool, sql string, args ...any) []string {
	t.Helper()
	rows, err := pool.Query(t.Context(), sql, args...)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

func TestUp(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Empty(t)
			dsn := pgtest.URL(t, pool)

			state, err := schema.Status(t.Context(), dsn, kind)
			require.NoError(t, err)
			require.Zero(t, state.Version)
			require.False(t, state.UpToDate())
			require.NotZero(t, state.Latest)
			current, err := schema.UpToDate(t.Context(), pool, kind)
			require.NoError(t, err)
			require.False(t, current)

			report, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err)
			require.Zero(t, report.From)
			require.Equal(t, state.Latest, report.To)
			require.Equal(t, state.RiverLatest, report.RiverTo)
			require.Equal(t, kind == schema.Control, report.RiverTo > 0)
			require.True(t, report.CodeApplied)
			require.Empty(t, report.Dropped)

			state, err = schema.Status(t.Context(), dsn, kind)
			require.NoError(t, err)
			require.True(t, state.UpToDate())
			require.False(t, state.Newer())
			require.Equal(t, pool.Config().ConnConfig.Database, state.Database)
			require.Equal(t, state.LatestHash, state.CodeHash)
			require.Equal(t, state.LatestRevision, state.CodeRevision)
			current, err = schema.UpToDate(t.Context(), pool, kind)
			require.NoError(t, err)
			require.True(t, current)

			again, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err)
			require.False(t, again.Changed())
			require.Equal(t, report.To, again.To)
			require.Equal(t, report.RiverTo, again.RiverTo)

			require.Empty(t, list(t, pool, `
				SELECT n.nspname || '.' || c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
				WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', $1)`, kind.Name()),
				"nothing outside of our schema is touched")
		})
	}

	t.Run("TenAtOnceInstallOnce", func(t *testing.T) {
		t.Parallel()
		for _, kind := range kinds {
			pool := pgtest.Empty(t)
			dsn := pgtest.URL(t, pool)
			type result struct {
				report schema.Report
				err    error
			}
			results := make(chan result, 10)
			for range cap(results) {
				go func() {
					report, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
					results <- result{report, err}
				}()
			}
			changed := 0
			for range cap(results) {
				r := <-results
				require.NoError(t, r.err)
				if r.report.Changed() {
					changed++
				}
			}
			require.Equal(t, 1, changed)
		}
	})

	t.Run("WaitsForAnotherInstallerBeyondItsTimeouts", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		holder, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = holder.Exec(t.Context(), `SELECT pg_advisory_xact_lock(hashtextextended('authsync install capydb_auth', 0))`)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Project,
				schema.Options{LockTimeout: 50 * time.Millisecond, StatementTimeout: 5 * time.Second})
			done <- err
		}()
		waittest.Until(t, func() bool {
			return len(list(t, pool, `
				SELECT 'waits' FROM pg_stat_activity AS a
				WHERE a.datname = current_database() AND a.wait_event = 'advisory'
				AND clock_timestamp() - a.query_start > interval '200 ms'`)) == 1
		})
		require.NoError(t, holder.Rollback(t.Context()))
		require.NoError(t, <-done)
	})

	t.Run("EndsWithItsContext", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		holder, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer holder.Release()
		_, err = holder.Exec(t.Context(), `SELECT pg_advisory_lock(hashtextextended('authsync install capydb_auth', 0))`)
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err = schema.Up(ctx, pgtest.URL(t, pool), schema.Project, schema.Options{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.True(t, pgdb.Unavailable(err))
	})

	t.Run("TellsNoPasswords", func(t *testing.T) {
		t.Parallel()
		_, err := schema.Up(t.Context(), "postgres://u:hunter2@host:port/db", schema.Project, schema.Options{})
		require.ErrorIs(t, err, pgdb.ErrBadURL)
		require.NotContains(t, err.Error(), "hunter2")
	})
}

// asRole returns the URL of the pool's database for a new role without privileges.
func asRole(t *testing.T, pool *pgxpool.Pool) (dsn, role string) {
	t.Helper()
	role = "role_" + strings.ToLower(rand.Text()[:12])
	execute(t, pool, `CREATE ROLE `+role+` LOGIN PASSWORD 'secret'`)
	u, err := url.Parse(pgtest.URL(t, pool))
	require.NoError(t, err)
	u.User = url.UserPassword(role, "secret")
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() { // the database outlives the role
		_, err := pool.Exec(ctx, `DROP OWNED BY `+role+` CASCADE`)
		require.NoError(t, err)
		_, err = pool.Exec(ctx, `DROP ROLE `+role)
		require.NoError(t, err)
	})
	return u.String(), role
}

func TestRights(t *testing.T) {
	t.Parallel()

	for _, kind := range kinds {
		t.Run("CreateOnTheDatabaseIsEnoughFor"+string(kind), func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Empty(t)
			dsn, role := asRole(t, pool)
			database := pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()

			_, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.ErrorIs(t, err, schema.ErrMissingRights)
			grant := `GRANT CREATE ON DATABASE ` + database + ` TO "` + role + `"`
			require.ErrorContains(t, err, grant)

			execute(t, pool, grant)
			_, err = schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err)

			execute(t, pool, `REVOKE CREATE ON DATABASE `+database+` FROM `+role)
			execute(t, pool, `UPDATE `+kind.Name()+`.schema_code SET hash = 'other'`)
			report, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err, "an upgrade needs no right to create schemas")
			require.True(t, report.CodeApplied)
			report, err = schema.Down(t.Context(), dsn, kind, 100, schema.Options{})
			require.NoError(t, err)
			require.Zero(t, report.To)
		})
	}

	t.Run("AnotherRolesSchemaIsNamed", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		owner := pool.Config().ConnConfig.User
		dsn, role := asRole(t, pool)

		_, err := schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.ErrorIs(t, err, schema.ErrMissingRights, "it may not look")
		require.ErrorContains(t, err, `GRANT "`+owner+`" TO "`+role+`"`)
		_, err = schema.Status(t.Context(), dsn, schema.Project)
		require.ErrorIs(t, err, schema.ErrMissingRights)

		execute(t, pool, `GRANT USAGE, CREATE ON SCHEMA capydb_auth TO `+role)
		execute(t, pool, `GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA capydb_auth TO `+role)
		execute(t, pool, `UPDATE capydb_auth.schema_code SET hash = 'other'`)
		_, err = schema.Up(t.Context(), dsn, schema.Project, schema.Options{})
		require.ErrorIs(t, err, schema.ErrMissingRights, "it may not replace functions")
	})
}

func TestNewerSchema(t *testing.T) {
	t.Parallel()

	t.Run("IsRefusedByABinaryThatMustKnowMore", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		execute(t, pool, `UPDATE capydb_auth.schema_migrations SET version = 999; UPDATE capydb_auth.schema_code SET min_version = 998`)
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Project, schema.Options{})
		require.ErrorIs(t, err, schema.ErrNewerSchema)
		require.ErrorContains(t, err, "998")
		_, err = schema.Down(t.Context(), pgtest.URL(t, pool), schema.Project, 1, schema.Options{})
		require.ErrorIs(t, err, schema.ErrNewerSchema)
		_, err = schema.UpToDate(t.Context(), pool, schema.Project)
		require.ErrorIs(t, err, schema.ErrNewerSchema)
		state, err := schema.Status(t.Context(), pgtest.URL(t, pool), schema.Project)
		require.NoError(t, err)
		require.Equal(t, "newer", state.Word())
		require.False(t, state.UpToDate())
	})

	t.Run("IsWorkedWithWhereNothingBroke", func(t *testing.T) {
		t.Parallel()
		for _, dirty := range []string{"true", "false"} { // a newer binary is migrating, or was interrupted
			pool := pgtest.Project(t)
			execute(t, pool, `UPDATE capydb_auth.schema_migrations SET version = 999, dirty = `+dirty)
			current, err := schema.UpToDate(t.Context(), pool, schema.Project)
			require.NoError(t, err)
			require.True(t, current)
			state, err := schema.Status(t.Context(), pgtest.URL(t, pool), schema.Project)
			require.NoError(t, err)
			require.Equal(t, "compatible", state.Word())
			report, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Project, schema.Options{})
			require.NoError(t, err)
			require.False(t, report.Changed())
			_, err = schema.Down(t.Context(), pgtest.URL(t, pool), schema.Project, 1, schema.Options{})
			require.Error(t, err, "what it does not know it can't take back")
		}
	})

	t.Run("IsRefusedWhenAFunctionIsGoneThatThisBinaryCalls", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		execute(t, pool, `UPDATE capydb_auth.schema_code SET revision = 999, hash = 'newer';
			DROP FUNCTION capydb_auth.ensure_user(text); DELETE FROM capydb_auth.schema_objects WHERE identity LIKE '%ensure_user%'`)
		_, err := schema.UpToDate(t.Context(), pool, schema.Project)
		require.ErrorIs(t, err, schema.ErrNewerSchema)
		require.ErrorContains(t, err, "function capydb_auth.ensure_user(text)")
	})

	t.Run("IsRefusedWhereItIsNotKnownWhatBroke", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		execute(t, pool, `UPDATE capydb_auth.schema_migrations SET version = 999; DROP TABLE capydb_auth.schema_code`)
		_, err := schema.UpToDate(t.Context(), pool, schema.Project)
		require.ErrorIs(t, err, schema.ErrNewerSchema)
	})

	t.Run("WithTablesOfANewerRiver", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Control(t)
		execute(t, pool, `INSERT INTO authsync.river_migration (line, version) VALUES ('main', 999)`)
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), schema.Control, schema.Options{})
		require.NoError(t, err, "River's older clients work on newer tables, unless a release of ours says otherwise")
		execute(t, pool, `UPDATE authsync.schema_code SET min_river_version = 999`)
		_, err = schema.Up(t.Context(), pgtest.URL(t, pool), schema.Control, schema.Options{})
		require.ErrorIs(t, err, schema.ErrNewerSchema)
		require.ErrorContains(t, err, "River")
	})
}

func TestDown(t *testing.T) {
	t.Parallel()

	t.Run("TakesStepsOneByOne", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		source := schema.NewSource(schema.Project, fstest.MapFS{
			"project/000001_a.up.sql":   {Data: []byte(`CREATE TABLE capydb_auth.a (n int)`)},
			"project/000001_a.down.sql": {Data: []byte(`DROP TABLE capydb_auth.a`)},
			"project/000002_b.up.sql":   {Data: []byte(`CREATE TABLE capydb_auth.b (n int)`)},
			"project/000002_b.down.sql": {Data: []byte(`DROP TABLE capydb_auth.b`)},
		}, fstest.MapFS{
			"project/views/b_view.sql": {Data: []byte(view("b_view", "SELECT n FROM capydb_auth.b"))},
		})
		_, err := source.Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)

		report, err := source.Down(t.Context(), dsn, 1)
		require.NoError(t, err)
		require.Equal(t, uint(2), report.From)
		require.Equal(t, uint(1), report.To)
		require.Equal(t, []string{"view capydb_auth.b_view"}, report.Dropped)
		require.Equal(t, []string{"a", "schema_code", "schema_migrations", "schema_objects"}, tables(t, pool))

		report, err = source.Down(t.Context(), dsn, 5)
		require.NoError(t, err)
		require.Zero(t, report.To)
		require.Equal(t, []string{"schema_migrations"}, tables(t, pool))

		report, err = source.Down(t.Context(), dsn, 1)
		require.NoError(t, err)
		require.False(t, report.Changed())

		report, err = source.Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
		require.True(t, report.CodeApplied)
		require.Equal(t, []string{"a", "b", "schema_code", "schema_migrations", "schema_objects"}, tables(t, pool))
	})

	t.Run("WantsToKnowHowMany", func(t *testing.T) {
		t.Parallel()
		_, err := schema.Down(t.Context(), "", schema.Project, 0, schema.Options{})
		require.ErrorContains(t, err, "at least 1")
	})
}

func tables(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	return list(t, pool, `SELECT relname::text FROM pg_class WHERE relnamespace = 'capydb_auth'::regnamespace AND relkind = 'r' ORDER BY 1`)
}

// TestSettingsOfTheDatabaseChangeNothing installs, upgrades and inspects in databases with unusual
// settings.
func TestSettingsOfTheDatabaseChangeNothing(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			plain, _ := database(t, kind)
			pool := pgtest.Empty(t)
			dsn := pgtest.URL(t, pool)
			name := pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()
			for setting, value := range pgtest.OddSettings() {
				execute(t, pool, "ALTER DATABASE "+name+" SET "+setting+" = '"+value+"'")
			}
			_, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
			require.NoError(t, err)
			recorded := `SELECT concat_ws(' ', kind, identity, definition) FROM ` + kind.Name() + `.schema_objects ORDER BY 1`
			require.Equal(t, list(t, plain, recorded), list(t, pool, recorded))
			state, err := schema.Status(t.Context(), dsn, kind)
			require.NoError(t, err)
			require.Empty(t, state.Problems)
			require.Equal(t, "current", state.Word())
		})
	}
}

func TestOtherEncodingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		pool := pgtest.Encoded(t, "LATIN1")
		_, err := schema.Up(t.Context(), pgtest.URL(t, pool), kind, schema.Options{})
		require.ErrorIs(t, err, schema.ErrEncoding)
		require.ErrorContains(t, err, "is encoded in LATIN1")
		state, err := schema.Status(t.Context(), pgtest.URL(t, pool), kind)
		require.NoError(t, err)
		require.ErrorIs(t, state.Refused(), schema.ErrEncoding)
		_, err = schema.UpToDate(t.Context(), pool, kind)
		require.ErrorIs(t, err, schema.ErrEncoding)
	}
}
