package sender

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/delivery"
)

// lease keeps out other jobs of a destination, such as one that was presumed dead.
type lease struct {
	id            uuid.UUID
	destinationID uuid.UUID
	client        string // the River client that runs the job
	jobID         int64
}

const leaseDestination = `SELECT authsync.lease_destination($1, $2, $3, $4, clock_timestamp(), clock_timestamp() + make_interval(secs => $5))`

// leased calls work while no other job may send. It releases the lease before the job ends, so that the next
// job can start at once.
func (s *Sender) leased(ctx context.Context, l lease, work func(context.Context) error) error {
	if err := s.takeLease(ctx, l); err != nil {
		return err
	}
	defer s.releaseLease(context.WithoutCancel(ctx), l)
	return work(ctx)
}

func (s *Sender) takeLease(ctx context.Context, l lease) error {
	var has bool
	err := s.config.Pool.QueryRow(ctx, leaseDestination, l.destinationID, l.id, l.client, l.jobID, delivery.JobTimeout.Seconds()).Scan(&has)
	if err != nil {
		return fmt.Errorf("take the lease: %w", err)
	}
	if has {
		return nil
	}
	if _, err := s.target(ctx, l.destinationID); errors.Is(err, delivery.ErrNoDestination) {
		return nil // deleted: nothing to deliver
	}
	return &delivery.WaitError{After: time.Second, Reason: "another job, possibly a dead one, holds the destination's lease"}
}

const releaseLease = `UPDATE authsync.destination_progress SET lease = NULL, leased_until = NULL, leased_by = NULL, leased_job = NULL WHERE destination_id = $1 AND lease = $2`

func (s *Sender) releaseLease(ctx context.Context, l lease) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	// If this fails, rescue_jobs releases the lease, because the job is no longer running.
	_, _ = s.config.Pool.Exec(ctx, releaseLease, l.destinationID, l.id)
}
