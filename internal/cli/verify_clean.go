package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	deleteDeliveries = `
		WITH gone AS (
			DELETE FROM authsync.inbox AS d
			USING (SELECT i.id, i.received_at` + ofUser + `) AS mine
			WHERE d.id = mine.id AND d.received_at = mine.received_at
			RETURNING d.id, d.received_at
		)
		SELECT id FROM gone`

	// Jobs about nothing but the made-up user; where it shares a job with others,
	// the job stays.
	deleteJobs = `
		DELETE FROM authsync.river_job
		WHERE state <> 'running'
		  AND ((kind = 'apply_deliveries' AND (args ->> 'inbox_ids')::int8multirange <@ $1::text::int8multirange)
		    OR (kind = 'apply_event' AND (args ->> 'inbox_id')::bigint <@ $1::text::int8multirange))`

	// Outcomes are written by the job, which may come after the delivery has gone.
	deleteOutcomes = `
		DELETE FROM authsync.event_outcomes WHERE project_id = $1 AND user_id = $2`

	// A job that has not begun will find no delivery, and do nothing.
	countJobs = `
		SELECT count(*) FROM authsync.river_job
		WHERE state = 'running'
		  AND ((kind = 'apply_deliveries' AND (args ->> 'inbox_ids')::int8multirange && $1::text::int8multirange)
		    OR (kind = 'apply_event' AND (args ->> 'inbox_id')::bigint <@ $1::text::int8multirange))`
)

// clean removes every trace of the made-up user. Deliveries go first: a job
// that has not read them yet finds nothing to apply, and one that has is waited
// for, so that no row comes back afterwards.
func (v *verifier) clean(ctx context.Context) error {
	ids, err := collectColumn[int64](ctx, v.control, deleteDeliveries, v.id, v.since(), v.bodyText())
	if err != nil {
		return err
	}
	slices.Sort(ids)
	ranges, err := inbox.IDs(ids).MarshalText()
	if err != nil {
		return err
	}
	if _, err := poll(ctx, func() (int, bool, error) {
		open, err := collectColumn[int](ctx, v.control, countJobs, string(ranges))
		return 0, err == nil && open[0] == 0, err
	}); err != nil {
		return fmt.Errorf("wait for the jobs of its deliveries: %w", err)
	}
	return errors.Join(
		pgdb.InTx(ctx, v.project, func(tx pgx.Tx) error {
			for _, statement := range []string{
				`DELETE FROM capydb_auth.user_changes WHERE user_id = $1`,
				`DELETE FROM capydb_auth.processed_events WHERE user_id = $1`,
				`DELETE FROM capydb_auth.user_versions WHERE user_id = $1`,
				`DELETE FROM capydb_auth.users WHERE id = $1`,
			} {
				if _, err := tx.Exec(ctx, statement, v.userID); err != nil {
					return err
				}
			}
			return nil
		}),
		pgdb.InTx(ctx, v.control, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, deleteJobs, string(ranges)); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, deleteOutcomes, v.id, v.userID)
			return err
		}),
	)
}

func collectColumn[T any](ctx context.Context, pool *pgxpool.Pool, query string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[T])
}

func collectRows[T any](ctx context.Context, pool *pgxpool.Pool, query string, args ...any) ([]T, error) {
	rows, err := pool.Query(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
