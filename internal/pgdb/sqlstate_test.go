package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/url"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestClassesOfSQLSTATEs(t *testing.T) {
	t.Parallel()
	const unavailable, retryable, neither = "unavailable", "retryable", "neither"
	for code, want := range map[string]string{
		"08006": unavailable, // connection_failure
		"25006": unavailable, // read_only_sql_transaction
		"25P03": unavailable, // idle_in_transaction_session_timeout
		"25P04": unavailable, // transaction_timeout
		"28000": unavailable, // invalid_authorization_specification
		"28P01": unavailable, // invalid_password
		"3D000": unavailable, // invalid_catalog_name
		"53100": unavailable, // disk_full
		"53200": unavailable, // out_of_memory
		"53300": unavailable, // too_many_connections
		"57P01": unavailable, // admin_shutdown
		"57P02": unavailable, // crash_shutdown
		"57P03": unavailable, // cannot_connect_now
		"57P04": unavailable, // database_dropped
		"57P05": unavailable, // idle_session_timeout
		"58030": unavailable, // io_error
		"40001": retryable,   // serialization_failure
		"40P01": retryable,   // deadlock_detected
		"55P03": retryable,   // lock_not_available
		"22P02": neither,     // invalid_text_representation
		"23505": neither,     // unique_violation
		"25P02": neither,     // in_failed_sql_transaction
		"42P01": neither,     // undefined_table
		"42501": neither,     // insufficient_privilege
		"57014": neither,     // query_canceled, by statement_timeout
		"US001": neither,     // our own
		"XX000": neither,     // internal_error
		"08":    neither,     // no SQLSTATE
	} {
		err := fmt.Errorf("apply events: %w", &pgconn.PgError{Code: code})
		require.Equal(t, code, pgdb.Code(err))
		require.Equal(t, want == unavailable, pgdb.Unavailable(err), code)
		require.Equal(t, want == retryable, pgdb.Retryable(err), code)
	}
}

func TestUnavailable(t *testing.T) {
	t.Parallel()

	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"NoError":                {nil, false},
		"AnyError":               {errors.New("our bug"), false},
		"CancelledByTheCaller":   {fmt.Errorf("query: %w", context.Canceled), false},
		"DeadlineWhileWaiting":   {fmt.Errorf("query: %w", context.DeadlineExceeded), true},
		"ConnectionCutWhileRead": {fmt.Errorf("query: %w", io.ErrUnexpectedEOF), true},
		"NetworkError":           {&net.OpError{Op: "read", Err: errors.New("no route to host")}, true},
		"ClosedConnection":       {fmt.Errorf("query: %w", pgconn.ErrConnClosed), true},
		"ConnectionReset":        {fmt.Errorf("write: %w", syscall.ECONNRESET), true},
		"BrokenPipe":             {fmt.Errorf("write: %w", syscall.EPIPE), true},
		"ConnectionEnded":        {fmt.Errorf("read: %w", io.EOF), true},
		"SocketClosed":           {fmt.Errorf("read: %w", net.ErrClosed), true},
		"UnreadableFile":         {&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, false},
		"NoRows":                 {pgx.ErrNoRows, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, pgdb.Unavailable(c.err))
			require.Empty(t, pgdb.Code(c.err))
			require.False(t, pgdb.Retryable(c.err))
		})
	}
}

// TestUnavailableServer collects the errors of a server in each state of trouble.
func TestUnavailableServer(t *testing.T) {
	t.Parallel()

	t.Run("Stopped", func(t *testing.T) {
		t.Parallel()
		server, err := localpg.Start(t.Context(), localpg.Config{Throwaway: true, TCP: true})
		require.NoError(t, err)
		pool, err := pgdb.Open(t.Context(), server.URL("postgres"), pgdb.Options{MaxConns: 1})
		require.NoError(t, err)
		defer pool.Close()
		require.NoError(t, ping(t, pool))

		asleep := make(chan error, 1)
		go func() {
			_, err := pool.Exec(t.Context(), `SELECT pg_sleep(60)`)
			asleep <- err
		}()
		waittest.Until(t, func() bool { return pool.Stat().AcquiredConns() == 1 })
		server.Kill()
		require.True(t, pgdb.Unavailable(<-asleep), "killed under a statement")
		err = ping(t, pool)
		require.True(t, pgdb.Unavailable(err), "nobody listens: %v", err)

		require.NoError(t, server.Restart(t.Context()))
		require.NoError(t, ping(t, pool), "it is back")
		require.NoError(t, server.Stop(t.Context()))
		err = ping(t, pool)
		require.True(t, pgdb.Unavailable(err), "stopped in order: %v", err)
	})

	t.Run("HangsAfterAccept", func(t *testing.T) {
		t.Parallel()
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer listener.Close()
		dsn := "postgres://u@" + listener.Addr().String() + "/d?sslmode=disable"
		pool, err := pgdb.Open(t.Context(), dsn, pgdb.Options{ConnectTimeout: 50 * time.Millisecond})
		require.NoError(t, err)
		defer pool.Close()
		err = ping(t, pool)
		require.True(t, pgdb.Unavailable(err), "%v", err)
	})

	t.Run("DatabaseThatTakesNoConnections", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		name := pool.Config().ConnConfig.Database
		admin, err := pgdb.Open(t.Context(), pgtest.ServerURL(t), pgdb.Options{MaxConns: 1})
		require.NoError(t, err)
		defer admin.Close()
		allow := func(ctx context.Context, yes string) {
			_, err := admin.Exec(ctx, `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` ALLOW_CONNECTIONS `+yes)
			require.NoError(t, err)
		}
		allow(t.Context(), "false")
		defer allow(context.WithoutCancel(t.Context()), "true")
		pool.Reset()
		err = ping(t, pool)
		require.Equal(t, "55000", pgdb.Code(err))
		require.True(t, pgdb.Unavailable(err), "%v", err)
		_, err = admin.Exec(t.Context(), `SELECT lastval()`)
		require.Equal(t, "55000", pgdb.Code(err))
		require.False(t, pgdb.Unavailable(err), "of a statement it is its own fault")
	})

	t.Run("AllConnectionsOfThePoolAreInUse", func(t *testing.T) {
		t.Parallel()
		pool, err := pgdb.Open(t.Context(), pgtest.ServerURL(t), pgdb.Options{MaxConns: 1})
		require.NoError(t, err)
		defer pool.Close()
		conn, err := pool.Acquire(t.Context())
		require.NoError(t, err)
		defer conn.Release()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		require.True(t, pgdb.Unavailable(pool.Ping(ctx)))
	})

	for name, change := range map[string]func(u *url.URL){
		"WrongPassword": func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong") },
		"NoSuchRole":    func(u *url.URL) { u.User = url.UserPassword("nobody_of_that_name", "x") },
		"NoSuchDatabase": func(u *url.URL) {
			u.Path = "/no_database_of_that_name"
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := url.Parse(pgtest.ServerURL(t))
			require.NoError(t, err)
			change(u)
			pool, err := pgdb.Open(t.Context(), u.String(), pgdb.Options{})
			require.NoError(t, err)
			defer pool.Close()
			_, err = pool.Exec(t.Context(), `CREATE TABLE never (n int)`)
			require.True(t, pgdb.Unavailable(err), "%v", err)
			require.NotEmpty(t, pgdb.Code(err))
		})
	}

	t.Run("ReadOnly", func(t *testing.T) {
		t.Parallel()
		pool, err := pgdb.Open(t.Context(), pgtest.ServerURL(t), pgdb.Options{RuntimeParams: map[string]string{"default_transaction_read_only": "on"}})
		require.NoError(t, err)
		defer pool.Close()
		_, err = pool.Exec(t.Context(), `CREATE TABLE never (n int)`)
		require.True(t, pgdb.Unavailable(err), "%v", err)
		require.Contains(t, pgdb.Describe(err), "the database is read-only: it is a standby, or default_transaction_read_only is set")
	})

	t.Run("CallerWentAway", func(t *testing.T) {
		t.Parallel()
		conn, err := pgx.Connect(t.Context(), pgtest.ServerURL(t))
		require.NoError(t, err)
		defer conn.Close(context.WithoutCancel(t.Context()))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = conn.Exec(ctx, `SELECT 1`)
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, pgdb.Unavailable(err))
		_, err = pgx.Connect(ctx, pgtest.ServerURL(t))
		require.ErrorIs(t, err, context.Canceled)
		require.False(t, pgdb.Unavailable(err))
	})

	t.Run("StatementTimeoutIsTheStatementsFault", func(t *testing.T) {
		t.Parallel()
		pool, err := pgdb.Open(t.Context(), pgtest.ServerURL(t), pgdb.Options{RuntimeParams: map[string]string{"statement_timeout": "10ms"}})
		require.NoError(t, err)
		defer pool.Close()
		_, err = pool.Exec(t.Context(), `SELECT pg_sleep(10)`)
		require.Equal(t, "57014", pgdb.Code(err))
		require.False(t, pgdb.Unavailable(err))
	})
}

func ping(t *testing.T, pool *pgxpool.Pool) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	return pool.Ping(ctx)
}
