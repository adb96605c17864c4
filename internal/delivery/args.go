package delivery

import (
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/jobs"
)

// One queue per job kind, so that no kind takes another's workers.
const (
	QueueRelay   = "relay"
	QueueDeliver = "deliver"
	QueueRetry   = "retry_delivery"
)

// Worker limits per process and queue. The jobs mostly wait for other systems.
const (
	relayWorkers   = 50
	deliverWorkers = 100
	retryWorkers   = 100
)

// RelayArgs are the arguments of relay_changes. authsync.request_job inserts the jobs.
type RelayArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind implements river.JobArgs.
func (RelayArgs) Kind() string { return jobs.RelayChanges }

// DeliverArgs are the arguments of deliver. authsync.request_job inserts the jobs.
type DeliverArgs struct {
	DestinationID uuid.UUID `json:"destination_id"`
}

// Kind implements river.JobArgs.
func (DeliverArgs) Kind() string { return jobs.Deliver }

// RetryArgs are the arguments of retry_delivery.
type RetryArgs struct {
	DeliveryID    int64     `json:"delivery_id"`
	DestinationID uuid.UUID `json:"destination_id"`
	ProjectID     uuid.UUID `json:"project_id"`
}

// Kind implements river.JobArgs.
func (RetryArgs) Kind() string { return "retry_delivery" }

// retries is the number of retries after a delivery's first attempt.
const retries = 14

// InsertOpts sets the default number of attempts, one per back-off step.
func (RetryArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRetry, MaxAttempts: retries}
}

// rescueArgs are the arguments of rescue_deliveries.
type rescueArgs struct{}

// Kind implements river.JobArgs.
func (rescueArgs) Kind() string { return "rescue_deliveries" }

// InsertOpts allows few attempts: the next job comes in half a minute.
func (rescueArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

// pruneArgs are the arguments of prune_deliveries.
type pruneArgs struct{}

// Kind implements river.JobArgs.
func (pruneArgs) Kind() string { return "prune_deliveries" }

// InsertOpts allows few attempts: the next job comes in an hour.
func (pruneArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

const (
	rescueEvery = 30 * time.Second
	pruneEvery  = time.Hour
)

// Register adds the workers and their queues to the configuration of a River client.
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

// Periodic returns the periodic jobs of these workers.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(rescueEvery, rescueArgs{}), jobs.Every(pruneEvery, pruneArgs{})}
}
