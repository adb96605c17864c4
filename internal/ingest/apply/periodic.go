package apply

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
)

const (
	maintainEvery = time.Hour
	pruneEvery    = time.Hour
	// pruneFor is how long a run may take, so that it ends before the next one.
	pruneFor = 50 * time.Minute
)

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(maintainEvery, maintainArgs{}), jobs.Every(pruneEvery, pruneArgs{})}
}

// maintainArgs are the arguments of maintain_inbox.
type maintainArgs struct{}

func (maintainArgs) Kind() string { return "maintain_inbox" }

// maintainWorker works maintain_inbox.
type maintainWorker struct {
	river.WorkerDefaults[maintainArgs]
	*Config
}

// Work creates partitions of the inbox; see inbox.Maintain.
func (w *maintainWorker) Work(ctx context.Context, _ *river.Job[maintainArgs]) error {
	return inbox.Maintain(ctx, w.Pool)
}

// pruneArgs are the arguments of prune_inbox.
type pruneArgs struct{}

func (pruneArgs) Kind() string { return "prune_inbox" }

// pruneWorker works prune_inbox.
type pruneWorker struct {
	river.WorkerDefaults[pruneArgs]
	*Config
}

// Timeout is longer than a run.
func (*pruneWorker) Timeout(*river.Job[pruneArgs]) time.Duration { return pruneFor + time.Minute }

// Work deletes messages past their retention; see inbox.Pruner.
func (w *pruneWorker) Work(ctx context.Context, _ *river.Job[pruneArgs]) error {
	ctx, cancel := context.WithTimeout(ctx, pruneFor)
	defer cancel()
	return inbox.Pruner{Pool: w.Pool, Log: w.Log, Default: w.Retention}.Prune(ctx)
}
