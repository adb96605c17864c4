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

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/jobs"
)

// deliverWorker works deliver.
type deliverWorker struct {
	river.WorkerDefaults[DeliverArgs]
	*Outbox
}

// Work sends what is ready for a destination until there is no more. If the process dies,
// what it had sent and not noted is sent again, with the same ids.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[DeliverArgs]) error {
	if err := w.deliver(ctx, job); err != nil {
		return w.snooze(ctx, job.JobRow, err)
	}
	return nil
}

// Timeout leaves the destination's own time limit room to speak first.
func (w *deliverWorker) Timeout(*river.Job[DeliverArgs]) time.Duration { return jobTimeout }

// NextRetry comes back soon after the death of a worker.
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
			continue // with what it is now
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
	client string // the River client that works the job
	jobID  int64
	begun  time.Time
	lease  uuid.UUID
	to     *cachedDestination
	probe  bool
	// lastSuccessSentAt is when that was sent which was sent last of all that got through before the
	// work began; nil: none was.
	lastSuccessSentAt *time.Time
	// inFlight are the deliveries that were taken and are not noted yet, with their bytes.
	inFlight map[int64]int
}

const leaseDestination = `SELECT authsync.lease_destination($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + make_interval(secs => $5))`

// leased does work while no other run may send. The lease is given back before the job
// ends, so that the next one, which may begin at once, finds it free.
func (r *run) leased(ctx context.Context, work func(context.Context) error) error {
	if err := r.takeLease(ctx); err != nil {
		return err
	}
	defer r.releaseLease(context.WithoutCancel(ctx))
	return work(ctx)
}

// takeLease keeps other runs away: there may be one whose job was taken for dead.
func (r *run) takeLease(ctx context.Context) error {
	var has bool
	if err := r.config.Pool.QueryRow(ctx, leaseDestination, r.id, r.lease, r.client, r.jobID, jobTimeout.Seconds()).Scan(&has); err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	if has {
		return nil
	}
	if _, err := r.target(ctx); errors.Is(err, errNoDestination) {
		return nil // it was removed; there is nothing to deliver
	}
	return &waitError{after: time.Second, reason: "another job, which may have died, holds the destination's lease"}
}

const releaseLease = `UPDATE authsync.destination_progress SET lease = NULL, leased_until = NULL, leased_by = NULL, leased_job = NULL WHERE destination_id = $1 AND lease = $2`

func (r *run) releaseLease(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// Otherwise rescue_jobs does it, for the job is at work no more.
	_, _ = r.config.Pool.Exec(ctx, releaseLease, r.id, r.lease)
}

// timeUp reports that others should have their turn.
func (r *run) timeUp() bool { return time.Since(r.begun) >= r.config.Slice }

// target is what is to be known of a destination before sending.
type target struct {
	ProjectID         uuid.UUID
	State             string
	UpdatedAt         time.Time
	BreakerOpenUntil  *time.Time
	LastSuccessSentAt *time.Time
}

// errNoDestination says that the destination was removed.
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

// admit finds out whether the destination may be sent to. may is false if there is nothing
// to do until somebody acts; open is until when its circuit breaker is open, if it is.
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

// pauseInvalid pauses a destination whose configuration makes none: only a person can
// help. Other errors are temporary.
func (r *run) pauseInvalid(ctx context.Context, err error) error {
	invalid, ok := errors.AsType[*destination.InvalidError](err)
	if !ok {
		return err
	}
	if _, err := r.config.Pool.Exec(ctx, haltDestination, r.id, StatePaused, invalid.Detail, r.config.Now()); err != nil {
		return fmt.Errorf("pause the destination: %w", err)
	}
	r.config.Log.ErrorContext(ctx, "destination_paused", slog.String("destination_id", r.id.String()), slog.Any("error", invalid))
	return nil
}

const takeProbe = `
	UPDATE authsync.destination_progress
	SET breaker_open_until = $2
	WHERE destination_id = $1 AND breaker_open_until = $3`

// admitProbe lets one run over all processes try a destination whose breaker is open, when
// its time has come.
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
		return &waitError{after: 2 * time.Second, reason: "another job tries now whether the destination works again"}
	}
	r.probe = true
	return nil
}

const returnProbe = `
	UPDATE authsync.destination_progress
	SET breaker_open_until = $2
	WHERE destination_id = $1 AND breaker_open_until IS NOT NULL`

// returnProbe lets another one probe, because there was nothing to send.
func (r *run) returnProbe(ctx context.Context) error {
	r.probe = false
	if _, err := r.config.Pool.Exec(ctx, returnProbe, r.id, r.config.Now()); err != nil {
		return fmt.Errorf("give the probe back: %w", err)
	}
	return nil
}
