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
)

// Control returns a pool on a new control database, with all of schema authsync
// and River's tables. The database goes with the test, unless it failed.
func Control(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return database(t, "control")
}

// Project returns a pool on a new project database with the mirror installed.
func Project(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return database(t, "project")
}

// Empty returns a pool on a new database with nothing in it.
func Empty(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return database(t, "")
}

// Tx returns a transaction in a control database that all tests share; it is
// rolled back when the test ends. Uncommitted rows of other tests are invisible,
// but their unique keys are not: a second insert of the same key waits for the
// other test to end. Use random names.
func Tx(t testing.TB) pgx.Tx {
	t.Helper()
	return begin(t, "control")
}

// TxProject is Tx in a project database. apply_events takes a lock for the rest
// of the transaction, so tests that call it take turns.
func TxProject(t testing.TB) pgx.Tx {
	t.Helper()
	return begin(t, "project")
}

// URL returns the connection URL of the pool's database, password included.
func URL(t testing.TB, pool *pgxpool.Pool) string {
	t.Helper()
	return withDatabase(t, serverURL(t), pool.Config().ConnConfig.Database)
}

// ServerURL returns the URL of the server's maintenance database, as superuser,
// for tests that make roles or databases.
func ServerURL(t testing.TB) string {
	t.Helper()
	return serverURL(t)
}

// database makes a database for one test, a clone of the template of kind.
func database(t testing.TB, kind string) *pgxpool.Pool {
	t.Helper()
	name := databaseName(t)
	create := `CREATE DATABASE ` + pgx.Identifier{name}.Sanitize()
	if kind != "" {
		create += ` TEMPLATE ` + pgx.Identifier{template(t, kind)}.Sanitize()
	}
	admin(t, create)
	dsn := withDatabase(t, serverURL(t), name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the test's database is kept as long as its server runs (make db/up): psql '%s'", dsn)
			return
		}
		admin(t, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
	})
	return open(t, dsn)
}

func open(t testing.TB, dsn string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgdb.Open(t.Context(), dsn, pgdb.Options{ApplicationName: "pgtest", MaxConns: 8})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// databaseName makes a name that tells which test it was, and is unique.
func databaseName(t testing.TB) string {
	t.Helper()
	name := regexp.MustCompile(`[^a-z0-9]+`).ReplaceAllString(strings.ToLower(t.Name()), "_")
	return "t_" + name[:min(len(name), 48)] + "_" + strings.ToLower(rand.Text()[:10]) // at most 63 bytes
}

// admin runs a statement in the maintenance database.
func admin(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, serverURL(t))
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	require.NoError(t, err)
}

func withDatabase(t testing.TB, server, name string) string {
	t.Helper()
	u, err := url.Parse(server)
	require.NoError(t, err)
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
	s, err := localpg.Start(ctx, localpg.Config{Throwaway: true})
	if err != nil {
		return "", fmt.Errorf("start PostgreSQL for tests: %w", err)
	}
	return s.URL("postgres"), nil
})

func serverURL(t testing.TB) string {
	t.Helper()
	dsn, err := server()
	require.NoError(t, err, "tests need PostgreSQL 15 or newer: its server programs, or TEST_DATABASE_URL of a superuser")
	return dsn
}

// begin starts a transaction in the shared database of kind.
func begin(t testing.TB, kind string) pgx.Tx {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), withDatabase(t, serverURL(t), shared(t, kind)))
	require.NoError(t, err)
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() { require.NoError(t, conn.Close(ctx)) })
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() {
		if err := tx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
			require.NoError(t, err)
		}
	})
	return tx
}
