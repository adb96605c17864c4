package apply

import (
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

// Register adds the applier's workers and queues to a client under construction; see jobs.New.
// count is the maximum number of concurrent jobs; 0 means 1000.
func Register(config Config, count int) func(workers *river.Workers, queues map[string]river.QueueConfig) {
	if count == 0 {
		count = 1000
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.DecodeTime == 0 {
		config.DecodeTime = 5 * time.Second
	}
	if config.OthersActive == nil {
		config.OthersActive = func(*rivertype.JobRow) bool { return false }
	}
	return func(workers *river.Workers, queues map[string]river.QueueConfig) {
		river.AddWorker(workers, &inboxWorker{Config: &config})
		river.AddWorker(workers, &eventWorker{Config: &config})
		river.AddWorker(workers, &maintainWorker{Config: &config})
		river.AddWorker(workers, &pruneWorker{Config: &config})
		queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: count}
		// A separate queue, so that many failing events do not block the others.
		queues[inbox.EventsQueue] = river.QueueConfig{MaxWorkers: max(count/4, 1)}
	}
}
