// Package prune deletes what is past its retention in the projects' databases: entries of the ledger, and changes that later
// ones of the same record have superseded. It is River's job prune_mirrors, every hour.
//
//	ledger    older than its period, and than all messages that the inbox still has of the project
//	changes   older than their period, read by every destination, needed by no delivery that may still be sent
//
// It may run at any time, beside everything else and more than once: each batch is a transaction that checks for itself. If
// the process dies, the next job goes on. authsync.mirror_prunings says how far each project is, and why not further.
package prune

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pause"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/retention"
)

const (
	pruneEvery = time.Hour
	// runFor is how long a job takes at most, projectFor how long it stays with one project: the rest of a large one is for the
	// next job.
	runFor, projectFor = 50 * time.Minute, 5 * time.Minute
	// atOnce is the number of projects at the same time.
	atOnce = 4
	// defaultBatch bounds a transaction in a customer's database.
	defaultBatch = 1000
	// clockMargin is by how much the clocks of the two databases may differ.
	clockMargin = time.Hour
	// failedFor is how long a failed delivery keeps the changes that sending it again needs, where deliveries are kept forever.
	failedFor = 90 * 24 * time.Hour
)

// Mirrors are the projects' databases; see mirror.Mirrors.
type Mirrors interface {
	PruneLedger(ctx context.Context, projectID uuid.UUID, before time.Time, limit int) (deleted int, err error)
	PrunableChanges(ctx context.Context, projectID uuid.UUID, before time.Time, to int64, limit int) ([]mirror.PrunableChange, error)
	PruneChanges(ctx context.Context, projectID uuid.UUID, to int64) (deleted int, err error)
}

// Config configures the job.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Mirrors Mirrors
	// Retention is how long what a project has no setting for is kept.
	Retention retention.Defaults
	Log       *slog.Logger
	// Batch is the number of rows per transaction; 0 means 1000.
	Batch int
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Register returns what adds the worker to the configuration of a River client.
func Register(config Config) jobs.Register {
	return func(workers *river.Workers, _ map[string]river.QueueConfig) {
		river.AddWorker(workers, &worker{pruner: New(config)})
	}
}

// Periodic returns the periodic job of the worker.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(pruneEvery, pruneArgs{})}
}

// pruneArgs are the arguments of prune_mirrors.
type pruneArgs struct{}

func (pruneArgs) Kind() string { return "prune_mirrors" }

// InsertOpts allows few attempts: the next job comes in an hour anyway.
func (pruneArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 2} }

type worker struct {
	river.WorkerDefaults[pruneArgs]

	pruner *Pruner
}

// Timeout is longer than a run.
func (*worker) Timeout(*river.Job[pruneArgs]) time.Duration { return runFor + time.Minute }

// Work prunes all mirrors.
func (w *worker) Work(ctx context.Context, _ *river.Job[pruneArgs]) error {
	ctx, cancel := context.WithTimeout(ctx, runFor)
	defer cancel()
	return w.pruner.All(ctx)
}

// Pruner prunes mirrors.
type Pruner struct{ config Config }

// New returns a Pruner.
func New(config Config) *Pruner {
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Batch == 0 {
		config.Batch = defaultBatch
	}
	return &Pruner{config}
}

// project is one whose mirror is pruned.
type project struct {
	ID       uuid.UUID
	Settings retention.Settings
}

// Those that were attempted least recently come first, so that a run that does not reach all of them reaches each in turn.
const selectProjects = `
	SELECT p.id, p.keep_inbox, p.keep_ledger, p.keep_changes, p.keep_deliveries
	FROM authsync.projects AS p
	LEFT JOIN authsync.mirror_prunings AS m ON m.project_id = p.id
	ORDER BY m.attempted_at NULLS FIRST, p.id`

// All prunes the mirrors of all projects. One that cannot be reached delays no other; it is attempted again by the next call.
func (p *Pruner) All(ctx context.Context) error {
	rows, err := p.config.Pool.Query(ctx, selectProjects)
	if err != nil {
		return fmt.Errorf("read which mirrors there are: %w", err)
	}
	projects, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (one project, err error) {
		s := &one.Settings
		err = row.Scan(&one.ID, &s.Inbox, &s.Ledger, &s.Changes, &s.Deliveries)
		return one, err
	})
	if err != nil {
		return fmt.Errorf("read which mirrors there are: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for _, one := range projects {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error { return p.one(ctx, one) })
	}
	return group.Wait()
}

// pruned is what a run did to a project.
type pruned struct {
	ledger, changes int64
	held            string // why not everything is gone
}

const recordPruning = `
	INSERT INTO authsync.mirror_prunings AS m (
		project_id, attempted_at, finished_at, last_error, held_reason, held_since, ledger_rows, change_rows
	)
	SELECT p.id, $2, CASE WHEN $3 = '' THEN $2::timestamptz END, nullif($3, ''), nullif($4, ''), CASE WHEN $4 <> '' THEN $2::timestamptz END, $5, $6
	FROM authsync.projects AS p
	WHERE p.id = $1
	ON CONFLICT (project_id) DO UPDATE SET
		attempted_at = excluded.attempted_at, finished_at = coalesce(excluded.finished_at, m.finished_at),
		last_error = excluded.last_error, held_reason = excluded.held_reason,
		held_since = CASE WHEN excluded.held_reason IS NOT NULL THEN coalesce(m.held_since, excluded.held_since) END,
		ledger_rows = m.ledger_rows + excluded.ledger_rows, change_rows = m.change_rows + excluded.change_rows`

var errNotDone = errors.New("there is more to delete than one run does; the next one goes on")

// one prunes a project and records how it went. The error is that of recording it.
func (p *Pruner) one(ctx context.Context, one project) error {
	bounded, cancel := context.WithTimeoutCause(ctx, projectFor, errNotDone)
	defer cancel()
	var done pruned
	err := p.prune(bounded, one, &done)
	reason := ""
	switch {
	case ctx.Err() != nil:
		return nil // the process is stopped, or the run is over
	case bounded.Err() != nil:
		reason = errNotDone.Error()
	case err != nil:
		reason = pgdb.Describe(err)
		p.config.Log.DebugContext(ctx, "mirror_not_pruned", slog.String("project_id", one.ID.String()), slog.Any("error", err))
	}
	if done.ledger+done.changes > 0 {
		p.config.Log.InfoContext(ctx, "mirror_pruned", slog.String("project_id", one.ID.String()),
			slog.Int64("ledger_rows", done.ledger), slog.Int64("changes", done.changes))
	}
	_, err = p.config.Pool.Exec(ctx, recordPruning, one.ID, p.config.Now(), reason, done.held, done.ledger, done.changes)
	if err != nil {
		return fmt.Errorf("record how pruning a mirror went: %w", err)
	}
	return nil
}

const selectRepairing = `SELECT EXISTS (SELECT FROM authsync.mirror_repairs AS r WHERE r.project_id = $1 AND r.finished_at IS NULL)`

func (p *Pruner) prune(ctx context.Context, one project, done *pruned) error {
	var repairing bool
	if err := p.config.Pool.QueryRow(ctx, selectRepairing, one.ID).Scan(&repairing); err != nil {
		return err
	}
	if repairing {
		done.held = "the mirror is being repaired"
		return nil
	}
	if err := p.pruneLedger(ctx, one, done); err != nil {
		return fmt.Errorf("prune the ledger: %w", err)
	}
	if err := p.pruneChanges(ctx, one, done); err != nil {
		return fmt.Errorf("prune the changes: %w", err)
	}
	return nil
}

// The oldest message that can be replayed. A few look-ups by the index of each day's partition.
const selectOldest = `SELECT i.received_at FROM authsync.inbox AS i WHERE i.project_id = $1 ORDER BY i.id LIMIT 1`

func (p *Pruner) pruneLedger(ctx context.Context, one project, done *pruned) error {
	before := one.Settings.Effective(p.config.Retention, retention.Ledger).Before(p.config.Now())
	if before.IsZero() {
		return nil
	}
	// Days are dropped whole and sometimes late: as long as a message is there, so is the entry that knows it.
	var oldest time.Time
	err := p.config.Pool.QueryRow(ctx, selectOldest, one.ID).Scan(&oldest)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if held := oldest.Add(-clockMargin); err == nil && held.Before(before) {
		before = held
	}
	for {
		began := time.Now()
		n, err := p.config.Mirrors.PruneLedger(ctx, one.ID, before, p.config.Batch)
		if err != nil {
			return err
		}
		done.ledger += int64(n)
		if n < p.config.Batch {
			return nil
		}
		// So the customer's database is left in peace half of the time.
		if err := pause.For(ctx, time.Since(began)); err != nil {
			return err
		}
	}
}
