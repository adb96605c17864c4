package pgtest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestDatabases(t *testing.T) {
	t.Parallel()

	t.Run("ControlHasInboxAndJobs", func(t *testing.T) {
		t.Parallel()
		var n int
		require.NoError(t, pgtest.Control(t).QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox, authsync.river_job`).Scan(&n))
		require.Zero(t, n)
	})

	t.Run("ProjectHasMirror", func(t *testing.T) {
		t.Parallel()
		var n int
		require.NoError(t, pgtest.Project(t).QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users`).Scan(&n))
		require.Zero(t, n)
	})

	t.Run("EmptyHasNothing", func(t *testing.T) {
		t.Parallel()
		var n int
		require.NoError(t, pgtest.Empty(t).QueryRow(t.Context(),
			`SELECT count(*) FROM pg_namespace WHERE nspname IN ('authsync', 'capydb_auth')`).Scan(&n))
		require.Zero(t, n)
	})

	t.Run("TransactionsDoNotSeeEachOther", func(t *testing.T) {
		t.Parallel()
		one, other := pgtest.Tx(t), pgtest.Tx(t)
		_, err := one.Exec(t.Context(), `UPDATE authsync.directory_version SET version = 99`)
		require.NoError(t, err)
		var version int
		require.NoError(t, other.QueryRow(t.Context(), `SELECT version FROM authsync.directory_version`).Scan(&version))
		require.Equal(t, 1, version)
	})

	t.Run("URLOpensTheSameDatabase", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Empty(t)
		var name string
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name))
		require.Contains(t, pgtest.URL(t, pool), "/"+name+"?")
	})
}
