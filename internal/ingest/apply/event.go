package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/redact"
)

// eventWorker works retry_event: it applies an event on its own after it failed or was deferred in
// a batch.
type eventWorker struct {
	river.WorkerDefaults[inbox.RetryEventArgs]
	*Config
}

// Work applies one event. It returns the database's error, or why the event cannot be decoded; in
// the latter case the job is cancelled, because only a newer authsync or another setting can help.
// Either way the event is `failed` in authsync.events until a run succeeds.
func (w *eventWorker) Work(ctx context.Context, job *river.Job[inbox.RetryEventArgs]) error {
	outcome, understood, err := w.work(ctx, job)
	switch {
	case err != nil:
		return w.later(ctx, job.JobRow, err)
	case outcome.Outcome == inbox.Pending: // costs no attempt, however often
		return jobs.Wait(ctx, job.JobRow, lockInTheWay, &jobs.WaitError{After: outcome.RetryAt.Sub(w.Now()), Failed: true, Exact: true})
	case outcome.Outcome != inbox.Failed:
		return nil
	case understood:
		return failure(&outcome)
	default:
		return river.JobCancel(failure(&outcome))
	}
}

// lockInTheWay is the wait reason of a job whose event is deferred. The event's reason may quote
// the user.
const lockInTheWay = "another transaction in the project's database is in the way; authsync.events has the whole reason"

// failure is the error that River shows for a failed event. The reason may quote the user, so only
// authsync.events and the API show it.
func failure(o *inbox.Outcome) error {
	if o.Err == nil {
		return fmt.Errorf("event %d.%d failed: authsync.events has the reason", o.InboxID, o.Ordinal)
	}
	return fmt.Errorf("event %d.%d failed: %s; authsync.events has the whole reason", o.InboxID, o.Ordinal, redact.Text(o.Err))
}

// work applies the event and records its outcome; understood reports whether it reached the mirror.
func (w *eventWorker) work(ctx context.Context, job *river.Job[inbox.RetryEventArgs]) (o inbox.Outcome, understood bool, err error) {
	args, begun := job.Args, w.Now()
	release, err := w.acquire(ctx, args.ProjectID)
	if err != nil {
		return o, false, err
	}
	defer release()
	messages, err := w.Inbox.Load(ctx, args.ProjectID, []int64{args.InboxID}, args.ReceivedAt, args.ReceivedAt)
	if err != nil {
		return o, false, fmt.Errorf("load message: %w", err)
	}
	b, _, err := w.decode(ctx, args.ProjectID, messages)
	if err != nil {
		return o, false, fmt.Errorf("decode message: %w", err)
	}
	understood = b.keep(args.Ordinal)
	b.recorded = true
	for i := range b.toApply {
		b.toApply[i].Alone = true
	}
	if len(b.outcomes) == 0 {
		return inbox.Outcome{
			Outcome: inbox.Failed,
			Reason:  fmt.Sprintf("event %d of message %d is no longer in the inbox", args.Ordinal, args.InboxID),
		}, false, nil
	}
	if err := w.apply(ctx, args.ProjectID, &b, w.Now().Add(jobs.Backoff(job.JobRow, firstDeferral, 0))); err != nil {
		return o, false, err
	}
	err = pgdb.InTx(ctx, w.Pool, func(tx pgx.Tx) error {
		return w.record(ctx, tx, args.ProjectID, &b)
	})
	if err != nil {
		return o, false, err
	}
	b.times.begun = begun
	w.observe(ctx, job.ID, "retry event", &b)
	return b.outcomes[0], understood, nil
}

// keep reduces the batch to the event with the given ordinal and reports whether it goes to the
// mirror.
func (b *batch) keep(ordinal int) bool {
	kept := batch{times: b.times}
	next := 0
	for place, o := range b.outcomes {
		applies := next < len(b.places) && b.places[next] == place
		if o.Ordinal == ordinal {
			if applies {
				kept.toApply = append(kept.toApply, b.toApply[next])
				kept.places = append(kept.places, len(kept.outcomes))
			}
			for _, w := range b.toRead {
				if w.place == place {
					w.place = len(kept.outcomes)
					kept.toRead = append(kept.toRead, w)
				}
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

// Timeout is longer than the mirror's own time limits, so that those expire first.
func (w *eventWorker) Timeout(*river.Job[inbox.RetryEventArgs]) time.Duration { return jobs.Timeout }
