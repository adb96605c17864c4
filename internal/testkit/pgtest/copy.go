package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Copy makes a copy of the pool's database, as a backup would, and returns its name. Whoever is connected is thrown
// out: what is in the copy is what was committed by then. It goes with the test.
func Copy(tb testing.TB, pool *pgxpool.Pool) (name string) {
	tb.Helper()
	name = databaseName(tb)
	from := pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()
	throwOut(tb, pool.Config().ConnConfig.Database)
	admin(tb, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE `+from)
	admin(tb, `ALTER DATABASE `+from+` ALLOW_CONNECTIONS true`)
	tb.Cleanup(func() { admin(tb, `DROP DATABASE IF EXISTS `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`) })
	pool.Reset()
	return name
}

// Restore puts a copy in the place of the pool's database, whose state is gone then.
func Restore(tb testing.TB, pool *pgxpool.Pool, from string) {
	tb.Helper()
	name := pool.Config().ConnConfig.Database
	throwOut(tb, name)
	admin(tb, `DROP DATABASE `+pgx.Identifier{name}.Sanitize()+` WITH (FORCE)`)
	admin(tb, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()+` TEMPLATE `+pgx.Identifier{from}.Sanitize())
	pool.Reset()
}

// CopyURL is the URL of a copy.
func CopyURL(tb testing.TB, name string) string {
	tb.Helper()
	return withDatabase(tb, serverURL(tb), name)
}

// throwOut ends the sessions of a database, and lets nobody in.
func throwOut(tb testing.TB, name string) {
	tb.Helper()
	admin(tb, `ALTER DATABASE `+pgx.Identifier{name}.Sanitize()+` ALLOW_CONNECTIONS false`)
	admin(tb, `SELECT pg_terminate_backend(a.pid, 10000) FROM pg_stat_activity AS a WHERE a.datname = '`+name+`'`)
}

// Open returns a pool on a database that the test has made.
func Open(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	return open(tb, url)
}
