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

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
)

// deliverWorker works deliver jobs.
type deliverWorker struct {
	river.WorkerDefaults[DeliverArgs]
	*Outbox
}

// Work sends a destination's ready deliveries until none is left. If the process dies, deliveries sent but not
// recorded are sent again with the same ids.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[DeliverArgs]) error {
	if err := w.deliver(ctx, job); err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return nil
}

// Timeout is longer than the destination's own timeout, so that the latter reports first.
func (w *deliverWorker) Timeout(*river.Job[DeliverArgs]) time.Duration { return jobTimeout }

// NextRetry retries soon after a crashed worker.
func (w *deliverWorker) NextRetry(job *river.Job[DeliverArgs]) time.Time {
	return w.retrySoon(job.Attempt)
}

func (w *deliverWorker) deliver(ctx context.Context, job *river.Job[DeliverArgs]) error {
	id := job.Args.DestinationID
	r := &run{
		Outbox: w.Outbox, id: id, name: runner(job.JobRow), client: job.AttemptedBy[len(job.AttemptedBy)-1], jobID: job.ID, begun: time.Now(),
		lease: uuid.New(), inFlight: make(map[int64]int),
	}
	for {
		err := r.leased(ctx, r.work)
		switch {
		case err != nil && !errors.Is(err, errChanged):
			return err
		case r.timeUp():
			return jobs.Yield(ctx)
		case err != nil:
			continue // continue with the new configuration
		}
		finished, err := jobs.Finish(ctx, w.config.Pool, job.JobRow, id.String(), w.config.Now())
		if err != nil || finished != jobs.Busy {
			return err
		}
	}
}

// run is one job's work for a destination.
type run struct {
	*Outbox

	id     uuid.UUID
	name   string // see runner
	client string // the River client that runs the job
	jobID  int64
	begun  time.Time
	lease  uuid.UUID
	to     *cachedDestination
	probe  bool
	// lastSuccessSentAt is when the most recently sent of the successful deliveries was sent, as of the start
	// of the work; nil if none succeeded.
	lastSuccessSentAt *time.Time
	// inFlight maps deliveries that are taken but not recorded to their size in bytes.
	inFlight map[int64]int
}

const leaseDestination = `SELECT authsync.lease_destination($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + make_interval(secs => $5))`

// leased calls work while no other run may send. It releases the lease before the job ends, so that the next
// job can start at once.
func (r *run) leased(ctx context.Context, work func(context.Context) error) error {
	if err := r.takeLease(ctx); err != nil {
		return err
	}
	defer r.releaseLease(context.WithoutCancel(ctx))
	return work(ctx)
}

// takeLease keeps out other runs, such as one whose job was presumed dead.
func (r *run) takeLease(ctx context.Context) error {
	var has bool
	if err := r.config.Pool.QueryRow(ctx, leaseDestination, r.id, r.lease, r.client, r.jobID, jobTimeout.Seconds()).Scan(&has); err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	if has {
		return nil
	}
	if _, err := r.target(ctx); errors.Is(err, errNoDestination) {
		return nil // deleted: nothing to deliver
	}
	return &waitError{after: time.Second, reason: "another job, possibly a dead one, holds the destination's lease"}
}

const releaseLease = `UPDATE authsync.destination_progress SET lease = NULL, leased_until = NULL, leased_by = NULL, leased_job = NULL WHERE destination_id = $1 AND lease = $2`

func (r *run) releaseLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// If this fails, rescue_jobs releases the lease, because the job is no longer running.
	_, _ = r.config.Pool.Exec(ctx, releaseLease, r.id, r.lease)
}

// timeUp reports whether the run has used up its time slice.
func (r *run) timeUp() bool { return time.Since(r.begun) >= r.config.Slice }

// target is the state of a destination before sending.
type target struct {
	ProjectID         uuid.UUID
	State             string
	UpdatedAt         time.Time
	BreakerOpenUntil  *time.Time
	LastSuccessSentAt *time.Time
}

// errNoDestination means that the destination was deleted.
var errNoDestination = errors.New("the destination was removed")

const selectTarget = `
	SELECT d.project_id, d.state, d.updated_at, f.breaker_open_until, f.last_success_sent_at
	FROM authsync.destinations AS d
	JOIN authsync.destination_progress AS f ON f.destination_id = d.id
	WHERE d.id = $1`

func (r *run) target(ctx context.Context) (target, error) {
	t, err := queryOne[target](ctx, r.config.Pool, selectTarget, r.id)
	if errors.Is(err, pgx.ErrNoRows) {
		return target{}, errNoDestination
	}
	if err != nil {
		return target{}, fmt.Errorf("read the destination: %w", err)
	}
	return t, nil
}

// admit checks whether deliveries may be sent to the destination. may is false if a user must act first; open
// is the time until which its circuit breaker is open, if it is.
func (r *run) admit(ctx context.Context) (may bool, open *time.Time, err error) {
	t, err := r.target(ctx)
	if errors.Is(err, errNoDestination) || err == nil && t.State != StateActive {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	r.lastSuccessSentAt = t.LastSuccessSentAt
	if r.to, err = r.build(ctx, r.id, t.UpdatedAt); err != nil {
		return false, nil, r.pauseInvalid(ctx, err)
	}
	return true, t.BreakerOpenUntil, nil
}

// pauseInvalid pauses a destination with an invalid configuration, which only a user can fix. Other errors are
// temporary.
func (r *run) pauseInvalid(ctx context.Context, err error) error {
	invalid, ok := fault.As(err)
	if !ok || invalid.Code != fault.Invalid {
		return err
	}
	if _, err := r.config.Pool.Exec(ctx, haltDestination, r.id, StatePaused, invalid.Message, r.config.Now()); err != nil {
		return fmt.Errorf("pause the destination: %w", err)
	}
	r.config.Log.ErrorContext(ctx, "destination_paused", slog.String("destination_id", r.id.String()), slog.Any("error", invalid))
	return nil
}

const takeProbe = `
	UPDATE authsync.destination_progress
	SET breaker_open_until = $2
	WHERE destination_id = $1 AND breaker_open_until = $3`

// admitProbe allows one run among all processes to probe a destination whose breaker is open, once that is
// due.
func (r *run) admitProbe(ctx context.Context, open time.Time) error {
	now := r.config.Now()
	if open.After(now) {
		return &waitError{after: open.Sub(now), reason: "the destination has failed several times in a row; it is tried again " +
			"at " + open.UTC().Format(time.RFC3339)}
	}
	tag, err := r.config.Pool.Exec(ctx, takeProbe, r.id, now.Add(probeTime), open)
	if err != nil {
		return fmt.Errorf("take the probe: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return &waitError{after: 2 * time.Second, reason: "another job is probing the destination"}
	}
	r.probe = true
	return nil
}

const returnProbe = `
	UPDATE authsync.destination_progress
	SET breaker_open_until = $2
	WHERE destination_id = $1 AND breaker_open_until IS NOT NULL`

// returnProbe lets another run probe, because there was nothing to send.
func (r *run) returnProbe(ctx context.Context) error {
	r.probe = false
	if _, err := r.config.Pool.Exec(ctx, returnProbe, r.id, r.config.Now()); err != nil {
		return fmt.Errorf("return the probe: %w", err)
	}
	return nil
}
