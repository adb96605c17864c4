package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// rescueWorker works rescue_deliveries.
type rescueWorker struct {
	river.WorkerDefaults[rescueArgs]
	*Outbox
}

// lookAfter is how long a project's feed goes unlooked at: by it are found changes
// that somebody made who could not say so, such as a process that died between the two.
const lookAfter = 5 * time.Minute

// Destinations that have deliveries which may have lost their way; both partial indexes are read
// at their edge.
const selectToRescue = `
	SELECT DISTINCT o.destination_id
	FROM authsync.deliveries AS o
	WHERE o.state = 'blocked' OR (o.state = 'retrying' AND o.next_attempt_at < $1::timestamptz - interval '1 minute')`

// Work makes up for deliveries that somebody deleted, and has feeds looked at that
// nobody has spoken of for a while.
func (w *rescueWorker) Work(ctx context.Context, _ *river.Job[rescueArgs]) error {
	now := w.config.Now()
	rows, err := w.config.Pool.Query(ctx, selectToRescue, now)
	if err != nil {
		return fmt.Errorf("look for deliveries to mend: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("look for deliveries to mend: %w", err)
	}
	var errs []error
	var mended int64
	for _, id := range ids {
		var n int64
		errs = append(errs, w.config.Pool.QueryRow(ctx, `SELECT authsync.rescue_deliveries($1, $2)`, id, now).Scan(&n))
		mended += n
	}
	errs = append(errs, w.config.Pool.QueryRow(ctx, `SELECT authsync.request_idle($1)`, now.Add(-lookAfter)).Scan(nil))
	errs = append(errs, w.config.Pool.QueryRow(ctx, `SELECT authsync.prune_job_requests($1)`, now).Scan(nil))
	if mended > 0 {
		w.config.Log.WarnContext(ctx, "deliveries_rescued", slog.Int64("deliveries", mended))
	}
	return errors.Join(errs...)
}

// pruneWorker works prune_deliveries.
type pruneWorker struct {
	river.WorkerDefaults[pruneArgs]
	*Outbox
}

const pruneBatch = 10_000

// Work removes finished deliveries that are older than the retention, batch by batch.
func (w *pruneWorker) Work(ctx context.Context, _ *river.Job[pruneArgs]) error {
	if w.config.Retention <= 0 {
		return nil
	}
	for {
		var n int64
		err := w.config.Pool.QueryRow(ctx, `SELECT authsync.prune_deliveries($1, $2)`,
			w.config.Now().Add(-w.config.Retention), pruneBatch).Scan(&n)
		if err != nil {
			return fmt.Errorf("remove old deliveries: %w", err)
		}
		if n < pruneBatch {
			return nil
		}
	}
}
