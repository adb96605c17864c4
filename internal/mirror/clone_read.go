package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const (
	// clonePageBytes is after how many bytes a page of rows ends, however many may be in it.
	clonePageBytes = 2 << 20
	// mostKeyBytes is the same for keys, which all have to be in the answer.
	mostKeyBytes = 64 << 20
	// mostAtOnce is how many rows are fetched at a time.
	mostAtOnce = 128
)

const (
	// Rows are read by primary key, in its order, whatever the planner believes of the table.
	cloneSession = `
		SELECT pg_catalog.set_config('timezone', 'UTC', true), pg_catalog.set_config('enable_seqscan', 'off', true),
		       pg_catalog.set_config('enable_sort', 'off', true)`

	cloneCursor = `DECLARE authsync_clone NO SCROLL CURSOR FOR `
)

// errLongPage: the answer has more than it was asked for. The mirror is in somebody else's database.
var errLongPage = errors.New("the mirror answered, but not as it should: a page is too long")

// fetches are statements that fetch 1, 2, 4 … rows of the cursor.
func fetches(atOnce int) string {
	return [...]string{
		1: `FETCH 1 FROM authsync_clone`, 2: `FETCH 2 FROM authsync_clone`, 4: `FETCH 4 FROM authsync_clone`, 8: `FETCH 8 FROM authsync_clone`,
		16: `FETCH 16 FROM authsync_clone`, 32: `FETCH 32 FROM authsync_clone`, 64: `FETCH 64 FROM authsync_clone`,
		mostAtOnce: `FETCH 128 FROM authsync_clone`,
	}[atOnce]
}

// documents reads rows of one column until they have more bytes than most. A cursor, so that the server makes and sends no more than
// is taken: it begins with one row, and takes more at a time as long as these are short.
func (m *Mirrors) documents(ctx context.Context, projectID uuid.UUID, sql string, most int, args ...any) (all []json.RawMessage, err error) {
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		select {
		case t.feed <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		defer func() { <-t.feed }()
		all = all[:0] // the call may be repeated
		options := pgx.TxOptions{AccessMode: pgx.ReadOnly}
		return pgx.BeginTxFunc(ctx, t.pool, options, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, cloneSession); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, cloneCursor+sql, args...); err != nil {
				return err
			}
			all, err = fetchAll(ctx, tx, most)
			return err
		})
	})
	return all, err
}

func fetchAll(ctx context.Context, tx pgx.Tx, most int) (all []json.RawMessage, err error) {
	for size, atOnce := 0, 1; size <= most; {
		rows, err := tx.Query(ctx, fetches(atOnce))
		if err != nil {
			return nil, err
		}
		var doc []byte
		before, sizeBefore := len(all), size
		_, err = pgx.ForEachRow(rows, []any{&doc}, func() error {
			if len(all)-before == atOnce {
				return errLongPage
			}
			size += len(doc)
			all = append(all, slices.Clone(doc))
			return nil
		})
		if err != nil {
			return nil, err
		}
		if len(all)-before < atOnce {
			break
		}
		switch got := size - sizeBefore; {
		case got > most/4 && atOnce > 1:
			atOnce /= 2
		case got < most/16 && atOnce < mostAtOnce:
			atOnce *= 2
		}
	}
	return all, nil
}
