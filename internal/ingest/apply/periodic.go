package apply

import (
	"context"
	"time"

	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/jobs"
)

const maintainEvery = time.Hour

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(maintainEvery, maintainArgs{})}
}

// maintainArgs are the arguments of maintain_inbox.
type maintainArgs struct{}

func (maintainArgs) Kind() string { return "maintain_inbox" }

// maintainWorker works maintain_inbox.
type maintainWorker struct {
	river.WorkerDefaults[maintainArgs]
	*Config
}

// Work creates and drops partitions of the inbox; see inbox.Maintain.
func (w *maintainWorker) Work(ctx context.Context, _ *river.Job[maintainArgs]) error {
	return inbox.Maintain(ctx, w.Pool, w.Retention)
}
