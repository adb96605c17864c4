package apply

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// slice is how long a job works before it lets those of other projects have their turn.
	slice = 10 * time.Second
	// A batch has so many messages at most: the mirror is most efficient from some hundred events on. Beside
	// others at work it has fewer, for what is done in one go keeps the others waiting.
	batchSize, smallBatch = 500, 100
	// firstDeferral is how long an event is put off first that a lock is in the way of.
	firstDeferral = time.Second
	// maxYield bounds a rest; see yieldToOthers.
	maxYield = 100 * time.Millisecond
)

// inboxWorker works apply_inbox.
type inboxWorker struct {
	river.WorkerDefaults[inbox.ApplyInboxArgs]
	*Config
}

// Work applies what waits of a project until there is no more. If the process dies, the job
// runs again and comes to the same outcomes. It never fails: what is an event's fault becomes that event's
// outcome, and everything else makes the job wait.
func (w *inboxWorker) Work(ctx context.Context, job *river.Job[inbox.ApplyInboxArgs]) error {
	d := &drain{Config: w.Config, job: job, projectID: job.Args.ProjectID, until: time.Now().Add(slice), yielded: time.Now()}
	yields, err := d.run(ctx)
	switch {
	case err != nil:
		return w.later(ctx, job.JobRow, err)
	case yields:
		return jobs.Yield(ctx)
	default:
		return nil
	}
}

// Timeout leaves the mirror's own time limits room to speak first.
func (w *inboxWorker) Timeout(*river.Job[inbox.ApplyInboxArgs]) time.Duration { return jobs.Timeout }

// NextRetry comes back soon after a crash: it was not the events.
func (w *inboxWorker) NextRetry(job *river.Job[inbox.ApplyInboxArgs]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 30*time.Second))
}

// drain is one turn of a project. While a part is applied, the next is read and the one before
// is recorded:
//
//	read n+1      ├──────┤
//	apply n       ├──────────────┤
//	record n-1    ├────┤
type drain struct {
	*Config

	job       *river.Job[inbox.ApplyInboxArgs]
	projectID uuid.UUID
	until     time.Time
	yielded   time.Time // when it last left room
}

// read is a part that was read, with its events.
type read struct {
	pending inbox.PendingBatch
	batch   batch
	err     error
}

// run applies until nothing is left, or the time is up: then it yields.
func (d *drain) run(ctx context.Context) (yields bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	recording := done(nil)
	var ahead <-chan read
	defer func() { // nothing goes on behind our back
		cancel()
		if ahead != nil {
			<-ahead
		}
		if err := <-recording; err != nil { // the part waits still, and is applied again
			d.Log.DebugContext(ctx, "part_not_recorded", slog.Int64("job_id", d.job.ID), slog.Any("error", err))
		}
	}()
	if err := d.ready(ctx, d.projectID); err != nil {
		return false, err
	}
	for next := d.read(ctx, 0); ; {
		if next.err != nil {
			return false, next.err
		}
		if next.pending.More {
			ahead = d.readAhead(ctx, next.pending.Last)
		}
		if err := d.apply(ctx, d.projectID, &next.batch, d.Now().Add(jobs.Backoff(d.job.JobRow, firstDeferral, firstDeferral))); err != nil {
			return false, err
		}
		err := <-recording
		recording = done(nil)
		if err != nil {
			return false, err
		}
		timeUp := !time.Now().Before(d.until)
		if ahead != nil && !timeUp {
			recording = d.recordBehind(ctx, next)
			d.yieldToOthers(ctx)
			next = <-ahead
			ahead = nil
			continue
		}
		finished, err := d.record(ctx, &next, !next.pending.More)
		switch {
		case err != nil:
			return false, err
		case finished != jobs.Busy:
			return false, nil
		case timeUp:
			return true, nil
		}
		next = d.read(ctx, 0)
	}
}

// yieldToOthers rests for as long as the last batch took, if others are at work: a backlog would otherwise
// take all that the databases and the processor give, and a single event of another project wait at every
// step of its way.
func (d *drain) yieldToOthers(ctx context.Context) {
	now := time.Now()
	took := now.Sub(d.yielded)
	d.yielded = now
	if !d.OthersActive(d.job.JobRow) {
		return
	}
	rest := time.NewTimer(min(took, maxYield))
	defer rest.Stop()
	select {
	case <-rest.C:
	case <-ctx.Done(): // whoever reads or writes next finds out
	}
	d.yielded = time.Now()
}

func done(err error) chan error {
	c := make(chan error, 1)
	c <- err
	close(c)
	return c
}

// read reads the part behind one that was read before.
func (d *drain) read(ctx context.Context, after int64) (r read) {
	size := batchSize
	if d.OthersActive(d.job.JobRow) {
		size = smallBatch
	}
	if r.pending, r.err = d.Inbox.LoadPending(ctx, d.projectID, d.job.ID, after, size); r.err != nil {
		return r
	}
	if r.batch, r.err = d.decode(ctx, d.projectID, r.pending.Messages); r.err != nil {
		r.err = fmt.Errorf("decode deliveries: %w", r.err)
	}
	return r
}

func (d *drain) readAhead(ctx context.Context, after int64) <-chan read {
	ahead := make(chan read, 1)
	go func() { ahead <- d.read(ctx, after) }()
	return ahead
}

func (d *drain) recordBehind(ctx context.Context, r read) chan error {
	recorded := make(chan error, 1)
	go func() {
		defer close(recorded)
		_, err := d.record(ctx, &r, false)
		recorded <- err
	}()
	return recorded
}

// record notes the outcomes of a part, which waits no longer then, and ends the job in the
// same transaction if it may end and nothing waits.
func (d *drain) record(ctx context.Context, r *read, mayEnd bool) (finished jobs.Finished, err error) {
	finished = jobs.Busy
	err = pgdb.InTx(ctx, d.Pool, func(tx pgx.Tx) (err error) {
		if !r.pending.Empty() {
			if err := d.Config.record(ctx, tx, d.projectID, &r.batch); err != nil {
				return err
			}
			if err := d.retryFailed(ctx, tx, &r.batch); err != nil {
				return err
			}
			if err := d.Inbox.Settle(ctx, tx, d.projectID, &r.pending); err != nil {
				return err
			}
		}
		if mayEnd {
			finished, err = jobs.Finish(ctx, tx, d.job.JobRow, d.projectID.String(), d.Now())
		}
		return err
	})
	if err == nil && !r.pending.Empty() {
		d.logOutcomes(ctx, d.job.ID, r.batch.outcomes)
	}
	return finished, err
}

// retryFailed makes jobs for the events that failed or are put off, which try them alone.
func (d *drain) retryFailed(ctx context.Context, tx pgx.Tx, b *batch) error {
	var retries []river.InsertManyParams
	for _, o := range b.outcomes {
		if o.Outcome != inbox.Failed && o.Outcome != inbox.Pending {
			continue
		}
		args := inbox.RetryEventArgs{ProjectID: o.ProjectID, InboxID: o.InboxID, ReceivedAt: o.ReceivedAt, Ordinal: o.Ordinal}
		retry := river.InsertManyParams{Args: args}
		if o.Outcome == inbox.Pending {
			opts := args.InsertOpts()
			opts.ScheduledAt = o.RetryAt
			retry.InsertOpts = &opts
		}
		retries = append(retries, retry)
	}
	if len(retries) == 0 {
		return nil
	}
	if _, err := river.ClientFromContext[pgx.Tx](ctx).InsertManyTx(ctx, tx, retries); err != nil {
		return fmt.Errorf("insert jobs for failed events: %w", err)
	}
	return nil
}
