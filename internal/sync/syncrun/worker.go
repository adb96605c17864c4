package syncrun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/refresh"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/tenantdb"
)

const (
	// sliceLength is how long a job works before it yields. It is well below the time after which a
	// job is rescued (jobs.StuckAfter).
	sliceLength = 20 * time.Second
	// noTimeLeft is the part of the job's time reserved for recording its result.
	noTimeLeft = 2 * time.Second

	// maxWorkers is the number of concurrent runs of a process. Most of them wait for a provider or
	// a project database, and a slow one must not delay others. When all workers are busy, a turn
	// is one page.
	maxWorkers = 64
	// longAnswers is the number of answers over 2 MiB that a process holds at the same time.
	longAnswers = 2

	// maxConsecutiveFailures end a run: with pauses of up to maxPause, more than two hours after
	// the last page.
	maxConsecutiveFailures = 35
	firstPause             = 2 * time.Second
	maxPause               = 5 * time.Minute
	// lacksKeyPause is the pause after a process that lacks a key: the next one may have it.
	lacksKeyPause = 5 * time.Second
)

// Mirrors applies events and compares users; see mirror.Mirrors.
type Mirrors interface {
	refresh.Mirror
	Reconcile(projectID, runID uuid.UUID, provider string) *mirror.Reconcile
	// Erased tells which records were erased: they count as read, and as nothing else.
	Erased(ctx context.Context, projectID uuid.UUID, records []mirror.Owned) ([]int, error)
}

// Config configures the workers.
type Config struct {
	Pool     *pgxpool.Pool // the control database
	Store    *Store        // starts scheduled runs
	Accounts source.Accounts
	Mirrors  Mirrors
	Log      *slog.Logger
	// Slice is how long a job works before it yields; 0 means 20 s.
	Slice time.Duration
	// Workers is the number of concurrent runs; 0 means 64.
	Workers int
	// Retry replaces the pause after a failure, for tests; nil means no change.
	Retry func(time.Duration) time.Duration
	// Now is what the rows say of time; nil means PostgreSQL's clock.
	Now func() time.Time
}

// now is for statements that take PostgreSQL's clock instead of nil.
func (c *Config) now() *time.Time {
	if c.Now == nil {
		return nil
	}
	now := c.Now()
	return &now
}

// Register adds the workers and their queue to a River client under construction; see Periodic. Once the client has stopped,
// end closes the accounts that are kept for the next slices of unfinished runs.
func Register(c Config, workers *river.Workers, queues map[string]river.QueueConfig) (end func()) {
	c.Workers = cmp.Or(c.Workers, maxWorkers)
	w := newWorker(c)
	river.AddWorker(workers, w)
	river.AddWorker(workers, &scheduleWorker{store: c.Store, log: c.Log})
	queues[Queue] = river.QueueConfig{MaxWorkers: c.Workers}
	return w.sources.close
}

// worker works the job backfill.
type worker struct {
	river.WorkerDefaults[Args]

	config    Config
	sources   sourceCache
	responses *userapi.ResponseLimit
	busy      atomic.Int64 // busy workers
}

func newWorker(c Config) *worker {
	c.Slice = cmp.Or(c.Slice, sliceLength)
	if c.Retry == nil {
		c.Retry = func(pause time.Duration) time.Duration { return pause }
	}
	return &worker{config: c, sources: sourceCache{accounts: make(map[uuid.UUID]cachedSource)}, responses: userapi.NewResponseLimit(longAnswers)}
}

// Work continues a run for a slice of time. If the process dies, or the job is cancelled, the run
// continues after its last committed page.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	w.busy.Add(1)
	defer w.busy.Add(-1)
	b, err := queryOne[row](ctx, w.config.Pool, takeRun, job.Args.RunID, job.ID, job.Kind, job.Args.subject(), w.config.now())
	if errors.Is(err, pgx.ErrNoRows) {
		return w.leave(ctx, job)
	}
	if err != nil {
		return err
	}
	s := &slice{worker: w, job: job, row: b, begun: time.Now()}
	s.marked = s.begun
	working := ctx
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		working, cancel = context.WithDeadlineCause(ctx, deadline.Add(-noTimeLeft), errSlow)
		defer cancel()
	}
	err = s.work(working)
	if err == nil {
		return nil
	}
	return s.end(ctx, working, err)
}

// leave ends the job of a run that is finished, cancelled or deleted with its project, and a job
// that is not its run's current one because a user retried it.
func (w *worker) leave(ctx context.Context, job *river.Job[Args]) error {
	finished, err := jobs.Finish(ctx, w.config.Pool, job.JobRow, job.Args.subject(), time.Now())
	switch {
	case err != nil:
		return err
	case finished == jobs.Busy:
		return jobs.Yield(ctx)
	case finished == jobs.Idle: // otherwise another job may be using the account
		w.sources.release(job.Args.RunID)
	}
	return nil
}

var errSlow = errors.New("a page was not read and applied within 28 seconds")

// NextRetry retries soon after a worker died.
func (w *worker) NextRetry(job *river.Job[Args]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 10*time.Second))
}

// end decides what follows from an error: nothing, or another slice after a pause.
func (s *slice) end(ctx, working context.Context, err error) error {
	if ctx.Err() != nil { // we are shutting down: another process continues
		return jobs.Yield(ctx)
	}
	if errors.Is(context.Cause(working), errSlow) {
		err = errSlow
	}
	var (
		limited *userapi.RateLimitError
		delayed *tenantdb.DelayError
	)
	switch {
	case jobs.Yields(err):
		return err
	case fault.Is(err, fault.CredentialsRefused, fault.AccountMismatch, fault.ProviderError, fault.Unsupported):
		return s.fail(ctx, err.Error(), err)
	case errors.Is(err, project.ErrNoIntegration), errors.Is(err, project.ErrNoProject):
		return s.fail(ctx, "the integration was removed before the "+s.row.Kind+" was done", err)
	case errors.Is(err, mirror.ErrFindingsGone):
		return s.restart(ctx)
	case errors.As(err, &limited):
		return s.wait(ctx, err, err.Error(), max(limited.After, time.Second), s.row.ConsecutiveFailures)
	case errors.As(err, &delayed):
		return s.wait(ctx, err, "the project's database cannot be used now: "+pgdb.Describe(delayed.Err), delayed.After, s.row.ConsecutiveFailures)
	case errors.Is(err, seal.ErrUnknownKey): // of this process; another one may have it
		return s.wait(ctx, err, "process "+s.client()+" lacks the key that sealed the credentials: add it to its AUTHSYNC_ENCRYPTION_KEY, behind the first one and a comma",
			lacksKeyPause, s.row.ConsecutiveFailures)
	case errors.Is(err, errControl):
		return err // our own database: nothing can be recorded
	}
	consecutiveFailures := s.row.ConsecutiveFailures + 1
	if consecutiveFailures >= maxConsecutiveFailures {
		return s.fail(ctx, "given up after many attempts in a row: "+pgdb.Describe(err), err)
	}
	s.config.Log.LogAttrs(ctx, slog.LevelWarn, "run_deferred", s.attrs(slog.Any("error", err))...)
	return s.wait(ctx, err, pgdb.Describe(err), min(firstPause<<min(consecutiveFailures-1, 20), maxPause), consecutiveFailures)
}

// errControl marks an error of the control database.
var errControl = errors.New("note how far the backfill is")

const (
	takeRun = `
		UPDATE authsync.sync_runs AS b
		SET state = 'running', updated_at = coalesce($5::timestamptz, now())
		WHERE b.id = $1 AND b.state IN ('running', 'waiting')
			AND EXISTS (SELECT FROM authsync.job_requests AS q WHERE q.kind = $3 AND q.subject = $4 AND q.job_id = $2)
		RETURNING ` + columns

	deferRun = `
		UPDATE authsync.sync_runs
		SET state = 'waiting', wait_reason = $2, consecutive_failures = $3, updated_at = coalesce($4::timestamptz, now())
		WHERE id = $1 AND state IN ('running', 'waiting')`

	failRun = `
		UPDATE authsync.sync_runs
		SET state = 'failed', error = $2, wait_reason = NULL, updated_at = now(), finished_at = now()
		WHERE id = $1 AND state IN ('running', 'waiting')`
)

// wait postpones the run without using up an attempt of the job. The reason in the row may quote a
// user, the one in the job does not.
func (s *slice) wait(ctx context.Context, err error, because string, pause time.Duration, consecutiveFailures int) error {
	if _, err := s.config.Pool.Exec(ctx, deferRun, s.row.ID, because, consecutiveFailures, s.config.now()); err != nil {
		return errors.Join(errControl, err)
	}
	return jobs.Wait(ctx, s.job.JobRow, redact.Reason(err), &jobs.WaitError{After: s.config.Retry(pause)})
}

// fail ends the run permanently. The reason in the row may quote a user, the logged one does not.
func (s *slice) fail(ctx context.Context, because string, err error) error {
	gone := pgdb.InTx(ctx, s.config.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, failRun, s.row.ID, because); err != nil {
			return err
		}
		_, err := jobs.Release(ctx, tx, s.job.JobRow, s.job.Args.subject(), time.Now()) // the job is to end as cancelled
		return err
	})
	if gone != nil {
		return errors.Join(errControl, gone)
	}
	s.sources.release(s.row.ID)
	s.config.Log.LogAttrs(ctx, slog.LevelWarn, "run_failed", s.attrs(slog.Any("error", err))...)
	return river.JobCancel(fmt.Errorf("%s %s failed: authsync.sync_runs has the reason", s.row.Kind, s.row.ID))
}

// client names this process, as River does.
func (s *slice) client() string {
	if n := len(s.job.AttemptedBy); n > 0 {
		return s.job.AttemptedBy[n-1]
	}
	return "?"
}

// attrs returns the log attributes that identify the run.
func (s *slice) attrs(more ...slog.Attr) []slog.Attr {
	return append([]slog.Attr{
		slog.String("project_id", s.row.ProjectID.String()), slog.String("provider", s.row.Provider),
		slog.String("kind", s.row.Kind), slog.String("run_id", s.row.ID.String()), slog.Int64("read", s.row.Read),
	}, more...)
}
