package applier

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/pgdb"
)

// eventWorker works apply_event: an event that failed among others, tried alone.
type eventWorker struct {
	river.WorkerDefaults[inbox.ApplyEventArgs]
	*Config
}

// Work applies one event. Its error is what the database says about it, or why
// it cannot be understood; in the latter case the job is cancelled, for only
// another version of authsync or another setting can change that. Either way the
// event is `failed` in authsync.events until a run succeeds.
func (w *eventWorker) Work(ctx context.Context, job *river.Job[inbox.ApplyEventArgs]) error {
	args := job.Args
	deliveries, err := w.Inbox.Load(ctx, args.ProjectID, []int64{args.InboxID}, args.ReceivedAt, args.ReceivedAt)
	if err != nil {
		return fmt.Errorf("load delivery: %w", err)
	}
	if len(deliveries) == 0 {
		return river.JobCancel(fmt.Errorf("delivery %d is no longer in the inbox", args.InboxID))
	}
	b, err := w.decode(ctx, args.ProjectID, deliveries)
	if err != nil {
		return fmt.Errorf("decode delivery: %w", err)
	}
	understood := b.keep(args.Ordinal)
	if err := w.apply(ctx, args.ProjectID, &b); err != nil {
		return later(ctx, err)
	}
	err = pgdb.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		return w.Inbox.RecordOutcomes(ctx, tx, b.outcomes)
	})
	if err != nil {
		return fmt.Errorf("record outcome: %w", err)
	}
	w.logOutcomes(ctx, job.ID, b.outcomes)
	for _, o := range b.outcomes {
		switch {
		case o.Outcome != inbox.Failed:
		case understood:
			return errors.New(o.Reason)
		default:
			return river.JobCancel(errors.New(o.Reason))
		}
	}
	return nil
}

// keep reduces the batch to the event with the given ordinal, and reports
// whether that goes to the mirror.
func (b *batch) keep(ordinal int) bool {
	var kept batch
	next := 0
	for place, o := range b.outcomes {
		applies := next < len(b.places) && b.places[next] == place
		if o.Ordinal == ordinal {
			if applies {
				kept.toApply = append(kept.toApply, b.toApply[next])
				kept.places = append(kept.places, len(kept.outcomes))
			}
			kept.outcomes = append(kept.outcomes, o)
		}
		if applies {
			next++
		}
	}
	*b = kept
	return len(kept.toApply) > 0
}

// Timeout leaves the mirror's own time limits room to speak first.
func (w *eventWorker) Timeout(*river.Job[inbox.ApplyEventArgs]) time.Duration { return JobTimeout }
