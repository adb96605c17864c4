package apply

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// slice is how long a job works before it yields to other projects.
	slice = 10 * time.Second
	// Maximum messages per batch: the mirror is most efficient from a few hundred events on. The
	// batch is smaller while other jobs are running, because they wait for it.
	batchSize, smallBatch = 500, 100
	// firstDeferral is the first delay of an event that is blocked by a lock.
	firstDeferral = time.Second
	// maxYield limits the pause of yieldToOthers.
	maxYield = 100 * time.Millisecond
	// maxGather limits the pause of gather, and so the delay of an event.
	maxGather = 10 * time.Millisecond
)

// inboxWorker works apply_inbox.
type inboxWorker struct {
	river.WorkerDefaults[inbox.ApplyInboxArgs]
	*Config
}

// Work applies a project's pending messages until there are none. If the process dies, the job runs
// again and reaches the same outcomes. It never fails: an event's error becomes its outcome, and
// everything else makes the job wait.
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

// Timeout is longer than the mirror's own time limits, so that those expire first.
func (w *inboxWorker) Timeout(*river.Job[inbox.ApplyInboxArgs]) time.Duration { return jobs.Timeout }

// NextRetry retries soon after a crash, which the events did not cause.
func (w *inboxWorker) NextRetry(job *river.Job[inbox.ApplyInboxArgs]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 30*time.Second))
}

// drain is one turn of a project. While one batch is applied, the next is read and the previous one
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
	yielded   time.Time // when it last yielded
}

// read is a batch that was read, with its events.
type read struct {
	pending inbox.PendingBatch
	batch   batch
	err     error
}

// run applies until nothing is pending or the time slice is over; then it yields.
func (d *drain) run(ctx context.Context) (yields bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	recording := done(nil)
	var ahead <-chan read
	defer func() { // no goroutine may outlive the call
		cancel()
		if ahead != nil {
			<-ahead
		}
		if err := <-recording; err != nil { // the batch is still pending and is applied again
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
		finished, err := d.record(ctx, &next, !next.pending.More && !next.pending.IsCut())
		switch {
		case err != nil:
			return false, err
		case finished != jobs.Busy:
			return false, nil
		case timeUp:
			return true, nil
		}
		d.gather(ctx)
		next = d.read(ctx, 0)
	}
}

// yieldToOthers pauses for as long as the last batch took if other jobs are running: otherwise a
// backlog would use up the databases and the CPU, and a single event of another project would wait
// at every step.
func (d *drain) yieldToOthers(ctx context.Context) {
	took := d.took()
	if d.OthersActive(d.job.JobRow) {
		d.rest(ctx, min(took, maxYield))
	}
}

// gather pauses for as long as the last batch took, because messages come faster than batches of a few are applied:
// a batch of twice as many costs little more.
func (d *drain) gather(ctx context.Context) {
	d.rest(ctx, min(d.took(), maxGather))
}

// took returns the time since the end of the last batch, or of the pause that followed it.
func (d *drain) took() time.Duration {
	now := time.Now()
	defer func() { d.yielded = now }()
	return now.Sub(d.yielded)
}

func (d *drain) rest(ctx context.Context, length time.Duration) {
	_ = pause.For(ctx, length) // that ctx ended is noticed by the next read or write
	d.yielded = time.Now()
}

func done(err error) chan error {
	c := make(chan error, 1)
	c <- err
	close(c)
	return c
}

// read reads the batch after a previous one.
func (d *drain) read(ctx context.Context, after int64) (r read) {
	begun := time.Now()
	size := batchSize
	if d.OthersActive(d.job.JobRow) {
		size = smallBatch
	}
	if r.pending, r.err = d.Inbox.LoadPending(ctx, d.projectID, d.job.ID, after, size); r.err != nil {
		return r
	}
	var done int
	if r.batch, done, r.err = d.decode(ctx, d.projectID, r.pending.Messages); r.err != nil {
		r.err = fmt.Errorf("decode messages: %w", r.err)
		return r
	}
	r.batch.times.begun = begun
	if done < len(r.pending.Messages) {
		r.pending.Cut(done)
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

// record records a batch's outcomes, so that it is no longer pending, and ends the job in the same
// transaction if it may end and nothing is pending.
func (d *drain) record(ctx context.Context, r *read, mayEnd bool) (finished jobs.Finished, err error) {
	finished, err = d.tryRecord(ctx, r, mayEnd)
	if errors.Is(err, inbox.ErrRecorded) { // messages were replayed, or a worker that seemed dead was not
		r.batch.recorded = true
		finished, err = d.tryRecord(ctx, r, mayEnd)
	}
	if err == nil && !r.pending.Empty() {
		d.observe(ctx, d.job.ID, "apply event", &r.batch)
	}
	return finished, err
}

func (d *drain) tryRecord(ctx context.Context, r *read, mayEnd bool) (finished jobs.Finished, err error) {
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
	return finished, err
}

// retryFailed inserts retry_event jobs for events that failed or were deferred.
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
