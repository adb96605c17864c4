package wire

import "time"

// Event is one thing that happened, and its outcome.
type Event struct {
	// ID names the event in paths: the message's id, a dot, its place in the message.
	ID        string  `json:"id"`
	InboxID   int64   `json:"inbox_id"`
	Ordinal   int     `json:"ordinal"`
	ProjectID string  `json:"project_id"`
	Project   *string `json:"project"`
	Provider  string  `json:"provider"`
	EventID   *string `json:"event_id"`
	Type      *string `json:"type"`
	// UserID is the user that the event is about, or whose membership or session it is about.
	UserID     *string    `json:"user_id"`
	RecordType *string    `json:"record_type"`
	RecordID   *string    `json:"record_id"`
	EventTime  *time.Time `json:"event_time"`
	Outcome    string     `json:"outcome"`
	Reason     *string    `json:"reason"`
	ReceivedAt time.Time  `json:"received_at"`
	AppliedAt  *time.Time `json:"applied_at"`
	MessageID  *string    `json:"message_id"`
}

// EventDetail is one event and its jobs.
type EventDetail struct {
	Event

	// Jobs are those that are to apply the event, and those that retried it.
	Jobs []Job `json:"jobs"`
	// PreviousEvent and NextEvent are the ids of the events of the same record before and after; nil: there is none.
	PreviousEvent *string `json:"previous_event"`
	NextEvent     *string `json:"next_event"`
}

// Job is a job of an event.
type Job struct {
	ID          int64  `json:"id"`
	Kind        string `json:"kind"`
	State       string `json:"state"`
	Attempt     int    `json:"attempt"`
	MaxAttempts int    `json:"max_attempts"`
	// NextTryAt is nil once the job has ended.
	NextTryAt  *time.Time `json:"next_try_at"`
	WaitReason *string    `json:"wait_reason"`
	LastError  *string    `json:"last_error"`
}

// Message is an event together with the request that brought it, which holds personal data.
type Message struct {
	EventDetail

	// VerifiedBy is the method by which it was proven genuine, and the name of the secret; nil: not known.
	VerifiedBy *string           `json:"verified_by"`
	Headers    map[string]string `json:"headers"`
	// Body is what the provider sent, as text; in base64 if it is not UTF-8.
	Body       *string `json:"body"`
	BodyBase64 *string `json:"body_base64"`
	// Excluded are the entries of option exclude whose fields were removed before the body was stored.
	Excluded []string `json:"excluded"`
}

// Replay tells how many jobs take up what was asked for.
type Replay struct {
	Jobs   int  `json:"jobs"`
	DryRun bool `json:"dry_run"`
	// Matched is how many messages a dry run has found, up to MaxMatched; nil: it was none.
	Matched *int `json:"matched,omitempty"`
	// NextCursor continues a replay that takes longer than a call; nil: all is done.
	NextCursor *string `json:"next_cursor"`
}

// MaxMatched is how far a dry run counts.
const MaxMatched = 1000

// MessageCounts tells how many messages a project received within the last day.
type MessageCounts struct {
	IntervalSeconds int            `json:"interval_seconds"`
	Data            []MessageCount `json:"data"` // oldest first; the last one is not over
}

// MessageCount is how many messages were received within an interval.
type MessageCount struct {
	BeganAt  time.Time `json:"began_at"`
	Messages int64     `json:"messages"`
}

// Rejected is a request to a webhook URL that was refused, or several of the same kind.
type Rejected struct {
	ID            int64     `json:"id"`
	Provider      string    `json:"provider"`
	ReceivedAt    time.Time `json:"received_at"`
	Status        int       `json:"status"`
	Reason        string    `json:"reason"`
	Detail        string    `json:"detail"`
	BodyBytes     *int64    `json:"body_bytes"`
	HeaderNames   []string  `json:"header_names"`
	RemoteAddress *string   `json:"remote_address"`
	RequestCount  int64     `json:"request_count"`
}
