// Package clone makes the mirror of a project from the mirror of another one, its source: as it is, or following it. The job
// copy_mirror, of which there is one per clone, does it in steps, each of which is bounded, repeatable and committed:
//
//	begin      the newest change of the source is noted: what is older is in all rows that are read from now on
//	copy       rows, table by table and page by page, with everything that orders events
//	remove     rows of the clone that the source does not have
//	changes    the change feed of the source; rows about which it has changes since the beginning are read again
//	following  the same for ever: the job is requested by the source's commits, and once a minute
//	still      the end
//
// Nothing but the change feed says what has changed, so that it makes no difference whether a webhook, a backfill, a reconcile,
// a refresh or a pull brought it. Events that change no value move clocks only and are not in the feed: a full copy brings these, which
// is why a clone that is to stand still is copied once more.
//
// No connection leads from one database to the other, and no transaction of the control database is open while either is used. How
// far rows are copied is in authsync.clones: repeating a page is harmless. How far the feed is copied is in the clone, in the
// transaction that copies it. A process that dies leaves a job that is rescued and goes on.
package clone

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/tenantdb"
)

const (
	// JobQueue is the queue of copy_mirror.
	JobQueue = "clones"
	// maxWorkers limits the jobs per process: each has a page of rows in memory.
	maxWorkers = 8
	// page is how many rows or changes a step copies at most.
	page = 1000
	// slice is how long a job works before it yields.
	slice = 10 * time.Second
	// noteTimeout is how long it may take to note why a clone waits.
	noteTimeout = 5 * time.Second
	// lookEvery is the interval at which all clones are looked at.
	lookEvery = time.Minute
)

// Mirrors reads the source and writes the clone; see mirror.Mirrors.
type Mirrors interface {
	CloneOrigin(ctx context.Context, source uuid.UUID) (mirror.CloneOrigin, error)
	BeginClone(ctx context.Context, clone, source uuid.UUID, o mirror.CloneOrigin) error
	ClonePage(ctx context.Context, source uuid.UUID, table mirror.CloneTable, after json.RawMessage, limit int) ([]json.RawMessage, error)
	CloneRows(ctx context.Context, source uuid.UUID, table mirror.CloneTable, keys []json.RawMessage, from int) ([]json.RawMessage, int, error)
	WriteClone(ctx context.Context, clone uuid.UUID, table mirror.CloneTable, rows []json.RawMessage) error
	CloneKeys(ctx context.Context, clone uuid.UUID, table mirror.CloneTable, after json.RawMessage, limit int) ([]json.RawMessage, error)
	MissingFrom(ctx context.Context, source uuid.UUID, table mirror.CloneTable, keys []json.RawMessage) ([]json.RawMessage, error)
	RemoveFromClone(ctx context.Context, clone uuid.UUID, table mirror.CloneTable, keys []json.RawMessage) error
	CloneProgress(ctx context.Context, clone uuid.UUID) (*mirror.CloneProgress, error)
	CloneChanges(ctx context.Context, source uuid.UUID, after int64, limit int) ([]mirror.CloneChange, error)
	WriteCloneChanges(ctx context.Context, clone uuid.UUID, from mirror.CloneProgress, changes []mirror.CloneChange) (bool, error)
	ChangeCursor(ctx context.Context, projectID uuid.UUID, since time.Time) (int64, error)
}

// Config configures the workers.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Mirrors Mirrors
	Log     *slog.Logger
	// Page is how many rows or changes a step copies at most; 0 means 1000.
	Page int
	// Slice is how long a job works before it yields; 0 means 10 s.
	Slice time.Duration
	// Pause replaces pauses in tests; nil keeps them.
	Pause func(time.Duration) time.Duration
	Now   func() time.Time // nil means time.Now
}

// Register adds the workers and their queue to a River client under construction; see jobs.New.
func Register(c Config) jobs.Register {
	w := newWorker(c)
	return func(workers *river.Workers, queues map[string]river.QueueConfig) {
		river.AddWorker(workers, w)
		river.AddWorker(workers, &lookWorker{Config: w.Config})
		queues[JobQueue] = river.QueueConfig{MaxWorkers: maxWorkers}
	}
}

// worker works copy_mirror.
type worker struct {
	river.WorkerDefaults[project.CloneArgs]
	*Config

	shares *shares
}

func newWorker(c Config) *worker {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pause == nil {
		c.Pause = func(pause time.Duration) time.Duration { return pause }
	}
	c.Page, c.Slice = cmp.Or(c.Page, page), cmp.Or(c.Slice, slice)
	return &worker{Config: &c, shares: newShares(maxWorkers)}
}

// Timeout is that of all jobs.
func (w *worker) Timeout(*river.Job[project.CloneArgs]) time.Duration { return jobs.Timeout }

// NextRetry retries soon after a worker died.
func (w *worker) NextRetry(job *river.Job[project.CloneArgs]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 10*time.Second))
}

// errMoved means that a request came, or that another worker, which presumed this one dead, has gone on with the clone.
var errMoved = errors.New("another worker goes on with the clone")

// Work continues a clone for a slice of time, or until there is nothing to copy.
func (w *worker) Work(ctx context.Context, job *river.Job[project.CloneArgs]) error {
	until := time.Now().Add(w.Slice)
	owns, err := jobs.Owns(ctx, w.Pool, job.JobRow, job.Args.Subject())
	if err == nil && owns {
		var yields bool
		if yields, err = w.proceed(ctx, job, until); yields {
			return jobs.Yield(ctx)
		}
	} else if err == nil {
		return jobs.End(ctx, w.Pool, job.JobRow, job.Args.Subject(), w.Now())
	}
	var wait *jobs.WaitError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled), errors.Is(err, errMoved):
		return jobs.Yield(ctx)
	case errors.Is(err, errBusy): // nothing is wrong with the clone
		return jobs.Wait(ctx, job.JobRow, errBusy.Error(), &jobs.WaitError{After: w.Pause(busyPause + rand.N(busyPause))})
	case !errors.As(err, &wait):
		wait = &jobs.WaitError{After: time.Second, Err: err, Failed: true}
		if delay, is := errors.AsType[*tenantdb.DelayError](err); is {
			wait = &jobs.WaitError{After: delay.After, Err: err}
		} else {
			w.Log.WarnContext(ctx, "job_snoozed", slog.Int64("job_id", job.ID), slog.String("kind", job.Kind), slog.Any("error", err))
		}
	}
	reason := reasonOf(err)
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout) // the job's time may be up: databases that do not answer use it
	defer cancel()
	if _, err := w.Pool.Exec(noting, setWaitReason, job.Args.ProjectID, reason); err != nil {
		return fmt.Errorf("note what a clone waits for: %w", err)
	}
	wait.After = w.Pause(wait.After)
	return jobs.Wait(ctx, job.JobRow, reason, wait)
}

// proceed does step after step until there is nothing to do and the job has ended, or the slice is used up: then it yields.
func (w *worker) proceed(ctx context.Context, job *river.Job[project.CloneArgs], until time.Time) (yields bool, err error) {
	subject := job.Args.Subject()
	for {
		r, err := w.load(ctx, job.Args.ProjectID)
		if err != nil {
			return false, err
		}
		if r == nil {
			return false, jobs.End(ctx, w.Pool, job.JobRow, subject, w.Now())
		}
		idle, err := w.shared(ctx, r)
		if err != nil {
			return false, err
		}
		if idle {
			// The subject goes idle first and then is looked at once more: what the source commits later requests a job.
			finished, err := jobs.Release(ctx, w.Pool, job.JobRow, subject, w.Now())
			if err != nil || finished == jobs.Lost {
				return false, err
			}
			if finished == jobs.Idle {
				return false, w.recheck(ctx, job.Args.ProjectID)
			}
		}
		if !time.Now().Before(until) {
			return true, nil
		}
	}
}

// shared does a step within the share that the clones of one source have of the workers.
func (w *worker) shared(ctx context.Context, r *run) (idle bool, err error) {
	if !w.shares.take(r.source) {
		return false, errBusy
	}
	defer w.shares.give(r.source)
	return r.step(ctx)
}

// recheck requests a job if the source has changes that the clone lacks.
func (w *worker) recheck(ctx context.Context, projectID uuid.UUID) error {
	r, err := w.load(ctx, projectID)
	if err != nil || r == nil {
		return err
	}
	known, err := w.Mirrors.CloneProgress(ctx, projectID)
	if err == nil && known != nil {
		var newest int64
		if newest, err = w.Mirrors.ChangeCursor(ctx, r.source, time.Time{}); err == nil && newest <= known.ChangeID {
			return nil
		}
	}
	return project.RequestClone(ctx, w.Pool, projectID)
}

const (
	selectClone = `
		SELECT c.source_project_id, c.mode, c.phase, c.place, c.steps, c.rows_copied, c.changes_copied
		FROM authsync.clones AS c
		WHERE c.project_id = $1 AND c.phase <> 'still'`

	commitStep = `
		UPDATE authsync.clones AS c SET
			steps = c.steps + 1, phase = $3, place = $4, rows_expected = coalesce($5, c.rows_expected), rows_copied = $6,
			changes_copied = $7, changes_behind = $8, copied_at = coalesce($9, c.copied_at), caught_up_at = coalesce($10, c.caught_up_at),
			wait_reason = NULL, updated_at = $11
		WHERE c.project_id = $1 AND c.steps = $2`

	setWaitReason = `UPDATE authsync.clones AS c SET wait_reason = $2 WHERE c.project_id = $1 AND c.phase <> 'still'`

	requestAll = `
		SELECT authsync.request_job('copy_mirror', c.project_id::text, jsonb_build_object('project_id', c.project_id))
		FROM (SELECT o.project_id FROM authsync.clones AS o WHERE o.phase <> 'still' ORDER BY o.project_id) AS c`
)

// place is how far the rows are copied: a table, and the last row's key.
type place struct {
	Table int             `json:"table"`
	After json.RawMessage `json:"after,omitempty"`
}

// run is a clone at work.
type run struct {
	*worker

	id, source uuid.UUID
	row        cloneRow
	place      place
	// What a step changes beside the place.
	expected, behind   *int64
	copiedAt, caughtUp *time.Time
}

type cloneRow struct {
	SourceProjectID *uuid.UUID
	Mode, Phase     string
	Place           json.RawMessage
	Steps           int64
	RowsCopied      int64
	ChangesCopied   int64
}

// load reads a clone; nil: there is nothing to do.
func (w *worker) load(ctx context.Context, id uuid.UUID) (*run, error) {
	row, err := pgdb.CollectOne[cloneRow](ctx, w.Pool, selectClone, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // that there is nothing to do is not an error
	}
	if err != nil {
		return nil, fmt.Errorf("read a clone: %w", err)
	}
	r := &run{worker: w, id: id, row: row, source: *row.SourceProjectID} // not null in these phases: clones_source_check
	if row.Place != nil {
		if err := json.Unmarshal(row.Place, &r.place); err != nil {
			return nil, fmt.Errorf("read how far a clone is: %w", err)
		}
	}
	return r, nil
}

// commit records a step.
func (r *run) commit(ctx context.Context, phase string, next *place) error {
	tag, err := r.Pool.Exec(ctx, commitStep, r.id, r.row.Steps, phase, next, r.expected, r.row.RowsCopied, r.row.ChangesCopied, r.behind,
		r.copiedAt, r.caughtUp, r.Now())
	if err != nil {
		return fmt.Errorf("record a step of a clone: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return errMoved
	}
	return nil
}

// sideError says in which of the two databases a step failed.
type sideError struct {
	side string
	err  error
}

func (e *sideError) Error() string { return e.side + ": " + e.err.Error() }
func (e *sideError) Unwrap() error { return e.err }

func inSource(err error) error { return on("the source's database", err) }

func inClone(err error) error { return on("the clone's database", err) }

func on(side string, err error) error {
	if err == nil {
		return nil
	}
	return &sideError{side, err}
}

// reasonOf is an error for people who look at the clone.
func reasonOf(err error) string {
	reason := redact.Reason(err)
	if side, is := errors.AsType[*sideError](err); is {
		if delay, is := errors.AsType[*tenantdb.DelayError](err); is {
			return side.side + " cannot be used now: " + redact.Reason(delay.Err)
		}
		return side.side + ": " + redact.Reason(side.err)
	}
	return reason
}

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(lookEvery, lookArgs{})}
}

// lookArgs are the arguments of look_at_clones.
type lookArgs struct{}

func (lookArgs) Kind() string { return "look_at_clones" }

// InsertOpts allows few attempts: the next job comes in a minute anyway.
func (lookArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 5} }

// lookWorker works look_at_clones.
type lookWorker struct {
	river.WorkerDefaults[lookArgs]
	*Config
}

// Timeout is that of all jobs.
func (w *lookWorker) Timeout(*river.Job[lookArgs]) time.Duration { return jobs.Timeout }

// Work requests the jobs of all clones that do not stand still: one whose source has not committed anything for long is known to
// be up to date only if somebody looks, and a request may have been lost.
func (w *lookWorker) Work(ctx context.Context, _ *river.Job[lookArgs]) error {
	if _, err := w.Pool.Exec(ctx, requestAll); err != nil {
		return fmt.Errorf("request the jobs of clones: %w", err)
	}
	return nil
}
