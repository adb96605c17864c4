package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5"
)

// RowsRead counts the rows of tables of a schema that the session has read lately: the
// difference between two calls in a transaction is what was read between them, also by functions.
func RowsRead(tb testing.TB, tx pgx.Tx, schema string) (n int64) {
	tb.Helper()
	err := tx.QueryRow(tb.Context(), `
		SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
		FROM pg_stat_xact_user_tables
		WHERE schemaname = $1`, schema).Scan(&n)
	if err != nil {
		tb.Fatalf("count the rows that were read: %v", err)
	}
	return n
}

// EntriesRead counts the entries of a schema's indexes that a transaction has read, likewise: what a bitmap reads and then does
// without is among them, and what is read of an index alone; so are entries of rows that are no more.
func EntriesRead(tb testing.TB, tx pgx.Tx, schema string) (n int64) {
	tb.Helper()
	return indexSum(tb, tx, schema, "pg_stat_get_xact_tuples_returned")
}

// IndexBlocksRead counts the blocks of a schema's indexes that a transaction has read: the difference between two calls is
// what was read between them. A search that does not end where it should reads them, and no row.
func IndexBlocksRead(tb testing.TB, tx pgx.Tx, schema string) (n int64) {
	tb.Helper()
	return indexSum(tb, tx, schema, "pg_stat_get_xact_blocks_fetched")
}

func indexSum(tb testing.TB, tx pgx.Tx, schema, counter string) (n int64) {
	tb.Helper()
	err := tx.QueryRow(tb.Context(), `
		SELECT coalesce(sum(`+counter+`(c.oid)), 0)::bigint
		FROM pg_class AS c
		WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'i'`, schema).Scan(&n)
	if err != nil {
		tb.Fatalf("sum up %s: %v", counter, err)
	}
	return n
}
