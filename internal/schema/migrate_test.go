package schema_test

import (
	"regexp"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// twoMigrations returns a source whose second migration is the given one.
func twoMigrations(up, down string) schema.Source {
	return schema.NewSource(schema.Project, fstest.MapFS{
		"project/000001_first.up.sql":    {Data: []byte("CREATE TABLE capydb_auth.first (n int);\nINSERT INTO capydb_auth.first VALUES (1), (1);")},
		"project/000001_first.down.sql":  {Data: []byte("DROP TABLE capydb_auth.first;")},
		"project/000007_second.up.sql":   {Data: []byte(up)},
		"project/000007_second.down.sql": {Data: []byte(down)},
	}, fstest.MapFS{})
}

func TestFailedMigration(t *testing.T) {
	t.Parallel()
	const good = "CREATE TABLE capydb_auth.second (n int);"

	t.Run("LeavesNothingAndCanBeRunAgain", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		bad := twoMigrations(good+"\nCREATE TABLE capydb_auth.third (n no_such_type);", "")
		report, err := bad.Up(t.Context(), dsn, schema.Options{})
		require.ErrorContains(t, err, "000007_second.up.sql: line 2")
		require.ErrorContains(t, err, "no_such_type")
		require.NotContains(t, err.Error(), "CREATE TABLE", "the file is not repeated")
		require.NotErrorIs(t, err, schema.ErrDirty)
		require.Zero(t, report.To)
		require.Equal(t, []string{"first", "schema_code", "schema_migrations", "schema_objects"}, tables(t, pool))

		report, err = twoMigrations(good, "").Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
		require.Equal(t, uint(1), report.From)
		require.Equal(t, uint(7), report.To)
	})

	t.Run("WaitsForALockOnlySoLong", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		_, err := twoMigrations("SELECT 1/0", "").Up(t.Context(), dsn, schema.Options{})
		require.Error(t, err)
		source := twoMigrations("ALTER TABLE capydb_auth.first ADD COLUMN m int;", "")
		reader, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = reader.Exec(t.Context(), `SELECT FROM capydb_auth.first`)
		require.NoError(t, err)
		_, err = source.Up(t.Context(), dsn, schema.Options{LockTimeout: 50 * time.Millisecond})
		require.True(t, pgdb.Retryable(err), "%v", err)
		require.NoError(t, reader.Rollback(t.Context()))
		_, err = source.Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
	})

	t.Run("BecauseANameHasNoSchemaPutsNothingElsewhere", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		_, err := twoMigrations("CREATE TABLE second (n int)", "").Up(t.Context(), pgtest.URL(t, pool), schema.Options{})
		require.Equal(t, "3F000", pgdb.Code(err))
	})

	t.Run("GoingDownLeavesWhatWas", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		source := twoMigrations(good, "DROP TABLE capydb_auth.second; DROP TABLE capydb_auth.no_such_table;")
		_, err := source.Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
		_, err = source.Down(t.Context(), dsn, 1)
		require.ErrorContains(t, err, "000007_second.down.sql")
		report, err := twoMigrations(good, "DROP TABLE capydb_auth.second").Down(t.Context(), dsn, 2)
		require.NoError(t, err, "it is not dirty")
		require.Equal(t, uint(7), report.From)
		require.Zero(t, report.To)
	})

	t.Run("WithoutATransactionNeedsAPerson", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		source := twoMigrations("-- Why: …\nCREATE UNIQUE INDEX CONCURRENTLY first_n_idx ON capydb_auth.first (n);", "")
		_, err := source.Up(t.Context(), dsn, schema.Options{})
		require.ErrorIs(t, err, schema.ErrDirty)
		require.Equal(t, "23505", pgdb.Code(err), "the cause is not lost")
		_, err = source.Up(t.Context(), dsn, schema.Options{})
		require.ErrorIs(t, err, schema.ErrDirty)
		current, upErr := source.UpToDate(t.Context(), pool)
		require.NoError(t, upErr, "another process might be at it")
		require.False(t, current)

		// The repair that the error suggests works.
		execute(t, pool, `DROP INDEX capydb_auth.first_n_idx; DELETE FROM capydb_auth.first`)
		repair := regexp.MustCompile(`UPDATE \S+ SET version = 1, dirty = false;`).FindString(err.Error())
		require.NotEmpty(t, repair)
		execute(t, pool, repair)
		_, err = source.Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
	})
}

func TestMigrationWhoseEndWasNotNoted(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		pool := pgtest.Empty(t)
		dsn := pgtest.URL(t, pool)
		_, err := schema.Up(t.Context(), dsn, kind, schema.Options{})
		require.NoError(t, err)
		execute(t, pool, `UPDATE `+kind.Name()+`.schema_migrations SET version = 1, dirty = true`) // as a killed process leaves it
		_, err = schema.Up(t.Context(), dsn, kind, schema.Options{})
		require.ErrorIs(t, err, schema.ErrDirty)
		require.ErrorContains(t, err, `DELETE FROM "`+kind.Name()+`"."schema_migrations";`, "the way back, before the first")
		state, err := schema.Status(t.Context(), dsn, kind)
		require.NoError(t, err)
		require.True(t, state.Dirty)
		require.False(t, state.UpToDate())
		_, err = schema.Down(t.Context(), dsn, kind, 1, schema.Options{})
		require.ErrorIs(t, err, schema.ErrDirty)
	}
}
