package inbox

import (
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/jobs"
)

const (
	// RiverSchema contains River's tables: the inbox's schema, so that one transaction can hold a
	// message and its job.
	RiverSchema = jobs.Schema
	// EventsQueue is the queue of retry_event, separate from the messages' queue so that many
	// failing events do not block the others.
	EventsQueue = "events"
)

// ApplyInboxArgs are the arguments of apply_inbox, which applies a project's pending messages;
// authsync.request_job inserts it.
type ApplyInboxArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind implements river.JobArgs.
func (ApplyInboxArgs) Kind() string { return jobs.ApplyInbox }

// RetryEventArgs are the arguments of retry_event, for one failed event. They contain only ids,
// because River UI shows them.
type RetryEventArgs struct {
	ProjectID  uuid.UUID `json:"project_id"`
	InboxID    int64     `json:"inbox_id"`
	ReceivedAt time.Time `json:"received_at"`
	Ordinal    int       `json:"ordinal"`
}

// Kind implements river.JobArgs.
func (RetryEventArgs) Kind() string { return "retry_event" }

// InsertOpts makes a second job for the same event a no-op until the first one is finished.
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
