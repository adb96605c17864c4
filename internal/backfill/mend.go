package backfill

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	selectWithoutJob = `
		SELECT b.id
		FROM authsync.backfills AS b
		WHERE b.state IN ('running', 'waiting')
			AND NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = b.job_id AND j.finalized_at IS NULL)
		ORDER BY b.id`

	lockRun = `
		SELECT ` + columns + `
		FROM authsync.backfills AS b
		WHERE b.id = $1 AND b.state IN ('running', 'waiting')
		FOR UPDATE`

	// Asked when the run is locked: then nobody gives it another job meanwhile.
	isLive = `SELECT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = $1 AND j.finalized_at IS NULL)`
)

// mend gives a job to each run whose job was cancelled or deleted in River, and returns
// the runs that got one. They go on from their last committed page.
func (s *Store) mend(ctx context.Context) (runs []Run, err error) {
	rows, err := s.pool.Query(ctx, selectWithoutJob)
	if err != nil {
		return nil, fmt.Errorf("look for runs without a job: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("look for runs without a job: %w", err)
	}
	var errs []error
	for _, id := range ids {
		run, err := s.restart(ctx, id)
		switch {
		case errors.Is(err, pgx.ErrNoRows): // it has ended, or has a job again
		case err != nil:
			errs = append(errs, fmt.Errorf("make a job for run %s: %w", id, err))
		default:
			runs = append(runs, run)
		}
	}
	return runs, errors.Join(errs...)
}

// restart gives a run a job; its error is pgx.ErrNoRows if it needs none.
func (s *Store) restart(ctx context.Context, id uuid.UUID) (run Run, err error) {
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		b, err := queryOne[row](ctx, tx, lockRun, id)
		if err != nil {
			return err
		}
		var live bool
		if err := tx.QueryRow(ctx, isLive, b.JobID).Scan(&live); err != nil {
			return err
		}
		if live {
			return pgx.ErrNoRows
		}
		run = b.run()
		return s.giveJob(ctx, tx, &b)
	})
	return run, err
}
