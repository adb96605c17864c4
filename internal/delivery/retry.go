package delivery

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

	"github.com/authsync/authsync/internal/destination"
)

// retryWorker works retry_delivery jobs.
type retryWorker struct {
	river.WorkerDefaults[RetryArgs]
	*Outbox

	mu   sync.Mutex
	next map[int64]time.Time // next attempt, by job id
}

func newRetryWorker(o *Outbox) *retryWorker {
	return &retryWorker{Outbox: o, next: make(map[int64]time.Time)}
}

// Work retries a failed delivery. Its error holds the status, so that River shows the result of each attempt.
// If the process dies, the message may be sent again with the same id.
func (w *retryWorker) Work(ctx context.Context, job *river.Job[RetryArgs]) error {
	leave, ok := w.retrySlots.acquire(job.Args.DestinationID)
	if !ok {
		return w.snooze(ctx, job.JobRow, &waitError{
			after: time.Second + rand.N(2*time.Second), reason: "too many deliveries to this destination are being retried",
		})
	}
	defer leave()
	failed, err := w.retry(ctx, job)
	if err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return failed
}

// Timeout is longer than the destination's own timeout, so that the latter reports first.
func (w *retryWorker) Timeout(*river.Job[RetryArgs]) time.Duration { return jobTimeout }

// NextRetry returns the delivery's next attempt, but no time in the past: if recording the last attempt took
// longer than the pause, River would fall back to its own policy, which waits for hours.
func (w *retryWorker) NextRetry(job *river.Job[RetryArgs]) time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	if next, ok := w.next[job.ID]; ok {
		delete(w.next, job.ID)
		if now := w.config.Now(); next.Before(now) {
			return now
		}
		return next
	}
	return w.retrySoon(job.Attempt) // the worker crashed
}

const selectRetry = `
	SELECT d.state, coalesce(d.job_id, 0) AS job_id, d.deferrals > 0 AS put_off, m.id AS failed_with
	FROM authsync.deliveries AS d
	LEFT JOIN authsync.deliveries AS m ON m.id = d.coalesced_into AND m.state IS NOT DISTINCT FROM 'failed'
	WHERE d.id = $1`

// retry makes the attempt. failed is the error River shows for a failed attempt; err means that there was no
// attempt.
func (w *retryWorker) retry(ctx context.Context, job *river.Job[RetryArgs]) (failed, err error) {
	r := &run{Outbox: w.Outbox, id: job.Args.DestinationID, begun: time.Now()}
	d, err := queryOne[struct {
		State      string
		JobID      int64
		PutOff     bool   // by the other side, though others got through
		FailedWith *int64 // the newer delivery it was coalesced into, if that failed
	}](ctx, w.config.Pool, selectRetry, planned, job.Args.DeliveryID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the delivery: %w", err)
	case d.JobID != job.ID:
		return nil, nil // superseded by another job, or done
	case d.State == StateFailed:
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID) // a user retried the job
	case d.FailedWith != nil:
		return nil, w.returnDelivery(ctx, *d.FailedWith)
	case d.State != stateRetrying:
		return nil, nil
	}
	may, open, err := r.admit(ctx)
	if err != nil {
		return nil, err
	}
	if !may || open != nil {
		// It is paused, disabled, deleted or failing: the destination's job continues when it is resumed or
		// recovers, in order for all users.
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	return w.attempt(ctx, job, r, d.PutOff)
}

func (w *retryWorker) returnDelivery(ctx context.Context, deliveryID int64) error {
	if _, err := w.config.Pool.Exec(ctx, `SELECT authsync.return_delivery($1)`, deliveryID); err != nil {
		return fmt.Errorf("return the delivery: %w", err)
	}
	return nil
}

const takeOne = `SELECT * FROM authsync.take_deliveries($1, $2, 1, '{}', $3, $4)`

func (w *retryWorker) attempt(ctx context.Context, job *river.Job[RetryArgs], r *run, deferred bool) (failed, err error) {
	found, err := query[readyDelivery](ctx, w.config.Pool, takeOne, r.id, r.to.capabilities.States, job.Args.DeliveryID, stateRetrying)
	if err != nil {
		return nil, fmt.Errorf("take the delivery: %w", err)
	}
	if len(found) == 0 { // just cancelled or paused
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	loaded, err := w.load(ctx, r.id, r.to.capabilities.States, found)
	if err != nil {
		return nil, err
	}
	loaded[0].message.Deferred = deferred
	tried := []sent{{outgoing: loaded[0]}}
	s := &tried[0]
	if s.isGone {
		*s = w.unsentResult(loaded[0])
	} else {
		sending, cancel := context.WithDeadline(ctx, r.begun.Add(r.config.Cut))
		defer cancel()
		*s = w.sendChunk(sending, r.to, loaded, false)[0]
	}
	if s.outcome == "" && s.err == nil && ctx.Err() == nil {
		w.classify(s, false) // not a shutdown: the attempt timed out
	}
	if s.outcome == "" {
		return nil, cmp.Or(s.err, context.Cause(ctx))
	}
	recorded, err := r.record(ctx, tried)
	if err != nil {
		return nil, err
	}
	if recorded.Promoted > 0 {
		if _, err := w.config.Pool.Exec(ctx, `SELECT authsync.request_delivery($1)`, r.id); err != nil {
			return nil, fmt.Errorf("request the destination's job: %w", err)
		}
	}
	return w.conclude(ctx, job, s, recorded)
}

// conclude translates the outcome of an attempt for River.
func (w *retryWorker) conclude(ctx context.Context, job *river.Job[RetryArgs], s *sent, r recorded) (failed, err error) {
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
	later.after = s.retryAt.Sub(w.config.Now()) // the job returns at the delivery's next attempt
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
