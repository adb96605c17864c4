package applier

import (
	"context"
	"log/slog"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/inbox"
)

const (
	maintainEvery = time.Hour
	mendEvery     = 30 * time.Second
)

// periodic gives the jobs that the client inserts by itself.
func periodic() []*river.PeriodicJob {
	every := func(pause time.Duration, args river.JobArgs) *river.PeriodicJob {
		return river.NewPeriodicJob(river.PeriodicInterval(pause),
			func() (river.JobArgs, *river.InsertOpts) { return args, nil },
			&river.PeriodicJobOpts{RunOnStart: true})
	}
	return []*river.PeriodicJob{every(maintainEvery, maintainArgs{}), every(mendEvery, mendArgs{})}
}

// maintainArgs are the arguments of maintain_inbox.
type maintainArgs struct{}

// Kind names the job.
func (maintainArgs) Kind() string { return "maintain_inbox" }

// maintainWorker works maintain_inbox.
type maintainWorker struct {
	river.WorkerDefaults[maintainArgs]
	*Config
}

// Work makes and drops partitions of the inbox; see inbox.Maintain.
func (w *maintainWorker) Work(ctx context.Context, _ *river.Job[maintainArgs]) error {
	return inbox.Maintain(ctx, w.Pool, w.Retention)
}

// mendArgs are the arguments of mend_inbox.
type mendArgs struct{}

// Kind names the job.
func (mendArgs) Kind() string { return "mend_inbox" }

// InsertOpts lets no second one wait behind a backlog of deliveries. A few attempts are
// enough: the next one comes in half a minute anyway, also beside one that failed.
func (mendArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		MaxAttempts: 5,
		UniqueOpts: river.UniqueOpts{ByState: []rivertype.JobState{
			rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRunning, rivertype.JobStateScheduled,
		}},
	}
}

// mendWorker works mend_inbox.
type mendWorker struct {
	river.WorkerDefaults[mendArgs]
	*Config
}

// Work makes jobs for deliveries that lost theirs; see inbox.Inbox.Mend.
func (w *mendWorker) Work(ctx context.Context, _ *river.Job[mendArgs]) error {
	mended, err := w.Inbox.Mend(ctx)
	if mended.Jobs > 0 {
		w.Log.WarnContext(ctx, "inbox_mended", slog.Int("jobs", mended.Jobs), slog.Int("deliveries", mended.Deliveries))
	}
	return err
}
