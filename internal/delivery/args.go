package delivery

import (
	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/jobs"
)

// One queue per job kind, so that no kind takes another's workers. Upkeep shares the relay's.
const (
	QueueRelay   = "relay"
	QueueDeliver = "deliver"
	QueueRetry   = "retry_delivery"
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

// Retries is the number of retries after a delivery's first attempt.
const Retries = 14

// InsertOpts sets the default number of attempts, one per back-off step.
func (RetryArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRetry, MaxAttempts: Retries}
}

// RescueArgs are the arguments of rescue_deliveries.
type RescueArgs struct{}

// Kind implements river.JobArgs.
func (RescueArgs) Kind() string { return "rescue_deliveries" }

// InsertOpts allows few attempts: the next job comes in half a minute.
func (RescueArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}

// PruneArgs are the arguments of prune_deliveries.
type PruneArgs struct{}

// Kind implements river.JobArgs.
func (PruneArgs) Kind() string { return "prune_deliveries" }

// InsertOpts allows few attempts: the next job comes in an hour.
func (PruneArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: QueueRelay, MaxAttempts: 5}
}
