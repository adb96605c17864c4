package pgdb_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestOpen(t *testing.T) {
	t.Parallel()

	t.Run("SetsTheSession", func(t *testing.T) {
		t.Parallel()
		pool, err := pgdb.Open(t.Context(), pgtest.ServerURL(t), pgdb.Options{
			ApplicationName: "station", MaxConns: 3, MinConns: 7, ConnectTimeout: time.Second, MaxConnIdleTime: time.Minute,
			RuntimeParams: map[string]string{"statement_timeout": "1234ms"},
		})
		require.NoError(t, err)
		defer pool.Close()
		var name, timeout string
		require.NoError(t, pool.QueryRow(t.Context(),
			`SELECT current_setting('application_name'), current_setting('statement_timeout')`).Scan(&name, &timeout))
		require.Equal(t, "station", name)
		require.Equal(t, "1234ms", timeout)
		config := pool.Config()
		require.EqualValues(t, 3, config.MaxConns)
		require.EqualValues(t, 3, config.MinConns, "never more than MaxConns")
		require.Equal(t, time.Second, config.ConnConfig.ConnectTimeout)
		require.Equal(t, time.Minute, config.MaxConnIdleTime)
	})

	t.Run("NothingTimesOutByItself", func(t *testing.T) {
		t.Parallel()
		// Whatever timeouts a session of this version of PostgreSQL knows.
		const timeouts = `SELECT name FROM pg_settings WHERE context = 'user' AND name LIKE '%\_timeout' AND category = 'Client Connection Defaults / Statement Behavior'`
		admin := pgtest.Empty(t)
		rows, err := admin.Query(t.Context(), timeouts)
		require.NoError(t, err)
		names, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Subset(t, names, []string{"statement_timeout", "idle_in_transaction_session_timeout"})
		for _, name := range names {
			_, err := admin.Exec(t.Context(), `ALTER DATABASE `+pgx.Identifier{admin.Config().ConnConfig.Database}.Sanitize()+` SET `+name+` = '1h'`)
			require.NoError(t, err)
		}
		pool, err := pgdb.Open(t.Context(), pgtest.URL(t, admin), pgdb.Options{})
		require.NoError(t, err)
		defer pool.Close()
		rows, err = pool.Query(t.Context(), timeouts+` AND setting <> '0'`)
		require.NoError(t, err)
		left, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.Empty(t, left)
	})

	t.Run("HasDefaultsThatTheURLMayReplace", func(t *testing.T) {
		t.Parallel()
		for dsn, want := range map[string]struct {
			name    string
			timeout time.Duration
		}{
			"postgres://u@h/d": {"authsync", 10 * time.Second},
			"postgres://u@h/d?connect_timeout=3&application_name=mine": {"mine", 3 * time.Second},
		} {
			pool, err := pgdb.Open(t.Context(), dsn, pgdb.Options{})
			require.NoError(t, err, "the server is not asked")
			require.Equal(t, want.name, pool.Config().ConnConfig.RuntimeParams["application_name"])
			require.Equal(t, want.timeout, pool.Config().ConnConfig.ConnectTimeout)
			pool.Close()
		}
	})

	for _, dsn := range []string{
		"postgres://user:hunter2@host:notaport/db",
		"postgres://user:hun/ter2@host/db",
		"postgres://user:hunter2@host/db?pool_max_conns=hunter2",
		"postgres://user:hunter2%zz@host/db",
		"hunter2",
	} {
		t.Run("KeepsAnUnreadableURLToItself", func(t *testing.T) {
			t.Parallel()
			_, err := pgdb.Open(t.Context(), dsn, pgdb.Options{})
			require.ErrorIs(t, err, pgdb.ErrBadURL)
			require.NotContains(t, err.Error(), "hun")
			require.NotContains(t, err.Error(), "ter2")
		})
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	_, err := pgdb.Open(t.Context(), "postgres://user:hunter2@host/db?sslmode=verify-full&sslrootcert=/no/such/ca.pem", pgdb.Options{})
	require.ErrorContains(t, err, "/no/such/ca.pem")
	require.NotContains(t, err.Error(), "hunter2")

	other := errors.New("something else")
	require.Equal(t, other, pgdb.Redact(other))
	require.NoError(t, pgdb.Redact(nil))
}

func TestSafeURL(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://user:hunter2@host:6543/db?sslmode=disable": "postgres://user@host:6543/db",
		"postgres://user:hunter2@host/db":                      "postgres://user@host:5432/db",
		"postgres://user:hunter2@[::1]/db":                     "postgres://user@[::1]:5432/db",
		"postgres://user:hunter2@/db?host=/run/postgresql":     "postgres://user@/db?host=/run/postgresql",
		"postgres://user:hunter2@h1:1,h2:2/db":                 "postgres://user@h1:1/db",
		"postgres://user:hunter2@host/db?nonsense=1":           "(unreadable URL)",
		"host=h user=u password=hunter2 dbname=d":              "postgres://u@h:5432/d",
		"postgres://user:hunter2@host:notaport/db":             "(unreadable URL)",
	} {
		require.Equal(t, want, pgdb.SafeURL(dsn))
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()

	pool := pgtest.Empty(t)
	_, err := pool.Exec(t.Context(), `CREATE TABLE noted (n int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)`)
	require.NoError(t, err)
	note := func(ctx context.Context, tx pgx.Tx, n int) error {
		_, err := tx.Exec(ctx, `INSERT INTO noted VALUES ($1)`, n)
		return err
	}
	noted := func(t *testing.T, n int) bool {
		t.Helper()
		var found bool
		require.NoError(t, pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM noted WHERE n = $1)`, n).Scan(&found))
		return found
	}

	t.Run("Commits", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error { return note(t.Context(), tx, 1) }))
		require.True(t, noted(t, 1))
	})

	t.Run("RollsBackOnAnError", func(t *testing.T) {
		t.Parallel()
		cause := errors.New("changed my mind")
		err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return errors.Join(note(t.Context(), tx, 2), cause)
		})
		require.ErrorIs(t, err, cause)
		require.False(t, noted(t, 2))
	})

	t.Run("RollsBackOnAPanic", func(t *testing.T) {
		t.Parallel()
		require.PanicsWithValue(t, "oops", func() {
			_ = pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
				require.NoError(t, note(t.Context(), tx, 3))
				panic("oops")
			})
		})
		require.False(t, noted(t, 3))
	})

	t.Run("RollsBackWhenTheCallerIsGone", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		err := pgdb.InTx(ctx, pool, func(tx pgx.Tx) error {
			defer cancel()
			return note(ctx, tx, 4)
		})
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, noted(t, 4))
	})

	t.Run("KeepsTheConnectionOfACallerWhoIsGone", func(t *testing.T) {
		t.Parallel()
		conn, err := pgx.Connect(t.Context(), pgtest.URL(t, pool))
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		err = pgdb.InTx(ctx, conn, func(pgx.Tx) error {
			cancel()
			return ctx.Err()
		})
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, conn.Ping(t.Context()))
	})

	t.Run("ReportsAFailedCommit", func(t *testing.T) {
		t.Parallel()
		err := pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			return errors.Join(note(t.Context(), tx, 5), note(t.Context(), tx, 5)) // the key is deferred
		})
		require.ErrorContains(t, err, "commit transaction")
		require.Equal(t, "23505", pgdb.Code(err))
		require.False(t, noted(t, 5))
	})

	t.Run("IsASavepointInATransaction", func(t *testing.T) {
		t.Parallel()
		require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
			err := pgdb.InTx(t.Context(), tx, func(inner pgx.Tx) error {
				return errors.Join(note(t.Context(), inner, 6), errors.New("only the inner one"))
			})
			require.Error(t, err)
			return note(t.Context(), tx, 7)
		}))
		require.False(t, noted(t, 6))
		require.True(t, noted(t, 7))
	})
}
