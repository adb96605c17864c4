package delivery

import (
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/jobs"
)

// The queues, one for each kind of job, so that none takes another's workers.
const (
	QueueRelay   = "relay"
	QueueDeliver = "deliver"
	QueueRetry   = "retry_delivery"
)

// The most jobs of a process in each queue. They wait for other systems most of the time.
const (
	relayWorkers   = 50
	deliverWorkers = 100
	retryWorkers   = 100
)

// RelayArgs are the arguments of relay_changes. authsync.request_job makes the jobs.
type RelayArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind names the job.
func (RelayArgs) Kind() string { return jobs.RelayChanges }

// DeliverArgs are the arguments of deliver. authsync.request_job makes the jobs.
type DeliverArgs struct {
	DestinationID uuid.UUID `json:"destination_id"`
}

// Kind names the job.
func (DeliverArgs) Kind() string { return jobs.Deliver }

// RetryArgs are the arguments of retry_delivery.
type RetryArgs struct {
	DeliveryID    int64     `json:"delivery_id"`
	DestinationID uuid.UUID `json:"destination_id"`
	ProjectID     uuid.UUID `json:"project_id"`
}

// Kind names the job.
func (RetryArgs) Kind() string { return "retry_delivery" }

// retries is how often a delivery is tried again after its first attempt.
const retries = 14

// InsertOpts allows as many attempts as the back-off has pauses, where nobody says how many are left.
func (RetryArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRetry, MaxAttempts: retries}
}

// rescueArgs are the arguments of rescue_deliveries.
type rescueArgs struct{}

// Kind names the job.
func (rescueArgs) Kind() string { return "rescue_deliveries" }

// InsertOpts: the next one comes in half a minute anyway.
func (rescueArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

// pruneArgs are the arguments of prune_deliveries.
type pruneArgs struct{}

// Kind names the job.
func (pruneArgs) Kind() string { return "prune_deliveries" }

// InsertOpts: the next one comes in an hour anyway.
func (pruneArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

const (
	rescueEvery = 30 * time.Second
	pruneEvery  = time.Hour
)

// Register adds the workers and their queues to a River client that is to be made.
func (o *Outbox) Register(workers *river.Workers, queues map[string]river.QueueConfig) {
	o.retrySlots.limit = retryWorkers / 4
	river.AddWorker(workers, &relayWorker{Outbox: o})
	river.AddWorker(workers, &deliverWorker{Outbox: o})
	river.AddWorker(workers, newRetryWorker(o))
	river.AddWorker(workers, &rescueWorker{Outbox: o})
	river.AddWorker(workers, &pruneWorker{Outbox: o})
	queues[QueueRelay] = river.QueueConfig{MaxWorkers: relayWorkers}
	queues[QueueDeliver] = river.QueueConfig{MaxWorkers: deliverWorkers}
	queues[QueueRetry] = river.QueueConfig{MaxWorkers: retryWorkers}
}

// Periodic gives the jobs that a River client with these workers inserts by itself.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(rescueEvery, rescueArgs{}), jobs.Every(pruneEvery, pruneArgs{})}
}
