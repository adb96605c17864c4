package applier

import (
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/redact"
)

// Times that decide how soon a crash heals: a job of a process that died is
// taken up again between RescueAfter and RescueAfter plus 30 s (River looks every
// 30 s), so in about a minute. A job may not run for longer than that.
const (
	JobTimeout  = 30 * time.Second
	RescueAfter = 35 * time.Second
)

const (
	// fetchCooldown is the least time between two looks for new jobs. River
	// wakes the workers by a notification; this is what is added to it.
	fetchCooldown = 2 * time.Millisecond
	// fetchPoll is how often to look when no notification came.
	fetchPoll = 500 * time.Millisecond
	// keepCompleted is how long finished jobs stay to be looked at. The inbox
	// and authsync.events know more, and for longer.
	keepCompleted = time.Hour
)

// keepEnded is how long River keeps a job that failed or was cancelled. To River, 0 is its own
// default of a day or a week, and -1 is for ever.
func keepEnded(retention time.Duration) time.Duration {
	if retention == 0 {
		return -1
	}
	return retention
}

// ClientConfig is how to run the workers.
type ClientConfig struct {
	// Workers is how many jobs may be at work at the same time, most of them
	// waiting for their project's database; 0 is 1000. See mirror.Enter.
	Workers int
	// Also adds workers of other packages and their queues; nil: none.
	Also func(workers *river.Workers, queues map[string]river.QueueConfig)
	// Periodic are jobs of other packages that come by themselves.
	Periodic []*river.PeriodicJob
	// Hooks hear of all jobs.
	Hooks []rivertype.Hook
}

// NewClient makes the River client that works the jobs. Start it and stop it as
// any River client.
func NewClient(config Config, options ClientConfig) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &deliveriesWorker{Config: &config})
	river.AddWorker(workers, &eventWorker{Config: &config})
	river.AddWorker(workers, &maintainWorker{Config: &config})
	river.AddWorker(workers, &mendWorker{Config: &config})

	count := options.Workers
	if count == 0 {
		count = 1000
	}
	queues := map[string]river.QueueConfig{
		river.QueueDefault: {MaxWorkers: count},
		// Of their own, so that many failing events leave room for the others.
		inbox.EventsQueue: {MaxWorkers: max(count/4, 1)},
	}
	if options.Also != nil {
		options.Also(workers, queues)
	}
	client, err := river.NewClient(riverpgxv5.New(config.Pool), &river.Config{
		Schema:               inbox.RiverSchema,
		Logger:               config.Log,
		Workers:              workers,
		Queues:               queues,
		Hooks:                options.Hooks,
		Middleware:           []rivertype.Middleware{redact.Middleware(config.Log)},
		FetchCooldown:        fetchCooldown,
		FetchPollInterval:    fetchPoll,
		JobTimeout:           JobTimeout,
		RescueStuckJobsAfter: RescueAfter,

		CompletedJobRetentionPeriod: keepCompleted,
		// The jobs of failed events stay as long as the events themselves.
		CancelledJobRetentionPeriod: keepEnded(config.Retention),
		DiscardedJobRetentionPeriod: keepEnded(config.Retention),

		PeriodicJobs: append(options.Periodic, periodic()...),
	})
	if err != nil {
		return nil, fmt.Errorf("make the job client: %w", err)
	}
	return client, nil
}
