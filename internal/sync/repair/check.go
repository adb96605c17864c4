package repair

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/jobs"
)

const (
	// checkEvery is how often all mirrors are looked at.
	checkEvery = time.Minute
	// checkAtOnce is how many of them at the same time, checkTime how long one may take.
	checkAtOnce, checkTime = 16, 5 * time.Second
)

// Periodic gives the jobs that a client with these workers inserts by itself.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(checkEvery, checkArgs{})}
}

// checkArgs are the arguments of check_mirrors.
type checkArgs struct{}

// Kind names the job.
func (checkArgs) Kind() string { return "check_mirrors" }

// InsertOpts allows a few attempts: the next job comes in a minute anyway.
func (checkArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 5} }

// checkWorker works check_mirrors.
type checkWorker struct {
	river.WorkerDefaults[checkArgs]
	*Config
}

// Timeout is that of all jobs.
func (w *checkWorker) Timeout(*river.Job[checkArgs]) time.Duration { return jobs.Timeout }

// Work looks at the mirrors that have been applied to: one whose project has no events now may have
// been restored as well. A database that is away is looked at again in a minute.
func (w *checkWorker) Work(ctx context.Context, _ *river.Job[checkArgs]) error {
	rows, err := w.Pool.Query(ctx, `SELECT p.project_id FROM authsync.mirror_progress AS p ORDER BY p.project_id`)
	if err != nil {
		return fmt.Errorf("read which mirrors there are: %w", err)
	}
	projects, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("read which mirrors there are: %w", err)
	}
	var group errgroup.Group
	group.SetLimit(checkAtOnce)
	for _, id := range projects {
		group.Go(func() error {
			one, cancel := context.WithTimeoutCause(ctx, checkTime, errors.New("the project's database does not answer"))
			defer cancel()
			if err := w.Mirrors.Check(one, id); err != nil && ctx.Err() == nil {
				w.Log.DebugContext(ctx, "mirror_not_checked", slog.String("project_id", id.String()), slog.Any("error", err))
			}
			return nil
		})
	}
	return group.Wait()
}
