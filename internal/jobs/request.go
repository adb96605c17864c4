package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// The kinds of jobs that exist once per subject; see authsync.request_job.
const (
	ApplyInbox   = "apply_inbox"   // per project
	RelayChanges = "relay_changes" // per project
	Deliver      = "deliver"       // per destination
	RefreshUsers = "refresh_users" // per provider of a project
	Backfill     = "backfill"      // per sync run: a backfill or a reconcile
	RepairMirror = "repair_mirror" // per project
	EraseUser    = "erase_user"    // per erasure
	CopyMirror   = "copy_mirror"   // per clone
	// ProvisionWebhook sets up the webhook of a provider of a project there.
	ProvisionWebhook = "provision_webhook"
)

// DB is a pool or a transaction.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const requestJob = `SELECT authsync.request_job($1, $2, $3)`

// Request requests the job of a subject, in the transaction that creates its work; see
// authsync.request_job.
func Request(ctx context.Context, db DB, args river.JobArgs, subject string) error {
	if _, err := db.Exec(ctx, requestJob, args.Kind(), subject, args); err != nil {
		return fmt.Errorf("request a job: %w", err)
	}
	return nil
}

// Finished is the result of trying to end a job.
type Finished string

// Idle: the job has ended. Busy: there is more to do. Lost: the job now belongs to another run, or
// is not its subject's, and ends silently.
const (
	Idle Finished = "idle"
	Busy Finished = "busy"
	Lost Finished = "lost"
)

const finishIfIdle = `SELECT authsync.finish_if_idle($1, $2, $3, $4, $5, $6)`

// Finish completes the job of a subject if there is no more work. In a transaction it must be the
// last statement.
func Finish(ctx context.Context, db DB, job *rivertype.JobRow, subject string, now time.Time) (Finished, error) {
	return finish(ctx, db, job, subject, now, true)
}

// End ends the job of a subject, or lets it continue if there is more work.
func End(ctx context.Context, db DB, job *rivertype.JobRow, subject string, now time.Time) error {
	finished, err := Finish(ctx, db, job, subject, now)
	if err == nil && finished == Busy {
		return Yield(ctx)
	}
	return err
}

// Release marks the subject idle without completing the job, for work in another database: the
// caller then looks for work once more and, if it finds some, requests a job.
func Release(ctx context.Context, db DB, job *rivertype.JobRow, subject string, now time.Time) (Finished, error) {
	return finish(ctx, db, job, subject, now, false)
}

func finish(ctx context.Context, db DB, job *rivertype.JobRow, subject string, now time.Time, complete bool) (f Finished, err error) {
	err = db.QueryRow(ctx, finishIfIdle, job.Kind, subject, job.ID, job.AttemptedAt, now, complete).Scan(&f)
	if err != nil {
		return "", fmt.Errorf("end the job: %w", err)
	}
	return f, nil
}

const ownsSubject = `
	SELECT EXISTS (SELECT FROM authsync.job_requests AS r WHERE r.kind = $1 AND r.subject = $2 AND r.job_id = $3)`

// Owns reports whether a job is its subject's current one. Any other ends through Finish without
// working.
func Owns(ctx context.Context, db DB, job *rivertype.JobRow, subject string) (owns bool, err error) {
	if err := db.QueryRow(ctx, ownsSubject, job.Kind, subject, job.ID).Scan(&owns); err != nil {
		return false, fmt.Errorf("read whose job it is: %w", err)
	}
	return owns, nil
}

// WaitError reports that work cannot be done now: the job waits, without using up an attempt.
type WaitError struct {
	After time.Duration
	Err   error
	// Failed means that it was an attempt: the wait grows each time from After up to Most (0 means
	// 30 s). Progressed restarts the growth, because something got done first. Exact means that
	// this wait is exactly After; see Backoff.
	Failed, Progressed, Exact bool
	Most                      time.Duration
}

func (e *WaitError) Error() string { return e.Err.Error() }

func (e *WaitError) Unwrap() error { return e.Err }

// longestWait limits the growing wait of a job that keeps failing.
const longestWait = 30 * time.Second

// output is what River stores with a waiting job and its UI shows.
type output struct {
	WaitReason          string `json:"wait_reason,omitempty"`
	ConsecutiveFailures int    `json:"consecutive_failures,omitempty"`
}

// Wait snoozes a job and records the reason, so that causes outside the work never use up its
// attempts. Only failures lengthen the next wait, not waiting for a turn.
func Wait(ctx context.Context, job *rivertype.JobRow, reason string, wait *WaitError) error {
	next := output{WaitReason: reason, ConsecutiveFailures: consecutiveFailures(job)}
	after := wait.After
	if wait.Progressed {
		next.ConsecutiveFailures = 0
	}
	if wait.Failed {
		if !wait.Exact {
			after = backoff(after, wait.Most, next.ConsecutiveFailures)
		}
		next.ConsecutiveFailures++
	}
	if err := river.RecordOutput(ctx, next); err != nil {
		return errors.Join(err, wait)
	}
	return river.JobSnooze(max(after, 0))
}

// Backoff returns how long a job that fails now would wait: it grows each time, from first up to
// most (0 means 30 s).
func Backoff(job *rivertype.JobRow, first, most time.Duration) time.Duration {
	return backoff(first, most, consecutiveFailures(job))
}

func backoff(first, most time.Duration, failures int) time.Duration {
	after := min(first<<min(failures, 10), cmp.Or(most, longestWait))
	return after + rand.N(after/4+1) // jitter, so that jobs that failed together do not retry together
}

// consecutiveFailures returns how often a job has failed in a row.
func consecutiveFailures(job *rivertype.JobRow) int {
	var metadata struct {
		Output output `json:"output"`
	}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil { // then the output is not ours
		return 0
	}
	return metadata.Output.ConsecutiveFailures
}

// Yield puts a job behind other waiting ones. It is not a failure, so it resets the backoff.
func Yield(ctx context.Context) error {
	if err := river.RecordOutput(ctx, output{}); err != nil {
		return fmt.Errorf("forget why the job waited: %w", err)
	}
	return river.JobSnooze(0)
}

// Yields reports whether err comes from Yield or Wait rather than from a failure.
func Yields(err error) bool {
	_, ok := errors.AsType[*river.JobSnoozeError](err)
	return ok
}
