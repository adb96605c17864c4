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
	// checkEvery is the interval at which all mirrors are checked.
	checkEvery = time.Minute
	// checkAtOnce is the number of concurrent checks, checkTime the time limit of one.
	checkAtOnce, checkTime = 16, 5 * time.Second
)

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(checkEvery, checkArgs{})}
}

// checkArgs are the arguments of check_mirrors.
type checkArgs struct{}

func (checkArgs) Kind() string { return "check_mirrors" }

// InsertOpts allows few attempts: the next job comes in a minute anyway.
func (checkArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: 5} }

// checkWorker works check_mirrors.
type checkWorker struct {
	river.WorkerDefaults[checkArgs]
	*Config
}

// Timeout is that of all jobs.
func (w *checkWorker) Timeout(*river.Job[checkArgs]) time.Duration { return jobs.Timeout }

// Work checks the mirrors that have been applied to: an idle project's database may have been
// restored, too. An unreachable database is checked again in a minute.
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
