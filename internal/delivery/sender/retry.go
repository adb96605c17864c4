package sender

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
)

// retryWorker works retry_delivery jobs.
type retryWorker struct {
	river.WorkerDefaults[delivery.RetryArgs]

	sender *Sender

	mu   sync.Mutex
	next map[int64]time.Time // next attempt, by job id
}

func newRetryWorker(s *Sender) *retryWorker {
	return &retryWorker{sender: s, next: make(map[int64]time.Time)}
}

// Work retries a failed delivery. Its error holds the status, so that River shows the result of each attempt.
// If the process dies, the message may be sent again with the same id.
func (w *retryWorker) Work(ctx context.Context, job *river.Job[delivery.RetryArgs]) error {
	leave, ok := w.sender.retrySlots.acquire(job.Args.DestinationID)
	if !ok {
		return w.snooze(ctx, job.JobRow, &delivery.WaitError{
			After: time.Second + rand.N(2*time.Second), Reason: "too many deliveries to this destination are being retried",
		})
	}
	defer leave()
	failed, err := w.retry(ctx, job)
	if err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return failed
}

func (w *retryWorker) snooze(ctx context.Context, job *rivertype.JobRow, err error) error {
	return delivery.Snooze(ctx, job, err, w.sender.config.Pause)
}

// Timeout is longer than the destination's own timeout, so that the latter reports first.
func (w *retryWorker) Timeout(*river.Job[delivery.RetryArgs]) time.Duration {
	return delivery.JobTimeout
}

// NextRetry returns the delivery's next attempt, but no time in the past: if recording the last attempt took
// longer than the pause, River would fall back to its own policy, which waits for hours.
func (w *retryWorker) NextRetry(job *river.Job[delivery.RetryArgs]) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if next, ok := w.next[job.ID]; ok {
		delete(w.next, job.ID)
		if now := w.sender.config.Now(); next.Before(now) {
			return now
		}
		return next
	}
	return delivery.RetrySoon(w.sender.config.Now(), job.Attempt) // the worker crashed
}

const selectRetry = `
	SELECT d.state, coalesce(d.job_id, 0) AS job_id, d.deferrals > 0 AS deferred, m.id AS failed_with
	FROM authsync.deliveries AS d
	LEFT JOIN authsync.deliveries AS m ON m.id = d.coalesced_into AND m.state IS NOT DISTINCT FROM 'failed'
	WHERE d.id = $1`

// retry makes the attempt. failed is the error River shows for a failed attempt; err means that there was no
// attempt.
func (w *retryWorker) retry(ctx context.Context, job *river.Job[delivery.RetryArgs]) (failed, err error) {
	begun := time.Now()
	d, err := pgdb.CollectOne[struct {
		State      string
		JobID      int64
		Deferred   bool   // by the destination, while others succeeded
		FailedWith *int64 // the newer delivery it was coalesced into, if that failed
	}](ctx, w.sender.config.Pool, selectRetry, pgdb.Planned, job.Args.DeliveryID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the delivery: %w", err)
	case d.JobID != job.ID:
		return nil, nil // superseded by another job, or done
	case d.State == delivery.StateFailed:
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID) // a user retried the job
	case d.FailedWith != nil:
		return nil, w.returnDelivery(ctx, *d.FailedWith)
	case d.State != delivery.StateRetrying:
		return nil, nil
	}
	to, err := w.sender.admit(ctx, job.Args.DestinationID)
	if err != nil {
		return nil, err
	}
	if to == nil || to.breakerOpenUntil != nil {
		// It is paused, disabled, deleted or failing: the destination's job continues when it is resumed or
		// recovers, in order for all records.
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	return w.attempt(ctx, job, to, begun.Add(w.sender.config.Cut), d.Deferred)
}

func (w *retryWorker) returnDelivery(ctx context.Context, deliveryID int64) error {
	if _, err := w.sender.config.Pool.Exec(ctx, `SELECT authsync.return_delivery($1)`, deliveryID); err != nil {
		return fmt.Errorf("return the delivery: %w", err)
	}
	return nil
}

const takeOne = `SELECT * FROM authsync.take_deliveries($1, $2, 1, '{}', $3, $4)`

// attempt makes the attempt until a time before the job's timeout, so that it is recorded. deferred is told to the
// destination: it has deferred this delivery alone.
func (w *retryWorker) attempt(
	ctx context.Context, job *river.Job[delivery.RetryArgs], to *admitted, until time.Time, deferred bool,
) (failed, err error) {
	found, err := pgdb.Collect[readyDelivery](ctx, w.sender.config.Pool, takeOne,
		to.destination.ID, to.destination.Capabilities.States, job.Args.DeliveryID, delivery.StateRetrying)
	if err != nil {
		return nil, fmt.Errorf("take the delivery: %w", err)
	}
	if len(found) == 0 { // just cancelled or paused
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	loaded, err := w.sender.load(ctx, to.destination, found)
	if err != nil {
		return nil, err
	}
	loaded[0].message.Deferred = deferred
	tried := []sent{{outgoing: loaded[0]}}
	d := &tried[0]
	if d.isGone {
		*d = w.sender.unsentResult(loaded[0])
	} else {
		sending, cancel := context.WithDeadline(ctx, until)
		defer cancel()
		*d = w.sender.sendChunk(sending, to.destination, loaded, false)[0]
	}
	if d.outcome == "" && d.err == nil && ctx.Err() == nil {
		w.sender.classify(d, false) // not a shutdown: the attempt timed out
	}
	if d.outcome == "" {
		return nil, cmp.Or(d.err, context.Cause(ctx))
	}
	recorded, err := w.sender.record(ctx, to, tried)
	if err != nil {
		return nil, err
	}
	if recorded.Promoted > 0 {
		if err := delivery.RequestDelivery(ctx, w.sender.config.Pool, to.destination.ID); err != nil {
			return nil, err
		}
	}
	return w.conclude(ctx, job, d, recorded)
}

// conclude translates the outcome of an attempt for River.
func (w *retryWorker) conclude(ctx context.Context, job *river.Job[delivery.RetryArgs], s *sent, r recorded) (failed, err error) {
	switch s.outcome {
	case outcomeDelivered, outcomeCancelled:
		return nil, nil
	case outcomeRetry:
		w.mu.Lock()
		w.next[job.ID] = s.retryAt
		w.mu.Unlock()
		return attemptError(&s.result), nil
	case outcomeFailed:
		if s.result.Outcome == destination.GiveUp || job.Attempt < job.MaxAttempts { // earlier jobs used up attempts
			return river.JobCancel(attemptError(&s.result)), nil
		}
		return attemptError(&s.result), nil
	}
	if r.halted {
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	later := deferralError(&s.result)
	later.After = s.retryAt.Sub(w.sender.config.Now()) // the job returns at the delivery's next attempt
	return nil, later
}

// attemptError is the error River shows for a failed attempt. The reason may quote personal data from the
// response, so it is only in authsync.deliveries and the API.
func attemptError(r *destination.Result) error {
	if r.Status == 0 {
		return errors.New("no response from the destination: see the reason in authsync.deliveries")
	}
	return fmt.Errorf("the destination answered %d: see the reason in authsync.deliveries", r.Status)
}

// keyedSemaphore limits the concurrent retries per destination in a process, so that a hanging destination
// leaves workers for the others.
type keyedSemaphore struct {
	limit int

	mu   sync.Mutex
	held map[uuid.UUID]int
}

func (p *keyedSemaphore) acquire(id uuid.UUID) (leave func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held[id] >= p.limit {
		return nil, false
	}
	if p.held == nil {
		p.held = make(map[uuid.UUID]int)
	}
	p.held[id]++
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.held[id]--; p.held[id] == 0 {
			delete(p.held, id)
		}
	}, true
}
