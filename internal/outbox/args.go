package outbox

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
	QueueAgain   = "deliver_again"
)

// The most jobs of a process in each queue. They wait for other systems most of the time.
const (
	relayWorkers   = 50
	deliverWorkers = 100
	againWorkers   = 100
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

// AgainArgs are the arguments of deliver_again.
type AgainArgs struct {
	DeliveryID    int64     `json:"delivery_id"`
	DestinationID uuid.UUID `json:"destination_id"`
	ProjectID     uuid.UUID `json:"project_id"`
}

// Kind names the job.
func (AgainArgs) Kind() string { return "deliver_again" }

// retries is how often a delivery is tried again after its first attempt.
const retries = 14

// InsertOpts allows as many attempts as the back-off has pauses, where nobody says how many are left.
func (AgainArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueAgain, MaxAttempts: retries}
}

// mendArgs are the arguments of mend_outbox.
type mendArgs struct{}

// Kind names the job.
func (mendArgs) Kind() string { return "mend_outbox" }

// InsertOpts: the next one comes in half a minute anyway.
func (mendArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

// trimArgs are the arguments of trim_deliveries.
type trimArgs struct{}

// Kind names the job.
func (trimArgs) Kind() string { return "trim_deliveries" }

// InsertOpts: the next one comes in an hour anyway.
func (trimArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

const (
	mendEvery = 30 * time.Second
	trimEvery = time.Hour
)

// Register adds the workers and their queues to a River client that is to be made.
func (o *Outbox) Register(workers *river.Workers, queues map[string]river.QueueConfig) {
	o.places.most = againWorkers / 4
	river.AddWorker(workers, &relayWorker{Outbox: o})
	river.AddWorker(workers, &deliverWorker{Outbox: o})
	river.AddWorker(workers, newAgainWorker(o))
	river.AddWorker(workers, &mendWorker{Outbox: o})
	river.AddWorker(workers, &trimWorker{Outbox: o})
	queues[QueueRelay] = river.QueueConfig{MaxWorkers: relayWorkers}
	queues[QueueDeliver] = river.QueueConfig{MaxWorkers: deliverWorkers}
	queues[QueueAgain] = river.QueueConfig{MaxWorkers: againWorkers}
}

// Periodic gives the jobs that a River client with these workers inserts by itself.
func Periodic() []*river.PeriodicJob {
	return []*river.PeriodicJob{jobs.Every(mendEvery, mendArgs{}), jobs.Every(trimEvery, trimArgs{})}
}
