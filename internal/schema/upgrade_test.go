package schema_test

import (
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/migrations"
	"github.com/authsync/authsync/sql"
)

// firstRelease is a binary that knows the mirror's first migration and a view.
func firstRelease(t *testing.T) schema.Source {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"project/000001_create_users.up.sql", "project/000001_create_users.down.sql"} {
		text, err := fs.ReadFile(migrations.Project, name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	return schema.NewSource(schema.Project, files, fstest.MapFS{
		"project/revision":               {Data: []byte("1 first\n")},
		"project/views/user_sources.sql": {Data: []byte(view("user_sources", "SELECT id AS user_id FROM capydb_auth.users"))},
	})
}

// nextRelease is a binary that knows one more column and index of users than this one.
func nextRelease(t *testing.T) schema.Source {
	t.Helper()
	files := fstest.MapFS{
		"project/000900_add_locale_to_users.up.sql": {Data: []byte(`
			ALTER TABLE capydb_auth.users ADD COLUMN locale text;
			CREATE INDEX users_locale_idx ON capydb_auth.users (locale);`)},
		"project/000900_add_locale_to_users.down.sql": {Data: []byte(`ALTER TABLE capydb_auth.users DROP COLUMN locale`)},
	}
	names, err := fs.Glob(migrations.Project, "project/*")
	require.NoError(t, err)
	for _, name := range names {
		text, err := fs.ReadFile(migrations.Project, name)
		require.NoError(t, err)
		files[name] = &fstest.MapFile{Data: text}
	}
	return schema.NewSource(schema.Project, files, sql.Project)
}

// TestWhatTheCustomerBuiltOnTheMirrorSurvivesAnUpgrade upgrades a mirror that the customer's own
// tables, views and triggers depend on.
func TestWhatTheCustomerBuiltOnTheMirrorSurvivesAnUpgrade(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	dsn := pgtest.URL(t, pool)
	_, err := firstRelease(t).Up(t.Context(), dsn, schema.Options{})
	require.NoError(t, err)
	execute(t, pool, `
		INSERT INTO capydb_auth.users (id, email, provider, last_event_processed) VALUES ('u1', 'ada@example.com', 'clerk', now());
		CREATE TABLE orders (user_id text NOT NULL CONSTRAINT orders_user_fkey REFERENCES capydb_auth.users (id) ON DELETE RESTRICT);
		INSERT INTO orders VALUES ('u1');
		CREATE VIEW customers AS SELECT u.*, (SELECT count(*) FROM orders WHERE user_id = u.id) AS orders FROM capydb_auth.users AS u;
		CREATE MATERIALIZED VIEW domains AS SELECT split_part(email, '@', 2) AS domain FROM capydb_auth.users;
		CREATE TABLE seen (id text);
		CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.seen VALUES (NEW.id); RETURN NEW; END';
		CREATE TRIGGER note_user AFTER INSERT OR UPDATE ON capydb_auth.users FOR EACH ROW EXECUTE FUNCTION note();
		CREATE INDEX users_lower_email ON capydb_auth.users (lower(email));
		GRANT SELECT ON capydb_auth.users TO PUBLIC`)

	thisRelease := schema.SourceOf(schema.Project)
	for _, release := range []schema.Source{thisRelease, nextRelease(t), nextRelease(t)} { // two upgrades, and a reapplication of the code
		_, err = release.Up(t.Context(), dsn, schema.Options{})
		require.NoError(t, err)
		execute(t, pool, `TRUNCATE seen; INSERT INTO orders VALUES (capydb_auth.ensure_user('u2'))`)
		require.Equal(t, []string{"u2"}, list(t, pool, `SELECT id FROM seen`), "the trigger fires")
		require.Equal(t, []string{"u1 1", "u2 1"}, list(t, pool, `SELECT concat_ws(' ', id, orders) FROM customers ORDER BY 1`))
		_, err = pool.Exec(t.Context(), `INSERT INTO orders VALUES ('nobody')`)
		require.ErrorContains(t, err, "orders_user_fkey")
		_, err = pool.Exec(t.Context(), `DELETE FROM capydb_auth.users WHERE id = 'u1'`)
		require.ErrorContains(t, err, "orders_user_fkey")
		execute(t, pool, `REFRESH MATERIALIZED VIEW domains`)
		require.Len(t, list(t, pool, `SELECT indexname::text FROM pg_indexes WHERE indexname = 'users_lower_email'`), 1)
		require.Equal(t, []string{"true"}, list(t, pool, `SELECT (relacl::text LIKE '%{=r/%' OR relacl::text LIKE '%,=r/%')::text
			FROM pg_class WHERE oid = 'capydb_auth.users'::regclass`), "what was granted stays")
		execute(t, pool, `DELETE FROM orders WHERE user_id = 'u2'; DELETE FROM capydb_auth.users WHERE id = 'u2';
			UPDATE capydb_auth.schema_code SET hash = 'other'`)
	}
	require.Equal(t, []string{"900"}, list(t, pool, `SELECT version::text FROM capydb_auth.schema_migrations`))
}

func TestNobodyButTheOwnerMayCallOurFunctions(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	require.Empty(t, list(t, pool, `
		SELECT p.oid::regprocedure::text
		FROM pg_proc AS p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
		WHERE p.pronamespace = 'capydb_auth'::regnamespace AND a.grantee <> p.proowner`))
}
