package wire

import (
	"encoding/json"
	"time"
)

// Destination is where a project's changes are sent, and its health.
type Destination struct {
	ID               string                 `json:"id"`
	ProjectID        string                 `json:"project_id"`
	Name             string                 `json:"name"`
	Type             string                 `json:"type"`
	EventTypes       []string               `json:"event_types"`
	Fields           []string               `json:"fields"`
	Condition        *string                `json:"condition"`
	Holdback         *string                `json:"holdback"` // how long a deletion is held back, such as 24h; nil: it is sent at once
	Options          json.RawMessage        `json:"options"`
	Secrets          map[string]SecretState `json:"secrets"` // nil where they cannot be opened
	State            string                 `json:"state"`
	StateBy          string                 `json:"state_by"`
	StateReason      *string                `json:"state_reason"`
	StateSince       time.Time              `json:"state_since"`
	FailingSince     *time.Time             `json:"failing_since"`
	BreakerOpenUntil *time.Time             `json:"breaker_open_until"`
	Waiting          int64                  `json:"waiting"`
	Retrying         int64                  `json:"retrying"`
	Failed           int64                  `json:"failed"`
	Held             int64                  `json:"held"`       // deletions that are held back, and what follows them
	HeldUntil        *time.Time             `json:"held_until"` // when the first of these is sent
	OldestWaitingAt  *time.Time             `json:"oldest_waiting_at"`
	LastSuccessAt    *time.Time             `json:"last_success_at"`
	WaitReason       *string                `json:"wait_reason"`
	// Fault says why the destination cannot be used; empty if it can.
	Fault     string    `json:"fault,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// Secret was made or given by this call, and is shown only in its answer.
	Secret *MadeSecret `json:"secret,omitempty"`
}

// SecretState tells whether a secret is set, and how long the one before it stays valid.
type SecretState struct {
	Set      bool       `json:"set"`
	OldUntil *time.Time `json:"old_until,omitempty"`
}

// MadeSecret is a new secret, which no other answer shows.
type MadeSecret struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// MaxPauseReason is how long the reason of a pause may be, in bytes.
const MaxPauseReason = 500

// PauseOrder pauses a destination.
type PauseOrder struct {
	Reason string `json:"reason"`
}

// RotateOrder replaces a secret of a destination; without a value by a generated one.
type RotateOrder struct {
	Value *string `json:"value,omitempty"`
}

// PreviewOrder chooses the change to preview: the newest of a user or another record, or one by its id.
type PreviewOrder struct {
	UserID     string `json:"user_id,omitempty"`
	RecordType string `json:"record_type,omitempty"`
	RecordID   string `json:"record_id,omitempty"`
	ChangeID   int64  `json:"change_id,omitempty"`
}

// DraftOrder is a destination that is not stored, and the change to preview.
type DraftOrder struct {
	PreviewOrder

	Name       *string            `json:"name,omitempty"` // it needs none
	Type       string             `json:"type"`
	EventTypes *[]string          `json:"event_types,omitempty"`
	Fields     *[]string          `json:"fields,omitempty"`
	Condition  json.RawMessage    `json:"condition,omitempty"`
	Holdback   json.RawMessage    `json:"holdback,omitempty"`
	Options    json.RawMessage    `json:"options,omitempty"`
	Secrets    map[string]*string `json:"secrets,omitempty"`
}

// Preview is what a destination would be sent.
type Preview struct {
	Wanted    bool      `json:"wanted"`
	Why       string    `json:"why"`
	MessageID string    `json:"message_id"`
	Requests  []Request `json:"requests"`
}

// Request is a request to a destination, with its secrets masked.
type Request struct {
	Method  string              `json:"method"`
	URL     string              `json:"url"`
	Headers map[string][]string `json:"headers"`
	// Body is JSON where the body is, otherwise a text; nil: none.
	Body json.RawMessage `json:"body"`
	// Note says when this request is made, if that depends on an answer.
	Note string `json:"note,omitempty"`
}

// TestOrder is a test event.
type TestOrder struct {
	EventType string `json:"event_type"`
}

// TestResult is what a destination answered to a test event.
type TestResult struct {
	Delivered  bool      `json:"delivered"`
	MessageID  string    `json:"message_id"`
	Requests   []Request `json:"requests"`
	Status     *int      `json:"status"` // nil: there was no answer
	Response   string    `json:"response"`
	Reason     string    `json:"reason"`
	DurationMS int64     `json:"duration_ms"`
}

// ReplayOrder chooses what a destination is sent again; an empty field chooses all.
type ReplayOrder struct {
	Since string `json:"since,omitempty"` // a time, or beginning
	Until string `json:"until,omitempty"`
	// UserID is the user of the records; RecordType and RecordID come together.
	UserID     string `json:"user_id,omitempty"`
	RecordType string `json:"record_type,omitempty"`
	RecordID   string `json:"record_id,omitempty"`
	EventType  string `json:"event_type,omitempty"`
	State      string `json:"state,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

// Replayed tells how many deliveries a replay chose, and how many it queued again.
type Replayed struct {
	Matched  int64 `json:"matched"`
	Requeued int64 `json:"requeued"`
	DryRun   bool  `json:"dry_run"`
}

// ConfirmOrder chooses held deliveries that are to be sent now; an empty field chooses all.
type ConfirmOrder struct {
	Destination string `json:"destination,omitempty"` // its name or id
	// UserID is the user of the records; RecordType and RecordID come together.
	UserID     string `json:"user_id,omitempty"`
	RecordType string `json:"record_type,omitempty"`
	RecordID   string `json:"record_id,omitempty"`
	EventType  string `json:"event_type,omitempty"`
	DryRun     bool   `json:"dry_run,omitempty"`
}

// Confirmed tells how many held deliveries were chosen, and how many are sent, with what else was held of their records.
type Confirmed struct {
	Matched   int64 `json:"matched"`
	Confirmed int64 `json:"confirmed"`
	DryRun    bool  `json:"dry_run"`
}

// DeliveryDetail is a delivery with its last attempts, newest first, and a preview of its request where it was asked for.
type DeliveryDetail struct {
	Delivery

	AttemptLog []DeliveryAttempt `json:"attempt_log"`
	Preview    *DeliveryPreview  `json:"preview,omitempty"`
}

// DeliveryAttempt is an attempt to send a delivery.
type DeliveryAttempt struct {
	Number      int64      `json:"number"`       // 1 is the first
	AttemptedAt *time.Time `json:"attempted_at"` // when its outcome was recorded; of an unknown one when it began
	Outcome     string     `json:"outcome"`
	Status      *int       `json:"status"`
	DurationMS  *int64     `json:"duration_ms"`
	Reason      *string    `json:"reason"`
	Response    *string    `json:"response"`
	ResponseCut bool       `json:"response_cut"`
	// Requests are those that it made, in order, as they were sent: nil: they are not known; empty: it made none.
	Requests        []SentRequest `json:"requests"`
	RequestsOmitted int           `json:"requests_omitted"` // earlier ones that are not kept
}

// SentRequest is a request as it was sent, with its secrets masked, and the answer to it.
type SentRequest struct {
	Method      string              `json:"method"`
	URL         string              `json:"url"`
	Headers     map[string][]string `json:"headers"`
	Body        string              `json:"body"` // as sent, at most 4 kB
	BodyBytes   int                 `json:"body_bytes"`
	BodyCut     bool                `json:"body_cut"`
	Sent        bool                `json:"sent"`   // false: there was no connection, nothing of it has left
	Status      *int                `json:"status"` // nil: there was no answer
	Response    string              `json:"response"`
	ResponseCut bool                `json:"response_cut"`
	// Note says what is left out, and why.
	Note string `json:"note,omitempty"`
}

// DeliveryPreview is a preview: what a delivery would send now. It is what the last attempt sent, apart from its time, its
// signatures and what was learned from answers since, unless the destination was changed after that.
type DeliveryPreview struct {
	Requests []Request `json:"requests"`
	// DestinationChangedAt is when the destination was changed, if that was after the last attempt; nil: it was not.
	DestinationChangedAt *time.Time `json:"destination_changed_at"`
}

// Delivery is one change for one destination.
type Delivery struct {
	ID            int64      `json:"id"`
	DestinationID string     `json:"destination_id"`
	Destination   string     `json:"destination"`
	ChangeID      int64      `json:"change_id"`
	MessageID     string     `json:"message_id"`
	RecordType    string     `json:"record_type"`
	RecordID      string     `json:"record_id"`
	UserID        *string    `json:"user_id"` // that the record is or belongs to
	EventType     string     `json:"event_type"`
	Changed       []string   `json:"changed"`
	State         string     `json:"state"`
	HeldUntil     *time.Time `json:"held_until"` // when it is sent, if it is held
	Attempts      int        `json:"attempts"`
	Deferrals     int        `json:"deferrals"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastAttemptAt *time.Time `json:"last_attempt_at"`
	LastStatus    *int       `json:"last_status"`
	LastResponse  *string    `json:"last_response"`
	Reason        *string    `json:"reason"`
	CoalescedInto *int64     `json:"coalesced_into"`
	JobID         *int64     `json:"job_id"`
	ChangedAt     time.Time  `json:"changed_at"`
	CreatedAt     time.Time  `json:"created_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}
