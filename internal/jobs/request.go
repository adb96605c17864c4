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

// The kinds of jobs that exist once for each subject; see authsync.request_job.
const (
	ApplyInbox   = "apply_inbox"   // of a project
	RelayChanges = "relay_changes" // of a project
	Deliver      = "deliver"       // of a destination
	RefreshUsers = "refresh_users" // of a provider of a project
	Backfill     = "backfill"      // of a run: a backfill or a reconcile
	RepairMirror = "repair_mirror" // of a project
)

// DB is a pool or a transaction of the control database.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const requestJob = `SELECT authsync.request_job($1, $2, $3)`

// Request asks for the job of a subject, in the transaction that makes its work; see authsync.request_job.
func Request(ctx context.Context, db DB, args river.JobArgs, subject string) error {
	if _, err := db.Exec(ctx, requestJob, args.Kind(), subject, args); err != nil {
		return fmt.Errorf("request a job: %w", err)
	}
	return nil
}

// Finished says what became of an attempt to end a job.
type Finished string

// Idle: the job has ended. Busy: there is more to do. Lost: the job is another run's by now, or not the
// one of its subject, and ends without a word.
const (
	Idle Finished = "idle"
	Busy Finished = "busy"
	Lost Finished = "lost"
)

const finishIfIdle = `SELECT authsync.finish_if_idle($1, $2, $3, $4, $5, $6)`

// Finish completes the job of a subject if there is nothing more to do. In a transaction it is the
// last statement.
func Finish(ctx context.Context, db DB, job *rivertype.JobRow, subject string, now time.Time) (Finished, error) {
	return finish(ctx, db, job, subject, now, true)
}

// End ends the job of a subject, or lets it go on where there is more to do.
func End(ctx context.Context, db DB, job *rivertype.JobRow, subject string, now time.Time) error {
	finished, err := Finish(ctx, db, job, subject, now)
	if err == nil && finished == Busy {
		return Yield(ctx)
	}
	return err
}

// Release lets the subject go idle without completing the job, which looks for work once
// more then: that is in another database. If it finds some, it requests a job.
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

// Owns reports whether a job is the one of its subject. One that is not ends by Finish without working.
func Owns(ctx context.Context, db DB, job *rivertype.JobRow, subject string) (owns bool, err error) {
	if err := db.QueryRow(ctx, ownsSubject, job.Kind, subject, job.ID).Scan(&owns); err != nil {
		return false, fmt.Errorf("read whose job it is: %w", err)
	}
	return owns, nil
}

// WaitError says that there is work that cannot be done now: the job waits, which costs it no attempt.
type WaitError struct {
	After time.Duration
	Err   error
	// Failed: it was an attempt, and waits longer each time, up to Most (0: half a minute); After
	// says for how long the first time. Progressed: it got something done before, so this is the first time again.
	// Exact: After is for how long this time; see Backoff.
	Failed, Progressed, Exact bool
	Most                      time.Duration
}

func (e *WaitError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *WaitError) Unwrap() error { return e.Err }

// longestWait bounds how the wait of a job grows that fails again and again.
const longestWait = 30 * time.Second

// output is what River keeps with a job that waits, and its UI shows.
type output struct {
	WaitReason          string `json:"wait_reason,omitempty"`
	ConsecutiveFailures int    `json:"consecutive_failures,omitempty"`
}

// Wait puts a job off and notes why. Nothing that is not the work's fault may use up a job.
// Only failures lengthen the next wait: to wait for one's turn is none.
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

// Backoff is for how long a job would wait that fails now: longer each time, from first up to most (0: half a minute).
func Backoff(job *rivertype.JobRow, first, most time.Duration) time.Duration {
	return backoff(first, most, consecutiveFailures(job))
}

func backoff(first, most time.Duration, failures int) time.Duration {
	after := min(first<<min(failures, 10), cmp.Or(most, longestWait))
	return after + rand.N(after/4+1) // those who failed together do not come back together
}

// consecutiveFailures is how often a job has failed in a row.
func consecutiveFailures(job *rivertype.JobRow) int {
	var metadata struct {
		Output output `json:"output"`
	}
	if err := json.Unmarshal(job.Metadata, &metadata); err != nil { // another one's output, then
		return 0
	}
	return metadata.Output.ConsecutiveFailures
}

// Yield puts a job behind those of others that wait. Nothing failed, so the next failure is the first.
func Yield(ctx context.Context) error {
	if err := river.RecordOutput(ctx, output{}); err != nil {
		return fmt.Errorf("forget why the job waited: %w", err)
	}
	return river.JobSnooze(0)
}

// Yields reports that an error is none, but what Yield or Wait has said.
func Yields(err error) bool {
	_, ok := errors.AsType[*river.JobSnoozeError](err)
	return ok
}
