package pgtest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/waittest"
	"github.com/authsync/authsync/migrations"
	"github.com/authsync/authsync/sql"
)

// names caches, for this process, the databases that are known to be ready.
var names sync.Map //nolint:gochecknoglobals // the server is as global

// template returns the name of the template database of kind, which it makes if
// no process has made it yet.
func template(tb testing.TB, kind string) string {
	tb.Helper()
	name := "template_" + kind + "_" + schemaHash(tb)
	ready(tb, name, func(ctx context.Context, conn *pgx.Conn, unfinished string) {
		execute(ctx, tb, conn, `CREATE DATABASE `+unfinished)
		_, err := schema.Up(ctx, withDatabase(tb, serverURL(tb), unfinished), schema.Kind(kind), schema.Options{})
		require.NoError(tb, err)
	})
	return name
}

// shared returns the name of the database of kind for tests that roll back.
func shared(tb testing.TB, kind string) string {
	tb.Helper()
	from := template(tb, kind)
	name := "shared_" + kind + "_" + schemaHash(tb)
	ready(tb, name, func(ctx context.Context, conn *pgx.Conn, unfinished string) {
		execute(ctx, tb, conn, `CREATE DATABASE `+unfinished+` TEMPLATE `+from)
	})
	return name
}

// ready makes database name unless it exists, once among all test processes. It
// is made under another name and renamed at the end: what exists is complete.
func ready(tb testing.TB, name string, build func(ctx context.Context, conn *pgx.Conn, unfinished string)) {
	tb.Helper()
	if _, ok := names.Load(name); ok {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), waittest.Bound)
	defer cancel()
	conn, err := pgx.Connect(ctx, serverURL(tb))
	require.NoError(tb, err)
	defer conn.Close(ctx)
	// Given back by the end of the session.
	execute(ctx, tb, conn, `SELECT pg_advisory_lock(hashtextextended($1, 0))`, name)
	var exists bool
	require.NoError(tb, conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists))
	if !exists {
		unfinished := name + "_new"
		execute(ctx, tb, conn, `DROP DATABASE IF EXISTS `+unfinished+` WITH (FORCE)`)
		build(ctx, conn, unfinished)
		execute(ctx, tb, conn, `ALTER DATABASE `+unfinished+` RENAME TO `+name)
	}
	names.Store(name, true)
}

func execute(ctx context.Context, tb testing.TB, conn *pgx.Conn, statement string, args ...any) {
	tb.Helper()
	_, err := conn.Exec(ctx, statement, args...)
	require.NoError(tb, err)
}

// schemaHash names the state of migrations/ and sql/ that this binary was built from.
func schemaHash(tb testing.TB) string {
	tb.Helper()
	digest := sha256.New()
	for _, tree := range []fs.FS{migrations.Control, migrations.Project, sql.Control, sql.Project} {
		err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fs.ReadFile(tree, name)
			digest.Write([]byte(name + "\x00"))
			digest.Write(text)
			return err
		})
		require.NoError(tb, err)
	}
	return hex.EncodeToString(digest.Sum(nil))[:12]
}
