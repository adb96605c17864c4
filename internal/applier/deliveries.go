package applier

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgdb"
)

// deliveriesWorker works apply_deliveries.
type deliveriesWorker struct {
	river.WorkerDefaults[inbox.ApplyDeliveriesArgs]
	*Config
}

// Work applies the deliveries of one job. If the process dies before the
// commit at its end, the job runs again and comes to the same outcomes. It never
// fails: what is an event's fault becomes that event's outcome, and everything
// else puts the job off.
func (w *deliveriesWorker) Work(ctx context.Context, job *river.Job[inbox.ApplyDeliveriesArgs]) error {
	if err := w.work(ctx, job); err != nil {
		return w.later(ctx, job.JobRow, err)
	}
	return nil
}

func (w *deliveriesWorker) work(ctx context.Context, job *river.Job[inbox.ApplyDeliveriesArgs]) error {
	args := job.Args
	leave, err := w.enter(ctx, args.ProjectID)
	if err != nil {
		return err
	}
	defer leave()
	deliveries, err := w.Inbox.Load(ctx, args.ProjectID, args.InboxIDs, args.ReceivedFrom, args.ReceivedTo)
	if err != nil {
		return fmt.Errorf("load deliveries: %w", err)
	}
	b, err := w.decode(ctx, args.ProjectID, deliveries)
	if err != nil {
		return fmt.Errorf("decode deliveries: %w", err)
	}
	if err := w.apply(ctx, args.ProjectID, &b); err != nil {
		return err
	}

	var retries []river.InsertManyParams
	for _, o := range b.outcomes {
		if o.Outcome == inbox.Failed {
			retries = append(retries, river.InsertManyParams{Args: inbox.ApplyEventArgs{
				ProjectID: o.ProjectID, InboxID: o.InboxID, ReceivedAt: o.ReceivedAt, Ordinal: o.Ordinal,
			}})
		}
	}
	err = pgdb.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		if err := w.record(ctx, tx, args.ProjectID, &b); err != nil {
			return err
		}
		if len(retries) > 0 {
			client := river.ClientFromContext[pgx.Tx](ctx)
			if _, err := client.InsertManyTx(ctx, tx, retries); err != nil {
				return fmt.Errorf("insert jobs for failed events: %w", err)
			}
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		return err
	})
	if err != nil {
		return err
	}
	w.logOutcomes(ctx, job.ID, b.outcomes)
	return nil
}

// Timeout leaves the mirror's own time limits room to speak first.
func (w *deliveriesWorker) Timeout(*river.Job[inbox.ApplyDeliveriesArgs]) time.Duration {
	return JobTimeout
}

// NextRetry comes back soon if the worker died or crashed: it was not the events.
func (w *deliveriesWorker) NextRetry(job *river.Job[inbox.ApplyDeliveriesArgs]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 30*time.Second))
}

// logOutcomes writes one line a job, and one for each event that failed.
func (c *Config) logOutcomes(ctx context.Context, jobID int64, outcomes []inbox.Outcome) {
	counts := make(map[string]int)
	for _, o := range outcomes {
		counts[o.Outcome]++
		if o.Outcome == inbox.Failed {
			// Without the reason: a customer's trigger may put anything into it.
			c.Log.WarnContext(ctx, "event_failed", slog.String("project_id", o.ProjectID.String()),
				slog.Int64("inbox_id", o.InboxID), slog.Int("ordinal", o.Ordinal))
		}
	}
	c.Log.DebugContext(ctx, "deliveries_applied", slog.Int64("job_id", jobID), slog.Any("outcomes", counts))
}
