package sender

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
)

// deliverWorker works deliver jobs.
type deliverWorker struct {
	river.WorkerDefaults[delivery.DeliverArgs]

	sender *Sender
}

// Work sends a destination's ready deliveries until none is left. If the process dies, deliveries sent but not
// recorded are sent again with the same ids.
func (w *deliverWorker) Work(ctx context.Context, job *river.Job[delivery.DeliverArgs]) error {
	if err := w.sender.deliver(ctx, job); err != nil {
		return delivery.Snooze(ctx, job.JobRow, err, w.sender.config.Pause)
	}
	return nil
}

// Timeout is longer than the destination's own timeout, so that the latter reports first.
func (w *deliverWorker) Timeout(*river.Job[delivery.DeliverArgs]) time.Duration {
	return delivery.JobTimeout
}

// NextRetry retries soon after a crashed worker.
func (w *deliverWorker) NextRetry(job *river.Job[delivery.DeliverArgs]) time.Time {
	return delivery.RetrySoon(w.sender.config.Now(), job.Attempt)
}

var (
	// errHalted means that the destination was paused, disabled or deleted.
	errHalted = errors.New("the destination is paused, disabled or deleted")
	// errChanged means that the destination's configuration has changed.
	errChanged = errors.New("the destination was changed")
)

// run is one job's work for a destination.
type run struct {
	destinationID uuid.UUID
	name          string // see runner
	begun         time.Time
}

func (s *Sender) deliver(ctx context.Context, job *river.Job[delivery.DeliverArgs]) error {
	r := run{destinationID: job.Args.DestinationID, name: runner(job.JobRow), begun: time.Now()}
	l := lease{id: uuid.New(), destinationID: r.destinationID, client: job.AttemptedBy[len(job.AttemptedBy)-1], jobID: job.ID}
	for {
		err := s.leased(ctx, l, func(ctx context.Context) error { return s.sendReady(ctx, r) })
		switch {
		case err != nil && !errors.Is(err, errChanged):
			return err
		case s.timeUp(r):
			return jobs.Yield(ctx)
		case err != nil:
			continue // continue with the new configuration
		}
		finished, err := jobs.Finish(ctx, s.config.Pool, job.JobRow, r.destinationID.String(), s.config.Now())
		if err != nil || finished != jobs.Busy {
			return err
		}
	}
}

// timeUp reports whether the run has used up its time slice.
func (s *Sender) timeUp(r run) bool { return time.Since(r.begun) >= s.config.Slice }

// sendReady sends until nothing is ready or the time slice is used up. An error is the reason why nothing more can
// be sent now.
func (s *Sender) sendReady(ctx context.Context, r run) error {
	to, err := s.admit(ctx, r.destinationID)
	if err != nil || to == nil {
		return err
	}
	probe := false
	if to.breakerOpenUntil != nil {
		if err := s.takeProbe(ctx, r.destinationID, *to.breakerOpenUntil); err != nil {
			return err
		}
		probe = true
	}
	w := newWindow(ctx, s, r, *to, probe)
	err = w.loop(ctx)
	w.close()
	if w.probe && ctx.Err() == nil { // the time slice was used up before the probe was sent
		if returned := w.returnProbe(ctx); err == nil {
			err = returned
		}
	}
	if errors.Is(err, errHalted) {
		return nil
	}
	return err
}
