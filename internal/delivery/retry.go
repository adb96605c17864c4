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

// retryWorker works retry_delivery.
type retryWorker struct {
	river.WorkerDefaults[RetryArgs]
	*Outbox

	mu   sync.Mutex
	next map[int64]time.Time // by job: when the next attempt is
}

func newRetryWorker(o *Outbox) *retryWorker {
	return &retryWorker{Outbox: o, next: make(map[int64]time.Time)}
}

// Work tries a delivery that failed once more. Its error is the status and the reason, so
// that River shows what each attempt came to. If the process dies, the message may come again,
// with the same id.
func (w *retryWorker) Work(ctx context.Context, job *river.Job[RetryArgs]) error {
	leave, ok := w.retrySlots.acquire(job.Args.DestinationID)
	if !ok {
		return w.snooze(ctx, job.JobRow, &waitError{
			after: time.Second + rand.N(2*time.Second), reason: "many deliveries to this destination are being tried already",
		})
	}
	defer leave()
	failed, err := w.retry(ctx, job)
	if err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return failed
}

// Timeout leaves the destination's own time limit room to speak first.
func (w *retryWorker) Timeout(*river.Job[RetryArgs]) time.Duration { return jobTimeout }

// NextRetry is when the delivery says it is, but not in the past: if noting the last attempt took
// longer than the pause, River would take its own policy instead, which waits for hours.
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
	return w.retrySoon(job.Attempt) // it crashed
}

const selectRetry = `
	SELECT d.state, coalesce(d.job_id, 0) AS job_id, d.deferrals > 0 AS put_off, m.id AS failed_with
	FROM authsync.deliveries AS d
	LEFT JOIN authsync.deliveries AS m ON m.id = d.coalesced_into AND m.state IS NOT DISTINCT FROM 'failed'
	WHERE d.id = $1`

// retry tries the delivery. failed is what River is to show of an attempt that failed; err
// says that there was none.
func (w *retryWorker) retry(ctx context.Context, job *river.Job[RetryArgs]) (failed, err error) {
	r := &run{Outbox: w.Outbox, id: job.Args.DestinationID, begun: time.Now()}
	d, err := queryOne[struct {
		State      string
		JobID      int64
		PutOff     bool   // by the other side, though others got through
		FailedWith *int64 // the newer one that it was united with, if that failed
	}](ctx, w.config.Pool, selectRetry, planned, job.Args.DeliveryID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read the delivery: %w", err)
	case d.JobID != job.ID:
		return nil, nil // another job has it by now, or none needs to
	case d.State == StateFailed:
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID) // somebody had the job tried again
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
		// It is paused, disabled or gone, or it only fails: the destination's job goes on when
		// it is resumed, or works again, and finds that out fairly for all.
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	return w.attempt(ctx, job, r, d.PutOff)
}

func (w *retryWorker) returnDelivery(ctx context.Context, deliveryID int64) error {
	if _, err := w.config.Pool.Exec(ctx, `SELECT authsync.return_delivery($1)`, deliveryID); err != nil {
		return fmt.Errorf("hand the delivery back: %w", err)
	}
	return nil
}

const takeOne = `SELECT * FROM authsync.take_deliveries($1, $2, 1, '{}', $3, $4)`

func (w *retryWorker) attempt(ctx context.Context, job *river.Job[RetryArgs], r *run, deferred bool) (failed, err error) {
	found, err := query[readyDelivery](ctx, w.config.Pool, takeOne, r.id, r.to.capabilities.States, job.Args.DeliveryID, stateRetrying)
	if err != nil {
		return nil, fmt.Errorf("take the delivery: %w", err)
	}
	if len(found) == 0 { // cancelled, or paused, just now
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
		w.classify(s, false) // nobody stops us: it had all its time
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

// conclude says to River what became of an attempt.
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
		if s.result.Outcome == destination.GiveUp || job.Attempt < job.MaxAttempts { // it was tried by other jobs before
			return river.JobCancel(attemptError(&s.result)), nil
		}
		return attemptError(&s.result), nil
	}
	if r.halted {
		return nil, w.returnDelivery(ctx, job.Args.DeliveryID)
	}
	later := deferralError(&s.result)
	later.after = s.retryAt.Sub(w.config.Now()) // the job comes back when the delivery says that it is next attempted
	return nil, later
}

// attemptError is what River shows of an attempt that failed. The reason may quote what the
// other side says about the user, so it is in authsync.deliveries alone, and in the API.
func attemptError(r *destination.Result) error {
	if r.Status == 0 {
		return errors.New("the destination gave no answer: authsync.deliveries has the reason")
	}
	return fmt.Errorf("the destination answered %d: authsync.deliveries has the reason", r.Status)
}

// keyedSemaphore bounds how many deliveries of one destination a process tries again at a time, so
// that one that hangs leaves workers for the others.
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
