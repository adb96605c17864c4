package apply

import (
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/ingest/inbox"
)

// Register adds the workers of the applier and their queues to a client that is to be made; see
// jobs.New. count is how many jobs may be at work at the same time; 0 is 1000.
func Register(config Config, count int) func(workers *river.Workers, queues map[string]river.QueueConfig) {
	if count == 0 {
		count = 1000
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.OthersActive == nil {
		config.OthersActive = func(*rivertype.JobRow) bool { return false }
	}
	return func(workers *river.Workers, queues map[string]river.QueueConfig) {
		river.AddWorker(workers, &inboxWorker{Config: &config})
		river.AddWorker(workers, &eventWorker{Config: &config})
		river.AddWorker(workers, &maintainWorker{Config: &config})
		queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: count}
		// Of their own, so that many failing events leave room for the others.
		queues[inbox.EventsQueue] = river.QueueConfig{MaxWorkers: max(count/4, 1)}
	}
}
