package pgdb

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Planned plans a statement for its arguments on each call: a cached plan made for empty tables scans full
// ones. Pass it as the first argument of the statement.
const Planned = pgx.QueryExecModeExec

// Querier is a pool, a connection or a transaction.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Collect returns the rows of a statement as T, whose fields have the names of the columns.
func Collect[T any](ctx context.Context, db Querier, sql string, args ...any) ([]T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[T])
}

// CollectOne is Collect for exactly one row; it returns pgx.ErrNoRows if there is none.
func CollectOne[T any](ctx context.Context, db Querier, sql string, args ...any) (T, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		var none T
		return none, err
	}
	return pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[T])
}

// NullText returns nil for the empty text, as a parameter that is NULL then.
func NullText(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
