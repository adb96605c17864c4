package inbox

import (
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/jobs"
)

const (
	// RiverSchema is where River's tables are: beside the inbox, so that one
	// transaction holds a delivery and its job.
	RiverSchema = jobs.Schema
	// EventsQueue is the queue of retry_event, away from the messages: many
	// failing events must not hold up the others.
	EventsQueue = "events"
)

// ApplyInboxArgs are the arguments of apply_inbox, which applies what waits of a project;
// authsync.request_job makes the job.
type ApplyInboxArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind names the job.
func (ApplyInboxArgs) Kind() string { return jobs.ApplyInbox }

// RetryEventArgs are the arguments of retry_event: one event that failed. They hold ids only,
// for River UI shows them.
type RetryEventArgs struct {
	ProjectID  uuid.UUID `json:"project_id"`
	InboxID    int64     `json:"inbox_id"`
	ReceivedAt time.Time `json:"received_at"`
	Ordinal    int       `json:"ordinal"`
}

// Kind names the job.
func (RetryEventArgs) Kind() string { return "retry_event" }

// InsertOpts makes a second job for the same event a no-op as long as the first
// one is not finished.
func (RetryEventArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{
		Queue: EventsQueue,
		UniqueOpts: river.UniqueOpts{
			ByArgs: true,
			ByState: []rivertype.JobState{
				rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
				rivertype.JobStateRunning, rivertype.JobStateScheduled,
			},
		},
	}
}
