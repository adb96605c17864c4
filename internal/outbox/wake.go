package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/redact"
)

const selectAsked = `SELECT coalesce((SELECT w.asked FROM authsync.wakes AS w WHERE w.kind = $1 AND w.subject = $2), 0)`

// asked says how often a job was asked for. It is read before looking for work.
func (o *Outbox) asked(ctx context.Context, kind string, subject uuid.UUID) (seen int64, err error) {
	if err := o.config.Pool.QueryRow(ctx, selectAsked, kind, subject).Scan(&seen); err != nil {
		return 0, fmt.Errorf("read the wake: %w", err)
	}
	return seen, nil
}

// rest completes the job unless somebody has asked for it since seen was read.
func rest[T river.JobArgs](ctx context.Context, o *Outbox, job *river.Job[T], kind string, subject uuid.UUID, seen int64) (ended bool, err error) {
	err = pgdb.InTx(ctx, o.config.Pool, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT authsync.rest($1, $2, $3, $4, $5)`, kind, subject, job.ID, seen, o.config.Now()).Scan(&ended)
		if err != nil || !ended {
			return err
		}
		return complete(ctx, tx, job)
	})
	if err != nil {
		return false, fmt.Errorf("end the job: %w", err)
	}
	return ended, nil
}

const ownsWake = `SELECT coalesce((SELECT w.job_id = $3 FROM authsync.wakes AS w WHERE w.kind = $1 AND w.subject = $2 FOR UPDATE), false)`

// handOver completes the job and makes the next one, which stands behind the jobs of
// others that wait.
func handOver[T river.JobArgs](ctx context.Context, o *Outbox, job *river.Job[T], kind string, subject uuid.UUID) error {
	err := pgdb.InTx(ctx, o.config.Pool, func(tx pgx.Tx) error {
		var owns bool
		if err := tx.QueryRow(ctx, ownsWake, kind, subject, job.ID).Scan(&owns); err != nil {
			return err
		}
		if owns {
			if _, err := tx.Exec(ctx, `SELECT authsync.start_job($1, $2)`, kind, subject); err != nil {
				return err
			}
		}
		return complete(ctx, tx, job)
	})
	if err != nil {
		return fmt.Errorf("hand the job over: %w", err)
	}
	return nil
}

func complete[T river.JobArgs](ctx context.Context, tx pgx.Tx, job *river.Job[T]) error {
	_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
	return err
}

// waitError says that there is work, but that it cannot be done now. The job is put off, which
// costs it no attempt; SQL and River UI show the reason in its output.
type waitError struct {
	after   time.Duration
	because string
}

func (e *waitError) Error() string { return e.because }

// later turns an error into a snooze. Nothing of it is the job's fault.
func (o *Outbox) later(ctx context.Context, metadata []byte, err error) error {
	after, because := backOff(metadata), redact.Text(err)
	var wait *waitError
	var delay *mirror.DelayError
	switch {
	case ctx.Err() != nil: // we are being stopped; another process goes on
		return river.JobSnooze(0)
	case errors.As(err, &wait):
		after, because = wait.after, wait.because
	case errors.As(err, &delay):
		after, because = delay.After, "the project's database cannot be used now: "+redact.Text(delay.Err)
	}
	if err := river.RecordOutput(ctx, map[string]string{"waits_because": because}); err != nil {
		return err
	}
	return river.JobSnooze(max(o.config.Retry(after), 0))
}

// backOff doubles with each time that the job was put off, from one second to half a minute.
func backOff(metadata []byte) time.Duration {
	var read struct {
		Snoozes int `json:"snoozes"`
	}
	if err := json.Unmarshal(metadata, &read); err != nil { // River's own, so it cannot be
		read.Snoozes = 0
	}
	return min(time.Second<<min(read.Snoozes, 5), 30*time.Second)
}

// soonAgain is when to come back after the death of a worker: it was not the work.
func soonAgain(attempt int) time.Time {
	return time.Now().Add(min(time.Duration(attempt)*time.Second, 10*time.Second))
}
