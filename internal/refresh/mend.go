package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/pgdb"
)

// mendEvery is how often to look for users that wait for a job that is gone.
const mendEvery = time.Minute

// Periodic gives the jobs that a River client with these workers inserts by itself.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{river.NewPeriodicJob(
		river.PeriodicInterval(mendEvery),
		func() (river.JobArgs, *river.InsertOpts) { return mendArgs{}, nil },
		&river.PeriodicJobOpts{RunOnStart: true},
	)}
}

// mendArgs are the arguments of mend_refreshes.
type mendArgs struct{}

// Kind names the job.
func (mendArgs) Kind() string { return "mend_refreshes" }

// InsertOpts: the next one comes in a minute anyway.
func (mendArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: JobQueue, MaxAttempts: 5}
}

// mendWorker works mend_refreshes.
type mendWorker struct {
	river.WorkerDefaults[mendArgs]

	config Config
}

const (
	selectWithoutJob = `
		SELECT r.project_id, r.provider
		FROM authsync.refresh_jobs AS r
		WHERE NOT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.id = r.job_id AND j.finalized_at IS NULL)
		ORDER BY r.project_id, r.provider`

	// Unlike lockJob, it makes no row: without one there is nobody to be read.
	lockJobIfAny = `SELECT job_id FROM authsync.refresh_jobs WHERE project_id = $1 AND provider = $2 FOR UPDATE`
)

// Work makes a job for users whose job a person cancelled or deleted.
func (w *mendWorker) Work(ctx context.Context, _ *river.Job[mendArgs]) error {
	rows, err := w.config.Pool.Query(ctx, selectWithoutJob)
	if err != nil {
		return fmt.Errorf("look for users whose job is gone: %w", err)
	}
	alone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		ProjectID uuid.UUID
		Provider  string
	}])
	if err != nil {
		return fmt.Errorf("look for users whose job is gone: %w", err)
	}
	var errs []error
	for _, a := range alone {
		errs = append(errs, w.mend(ctx, a.ProjectID, a.Provider))
	}
	return errors.Join(errs...)
}

func (w *mendWorker) mend(ctx context.Context, projectID uuid.UUID, providerName string) error {
	var made bool
	err := pgdb.InTx(ctx, w.config.Pool, func(tx pgx.Tx) (err error) {
		made, err = w.config.Queue.ensureJob(ctx, tx, lockJobIfAny, projectID, providerName)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // it has ended meanwhile
	}
	if made {
		w.config.Log.WarnContext(ctx, "refreshes_got_another_job", slog.String("project_id", projectID.String()),
			slog.String("provider", providerName))
	}
	return err
}
