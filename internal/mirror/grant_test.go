package mirror_test

import (
	"context"
	"crypto/rand"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/pgtest"
)

// newRole makes a role that may log in and nothing else, and returns a connection of it.
func newRole(t *testing.T, pool *pgxpool.Pool) (*pgx.Conn, string) {
	t.Helper()
	role := "Reader " + strings.ToLower(rand.Text()[:12]) // a name that needs quotes
	name := pgx.Identifier{role}.Sanitize()
	execute(t, pool, `CREATE ROLE `+name+` LOGIN PASSWORD 'secret'`)
	u, err := url.Parse(pgtest.URL(t, pool))
	require.NoError(t, err)
	u.User = url.UserPassword(role, "secret")
	conn, err := pgx.Connect(t.Context(), u.String())
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close(context.Background()))
	})
	t.Cleanup(func() {
		_, err := pool.Exec(context.Background(), `DROP OWNED BY `+name+` CASCADE; DROP ROLE `+name)
		require.NoError(t, err)
	})
	return conn, role
}

func execute(t *testing.T, pool *pgxpool.Pool, sql string) {
	t.Helper()
	_, err := pool.Exec(t.Context(), sql)
	require.NoError(t, err)
}

func TestGrant(t *testing.T) {
	t.Parallel()

	t.Run("AReaderReadsAndEnsuresAndNothingMore", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		conn, role := newRole(t, pool)
		m := newMirrors(t, pool)
		_, err := conn.Exec(t.Context(), `SELECT FROM capydb_auth.users`)
		require.Equal(t, pgerrcode.InsufficientPrivilege, pgdb.Code(err))
		execute(t, pool, `GRANT CREATE ON SCHEMA capydb_auth TO "`+role+`"; GRANT ALL ON capydb_auth.users TO "`+role+`"`)

		first, err := m.Grant(t.Context(), projectID(), role)
		require.NoError(t, err)
		second, err := m.Grant(t.Context(), projectID(), role)
		require.NoError(t, err)
		require.Equal(t, first, second, "it is repeatable")
		require.Contains(t, first, "SELECT ON capydb_auth.users")

		for _, allowed := range []string{
			`SELECT * FROM capydb_auth.users`, `SELECT * FROM capydb_auth.user_changes`, `SELECT * FROM capydb_auth.user_sources`,
			`SELECT * FROM capydb_auth.placeholders`, `SELECT capydb_auth.ensure_user('u1')`,
		} {
			_, err := conn.Exec(t.Context(), allowed)
			require.NoError(t, err, allowed)
		}
		for _, refused := range []string{
			`INSERT INTO capydb_auth.users (id) VALUES ('u2')`, `UPDATE capydb_auth.users SET email = 'x'`, `DELETE FROM capydb_auth.users`,
			`TRUNCATE capydb_auth.users`, `UPDATE capydb_auth.user_changes SET kind = 'created'`, `SELECT FROM capydb_auth.processed_events`,
			`SELECT FROM capydb_auth.user_versions`, `SELECT FROM capydb_auth.schema_code`, `CREATE TABLE capydb_auth.mine (n int)`,
			`SELECT capydb_auth.apply_events('[]')`, `SELECT capydb_auth.apply_round('{}')`, `ALTER TABLE capydb_auth.users ADD n int`,
			`UPDATE capydb_auth.user_sources SET value = 'x'`, `DELETE FROM capydb_auth.placeholders`,
		} {
			_, err := conn.Exec(t.Context(), refused)
			require.Error(t, err, refused)
			require.Contains(t, []string{pgerrcode.InsufficientPrivilege, pgerrcode.ObjectNotInPrerequisiteState}, pgdb.Code(err), refused)
		}
	})

	t.Run("WhoMayWriteAnywayIsRefused", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		_, role := newRole(t, pool)
		m := newMirrors(t, pool)
		var refused *mirror.GrantError
		for name, says := range map[string]string{
			"nobody_of_that_name": "has no role", "public": "has no role", "": "has no role",
			pool.Config().ConnConfig.User: "owns the mirror",
		} {
			_, err := m.Grant(t.Context(), projectID(), name)
			require.ErrorAs(t, err, &refused)
			require.ErrorContains(t, err, says)
		}
		execute(t, pool, `GRANT UPDATE (email) ON capydb_auth.users TO PUBLIC`)
		_, err := m.Grant(t.Context(), projectID(), role)
		require.ErrorAs(t, err, &refused)
		require.ErrorContains(t, err, "UPDATE on capydb_auth.users, through PUBLIC")
		require.Equal(t, "false", one(t, pool, `SELECT has_table_privilege($1, 'capydb_auth.users', 'SELECT')::text`, role), "nothing was granted")
	})
}
