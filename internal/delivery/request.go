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

// waitError says that there is work, but that it cannot be done now.
type waitError struct {
	after  time.Duration
	reason string
}

func (e *waitError) Error() string { return e.reason }

// snooze turns an error into a snooze. Nothing of it is the job's fault.
func (o *Outbox) snooze(ctx context.Context, job *rivertype.JobRow, err error) error {
	reason, wait := redact.Reason(err), &jobs.WaitError{After: o.config.Retry(time.Second), Err: err, Failed: true}
	var known *waitError
	var delay *tenantdb.DelayError
	switch {
	case jobs.Yields(err): // nothing is wrong: it was the turn of others
		return err
	case ctx.Err() != nil: // we are being stopped; another process goes on
		return river.JobSnooze(0)
	case errors.As(err, &known):
		reason, wait = known.reason, &jobs.WaitError{After: o.config.Retry(known.after), Err: err}
	case errors.As(err, &delay):
		reason = "the project's database cannot be used now: " + redact.Reason(delay.Err)
		wait = &jobs.WaitError{After: o.config.Retry(delay.After), Err: err}
	}
	return jobs.Wait(ctx, job, reason, wait)
}

// retrySoon is when to come back after an error that is River's, or a crash: it was not the work.
func (o *Outbox) retrySoon(attempt int) time.Time {
	return o.config.Now().Add(min(time.Duration(attempt)*time.Second, 10*time.Second))
}

const requestRelay = `SELECT authsync.request_relay($1)`

// RequestRelay asks for the relay of a project. Those who change a mirror call it after the
// change has been committed there, before or as they note so: should they die in between,
// they do it again. For a project without destinations it does nothing.
func RequestRelay(ctx context.Context, db Execer, projectID uuid.UUID) error {
	if _, err := db.Exec(ctx, requestRelay, projectID); err != nil {
		return fmt.Errorf("request the relay: %w", err)
	}
	return nil
}
