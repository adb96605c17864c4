package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/tenantdb"
)

// waitError means that there is work which cannot be done now.
type waitError struct {
	after  time.Duration
	reason string
}

func (e *waitError) Error() string { return e.reason }

// snooze turns an error into a snooze, because it is not the job's fault.
func (o *Outbox) snooze(ctx context.Context, job *rivertype.JobRow, err error) error {
	reason, wait := redact.Reason(err), &jobs.WaitError{After: o.config.Retry(time.Second), Err: err, Failed: true}
	var known *waitError
	var delay *tenantdb.DelayError
	switch {
	case jobs.Yields(err): // a regular yield
		return err
	case ctx.Err() != nil: // shutting down; another process continues
		return river.JobSnooze(0)
	case errors.As(err, &known):
		reason, wait = known.reason, &jobs.WaitError{After: o.config.Retry(known.after), Err: err}
	case errors.As(err, &delay):
		reason = "the project's database cannot be used now: " + redact.Reason(delay.Err)
		wait = &jobs.WaitError{After: o.config.Retry(delay.After), Err: err}
	}
	return jobs.Wait(ctx, job, reason, wait)
}

// retrySoon is the time of the retry after a crash or an error of River's.
func (o *Outbox) retrySoon(attempt int) time.Time {
	return o.config.Now().Add(min(time.Duration(attempt)*time.Second, 10*time.Second))
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
