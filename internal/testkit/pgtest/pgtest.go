// Package pgtest gives tests real PostgreSQL databases. Only tests import it.
//
// Use Tx or TxProject unless something commits, listens or needs several
// connections: they cost 0.3 ms. Control, Project and Empty make a database of
// the test's own (some 50 ms), a clone of a template that is named by the hash
// of migrations and sql, so that all packages of a run share it.
//
// The server is the one that TEST_DATABASE_URL names (as superuser;
// scripts/test.sh starts one for a whole run); else every test process starts
// a throw-away server of its own, which ends with the process, however it ends.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// ServerConnections is AUTHSYNC_DATABASE_CONNECTIONS of servers under test: a new connection costs more than most of their statements,
// and each of many servers would open all that it may.
const ServerConnections = "6"

// Control returns a pool on a new control database, with all of schema authsync
// and River's tables. The database goes with the test, unless it failed.
func Control(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return database(tb, "control")
}

// Project returns a pool on a new project database with the mirror installed.
func Project(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return database(tb, "project")
}

// Empty returns a pool on a new database with nothing in it.
func Empty(tb testing.TB) *pgxpool.Pool {
	tb.Helper()
	return database(tb, "")
}

// OddSettings are settings that others may have given a role or database of theirs, and that must
// change nothing for our sessions.
func OddSettings() map[string]string {
	return map[string]string{
		"client_encoding": "LATIN1", "default_transaction_isolation": "serializable", "default_transaction_deferrable": "on",
		"synchronous_commit": "off", "timezone": "Asia/Kathmandu", "datestyle": "German", "intervalstyle": "sql_standard",
		"search_path": "nowhere", "standard_conforming_strings": "off", "escape_string_warning": "off", "bytea_output": "escape",
		"extra_float_digits": "-15", "array_nulls": "off", "transform_null_equals": "on", "quote_all_identifiers": "on", "row_security": "off",
		"statement_timeout": "5s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "5s", "idle_session_timeout": "5s",
		"check_function_bodies": "off", "default_tablespace": "nowhere", "session_replication_role": "replica", "exit_on_error": "on",
		"plpgsql.variable_conflict": "use_column", "lc_messages": "C", "client_min_messages": "debug1", "xmloption": "document",
	}
}

// Encoded returns a pool on a new, empty database in another encoding than UTF8.
func Encoded(tb testing.TB, encoding string) *pgxpool.Pool {
	tb.Helper()
	return create(tb, ` TEMPLATE template0 LOCALE_PROVIDER libc LC_COLLATE 'C' LC_CTYPE 'C' ENCODING '`+encoding+`'`)
}

// Collated returns a pool on a new, empty database that sorts texts as a language does, such as sv.
func Collated(tb testing.TB, language string) *pgxpool.Pool {
	tb.Helper()
	return create(tb, ` TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE '`+language+`' LC_COLLATE 'C.UTF-8' LC_CTYPE 'C.UTF-8' ENCODING 'UTF8'`)
}

// Tx returns a transaction in a control database that all tests share; it is
// rolled back when the test ends. Uncommitted rows of other tests are invisible,
// but their unique keys are not: a second insert of the same key waits for the
// other test to end. Use random names.
func Tx(tb testing.TB) pgx.Tx {
	tb.Helper()
	return begin(tb, "control")
}

// TxProject is Tx in a project database. apply_events takes a lock for the rest
// of the transaction, so tests that call it take turns.
func TxProject(tb testing.TB) pgx.Tx {
	tb.Helper()
	return begin(tb, "project")
}

// URL returns the connection URL of the pool's database, password included.
func URL(tb testing.TB, pool *pgxpool.Pool) string {
	tb.Helper()
	return withDatabase(tb, serverURL(tb), pool.Config().ConnConfig.Database)
}

// ServerURL returns the URL of the server's maintenance database, as superuser,
// for tests that make roles or databases.
func ServerURL(tb testing.TB) string {
	tb.Helper()
	return serverURL(tb)
}

// byFiles clones a template as its files are, at half the CPU of a clone by the log, since nothing waits for a disk; and
// the cache of its catalog is among them, which the first session would have to make.
const byFiles = ` STRATEGY file_copy`

// database makes a database for one test, a clone of the template of kind.
func database(tb testing.TB, kind string) *pgxpool.Pool {
	tb.Helper()
	if kind == "" {
		return create(tb, "")
	}
	return create(tb, ` TEMPLATE `+pgx.Identifier{template(tb, kind)}.Sanitize()+byFiles)
}

// create makes a database for one test, in the given way.
func create(tb testing.TB, how string) *pgxpool.Pool {
	tb.Helper()
	name := databaseName(tb)
	admin(tb, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+how)
	dsn := withDatabase(tb, serverURL(tb), name)
	tb.Cleanup(func() {
		if tb.Failed() {
			tb.Logf("the test's database is kept as long as its server runs (make db/up): psql '%s'", dsn)
			return
		}
		admin(tb, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
	})
	return open(tb, dsn)
}

func open(tb testing.TB, dsn string) *pgxpool.Pool {
	tb.Helper()
	pool, err := pgdb.Open(tb.Context(), dsn, pgdb.Options{
		ApplicationName: "pgtest", MaxConns: 8, RuntimeParams: map[string]string{"search_path": `"$user", public`},
	})
	require.NoError(tb, err)
	tb.Cleanup(func() {
		closed := make(chan struct{})
		go func() {
			pool.Close()
			close(closed)
		}()
		select {
		case <-closed:
		case <-time.After(waittest.Bound):
			tb.Error("the test left connections of its pool in use: close rows, release connections, end transactions")
		}
	})
	return pool
}

// databaseName makes a name that tells which test it was, and is unique.
func databaseName(tb testing.TB) string {
	tb.Helper()
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(tb.Name()), "_")
	return "t_" + name[:min(len(name), 48)] + "_" + strings.ToLower(rand.Text()[:10]) // at most 63 bytes
}

// admins are idle sessions in the maintenance database. A session costs as much as the database that it makes.
var admins = make(chan *pgx.Conn, 4) //nolint:gochecknoglobals // the server is as global

// admin runs a statement in the maintenance database.
func admin(tb testing.TB, statement string) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), waittest.Bound)
	defer cancel()
	var conn *pgx.Conn
	var err error
	select {
	case conn = <-admins:
	default:
		conn, err = pgx.Connect(ctx, serverURL(tb))
		require.NoError(tb, err)
	}
	defer keep(ctx, conn)
	_, err = conn.Exec(ctx, statement)
	require.NoError(tb, err)
}

func keep(ctx context.Context, conn *pgx.Conn) {
	if !conn.IsClosed() {
		select {
		case admins <- conn:
			return
		default: // there are enough
		}
	}
	_ = conn.Close(ctx)
}

func withDatabase(tb testing.TB, server, name string) string {
	tb.Helper()
	u, err := url.Parse(server)
	require.NoError(tb, err)
	u.Path = "/" + name
	return u.String()
}

// server is started on first use and serves all tests of the process.
var server = sync.OnceValues(func() (string, error) { //nolint:gochecknoglobals // one server a test process
	if dsn := os.Getenv("TEST_DATABASE_URL"); dsn != "" {
		return dsn, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	// Its watchdog ends it with this process.
	s, err := localpg.Start(ctx, localpg.Config{Throwaway: true, TCP: true})
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL for tests: %w", err)
	}
	return s.URL("postgres"), nil
})

func serverURL(tb testing.TB) string {
	tb.Helper()
	dsn, err := server()
	require.NoError(tb, err, "tests need PostgreSQL 15 or newer: its server programs, or TEST_DATABASE_URL of a superuser")
	return dsn
}

// begin starts a transaction in the shared database of kind.
func begin(tb testing.TB, kind string) pgx.Tx {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), withDatabase(tb, serverURL(tb), shared(tb, kind)))
	require.NoError(tb, err)
	ctx := context.WithoutCancel(tb.Context())
	tb.Cleanup(func() { require.NoError(tb, conn.Close(ctx)) })
	tx, err := conn.Begin(tb.Context())
	require.NoError(tb, err)
	tb.Cleanup(func() {
		if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			require.NoError(tb, err)
		}
	})
	return tx
}
