package syncrun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// lookEvery is the interval between checks of the schedules.
const lookEvery = time.Minute

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(lookEvery, scheduleArgs{})}
}

// scheduleArgs are the arguments of schedule_reconciles.
type scheduleArgs struct{}

func (scheduleArgs) Kind() string { return "schedule_reconciles" }

// InsertOpts allows few attempts: the next job comes in a minute anyway, but one whose worker was
// killed must not end up discarded.
func (scheduleArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 5} }

// scheduleWorker works schedule_reconciles.
type scheduleWorker struct {
	river.WorkerDefaults[scheduleArgs]

	store *Store
	log   *slog.Logger
}

const selectDue = `SELECT project_id, provider FROM authsync.due_reconciles(now())`

// Work starts the reconciles that are due. One that cannot be started is recorded as failed and is
// due again after its interval.
func (w *scheduleWorker) Work(ctx context.Context, _ *river.Job[scheduleArgs]) error {
	rows, err := w.store.pool.Query(ctx, selectDue)
	if err != nil {
		return fmt.Errorf("look for reconciles that are due: %w", err)
	}
	due, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		ProjectID uuid.UUID
		Provider  string
	}])
	if err != nil {
		return fmt.Errorf("look for reconciles that are due: %w", err)
	}
	var errs []error
	for _, d := range due {
		errs = append(errs, w.start(ctx, d.ProjectID, d.Provider))
	}
	return errors.Join(errs...)
}

const insertFailed = `
	INSERT INTO authsync.sync_runs (project_id, provider, kind, state, error, finished_at)
	VALUES ($1, $2, $3, 'failed', $4, now())`

func (w *scheduleWorker) start(ctx context.Context, projectID uuid.UUID, providerName string) error {
	run, err := w.store.Start(ctx, projectID, providerName, Order{Kind: provider.KindReconcile})
	var running *RunningError
	switch {
	case err == nil:
		w.log.InfoContext(ctx, "reconcile_scheduled", slog.String("project_id", projectID.String()),
			slog.String("provider", providerName), slog.String("run_id", run.ID.String()))
		return nil
	case errors.As(err, &running), errors.Is(err, project.ErrNoProject), errors.Is(err, project.ErrNoIntegration):
		return nil // another request was faster
	case fault.Is(err, fault.Unsupported):
		_, err = w.store.pool.Exec(ctx, insertFailed, projectID, providerName, provider.KindReconcile, err.Error())
	}
	if err != nil {
		return fmt.Errorf("start the reconcile of project %s: %w", projectID, err)
	}
	return nil
}
