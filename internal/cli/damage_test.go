package cli

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// doctorSays runs doctor, and each of the commands that it names as the next step of the fault; after which all is well.
func (b *testBundle) doctorSays(t *testing.T, fault, next string, repair ...string) {
	t.Helper()
	r := b.run(t, "doctor")
	require.Equal(t, 1, r.status, r.out)
	require.Contains(t, r.out, fault)
	require.Contains(t, r.out, "next: "+next)
	if len(repair) == 0 {
		return
	}
	b.must(t, repair...)
	require.NotContains(t, b.run(t, "doctor").out, fault)
}

func TestDoctorSaysWhatIsDamaged(t *testing.T) {
	t.Parallel()

	t.Run("AFunctionOfTheMirror", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		execute(t, b.project, `DROP FUNCTION capydb_auth.apply_events(capydb_auth.event[])`)
		b.doctorSays(t, "project shop: function capydb_auth.apply_events(capydb_auth.event[]) is missing",
			"authsync integrations set shop auth0", "integrations", "set", "shop", "auth0")
	})

	t.Run("ATableOfTheMirror", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		execute(t, b.project, `DROP TABLE capydb_auth.processed_events`)
		b.doctorSays(t, "project shop: table capydb_auth.processed_events is missing", "restore it from a backup")
		r := b.run(t, "integrations", "set", "shop", "auth0")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "the schema is damaged: table capydb_auth.processed_events is missing", "the call says it too")
	})

	t.Run("TheWholeMirror", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|real", "--wait")
		execute(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
		require.NotContains(t, b.run(t, "doctor").out, "give the URL of the primary", "that is for a standby")
		b.doctorSays(t, "project shop: its database has no mirror (schema capydb_auth)",
			"restore the database from a backup, or authsync integrations set shop auth0", "integrations", "set", "shop", "auth0")
		b.must(t, "send", "shop", "auth0", "user.created", "--wait") // whoever writes next notices; so does a job, within a minute
		waittest.Until(t, func() bool { return b.run(t, "doctor").status == 0 })
		require.Contains(t, b.must(t, "explain", "shop", "auth0|real"), "auth0|real")
	})

	t.Run("TheControlDatabase", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		execute(t, b.control, `DROP VIEW authsync.inbox_days; CREATE VIEW authsync.inbox_days AS SELECT 1 AS n; DROP INDEX authsync.api_keys_project_id_idx`)
		r := b.run(t, "migrate", "status")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "damaged")
		require.Contains(t, r.out, "view authsync.inbox_days was changed")
		b.doctorSays(t, "control schema: view authsync.inbox_days was changed", "authsync migrate up")
		out := b.must(t, "migrate", "up")
		require.Contains(t, out, "repaired: index authsync.api_keys_project_id_idx is missing, view authsync.inbox_days was changed")
		require.Zero(t, b.run(t, "doctor").status)
	})

	t.Run("ANameThatSomebodyElseTook", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		execute(t, b.project, `
			DELETE FROM capydb_auth.schema_objects WHERE identity = 'capydb_auth.ensure_user(text)';
			CREATE OR REPLACE FUNCTION capydb_auth.ensure_user(p_id text) RETURNS text LANGUAGE sql AS 'SELECT ''theirs''';
			UPDATE capydb_auth.schema_code SET revision = 0, hash = 'of an older release'`)
		b.doctorSays(t, "project shop: function capydb_auth.ensure_user(text) has a name that authsync needs", "rename or drop it")
		r := b.run(t, "integrations", "set", "shop", "auth0")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "function capydb_auth.ensure_user(text) is there already but not authsync's")
		execute(t, b.project, `ALTER FUNCTION capydb_auth.ensure_user(text) RENAME TO ensure_my_user`)
		b.must(t, "integrations", "set", "shop", "auth0")
		require.Zero(t, b.run(t, "doctor").status)
	})

	t.Run("AnEncoding", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		latin := pgtest.Encoded(t, "LATIN1")
		b.env["LATIN_DATABASE_URL"] = pgtest.URL(t, latin)
		r := b.run(t, "projects", "create", "old", "--database-url-env", "LATIN_DATABASE_URL")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "is encoded in LATIN1")
		require.NotContains(t, b.must(t, "projects", "list"), "old")

		// One that is there already, as a copy of the cluster by other hands may have made it.
		_, err := b.project.Exec(t.Context(), `UPDATE pg_catalog.pg_database SET encoding = pg_char_to_encoding('LATIN1') WHERE datname = current_database()`)
		require.NoError(t, err)
		r = b.run(t, "doctor")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "is encoded in LATIN1")
		require.Contains(t, r.out, "ENCODING 'UTF8'")
	})
}
