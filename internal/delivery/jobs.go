package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/tenantdb"
)

// WaitError means that there is work which cannot be done now.
type WaitError struct {
	After  time.Duration
	Reason string
}

func (e *WaitError) Error() string { return e.Reason }

// Snooze turns an error into a snooze, because it is not the job's fault. pause returns how long a pause of that
// length is: tests shorten it.
func Snooze(ctx context.Context, job *rivertype.JobRow, err error, pause func(time.Duration) time.Duration) error {
	reason, wait := redact.Reason(err), &jobs.WaitError{After: pause(time.Second), Err: err, Failed: true}
	var known *WaitError
	var delay *tenantdb.DelayError
	switch {
	case jobs.Yields(err): // a regular yield
		return err
	case ctx.Err() != nil: // shutting down; another process continues
		return river.JobSnooze(0)
	case errors.As(err, &known):
		reason, wait = known.Reason, &jobs.WaitError{After: pause(known.After), Err: err}
	case errors.As(err, &delay):
		reason = "the project's database cannot be used now: " + redact.Reason(delay.Err)
		wait = &jobs.WaitError{After: pause(delay.After), Err: err}
	}
	return jobs.Wait(ctx, job, reason, wait)
}

// RetrySoon is the time of the retry after a crash or an error of River's.
func RetrySoon(now time.Time, attempt int) time.Time {
	return now.Add(min(time.Duration(attempt)*time.Second, 10*time.Second))
}

// Execer is a pool or a transaction of the control database.
type Execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

const requestRelay = `SELECT authsync.request_relay($1)`

// RequestRelay requests the relay of a project. Code that changes a mirror calls it after committing there,
// and before or in the transaction that records this, so that after a crash in between it is called again. It
// does nothing for a project without destinations.
func RequestRelay(ctx context.Context, db Execer, projectID uuid.UUID) error {
	if _, err := db.Exec(ctx, requestRelay, projectID); err != nil {
		return fmt.Errorf("request the relay: %w", err)
	}
	return nil
}

const requestDelivery = `SELECT authsync.request_delivery($1)`

// RequestDelivery requests the job of a destination that has ready deliveries.
func RequestDelivery(ctx context.Context, db Execer, destinationID uuid.UUID) error {
	if _, err := db.Exec(ctx, requestDelivery, destinationID); err != nil {
		return fmt.Errorf("request the destination's job: %w", err)
	}
	return nil
}
