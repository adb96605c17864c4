package api

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/project"
)

// Errors of an Outbox.
var (
	ErrNoDelivery = errors.New("the project has no such delivery")
	ErrNoChange   = errors.New("the project's mirror has no such change")
)

// StateError says why a delivery's state does not allow what was asked for, and
// what does.
type StateError struct{ Detail string }

func (e *StateError) Error() string { return e.Detail }

// Outbox sends changes on to destinations, and tells of it; see package outbox.
type Outbox interface {
	// Start begins a destination's deliveries, in the transaction that makes it.
	Start(ctx context.Context, tx pgx.Tx, destinationID, projectID uuid.UUID, from From) error
	Pause(ctx context.Context, destinationID uuid.UUID, by, state, reason string) error
	// Resume closes the breaker as well.
	Resume(ctx context.Context, destinationID uuid.UUID) error
	// Health tells how a project's destinations fare, by their ids.
	Health(ctx context.Context, projectID uuid.UUID) (map[uuid.UUID]Health, error)
	// Preview returns ErrNoChange where there is no such user or change.
	Preview(ctx context.Context, d project.Destination, of PreviewOf) (Preview, error)
	Replay(ctx context.Context, d project.Destination, r Replay) (Replayed, error)

	// ListDeliveries lists newest first; its error for a bad cursor is project.ErrBadCursor.
	ListDeliveries(ctx context.Context, projectID uuid.UUID, f DeliveryFilter) (page []Delivery, next string, err error)
	// FindDelivery, Retry and Cancel return ErrNoDelivery where the project has none
	// of that id; Retry and Cancel a *StateError where its state does not allow it.
	FindDelivery(ctx context.Context, projectID uuid.UUID, id int64) (Delivery, error)
	Retry(ctx context.Context, projectID uuid.UUID, id int64) error
	Cancel(ctx context.Context, projectID uuid.UUID, id int64) error
}

// From says from which change on a destination is told; the zero value: from now on.
type From struct {
	Beginning bool
	At        time.Time // changes committed then or later
}

// PreviewOf names the change to show: the newest of a user, or one by its id.
type PreviewOf struct {
	UserID   string
	ChangeID int64
}

// Preview is what a destination would be sent.
type Preview struct {
	Wanted    bool                  `json:"wanted"`
	Why       string                `json:"why"`
	MessageID string                `json:"message_id"`
	Requests  []destination.Request `json:"requests"`
}

// Replay chooses what is delivered again; what is empty does not narrow.
type Replay struct {
	From                From // the zero value: whatever was delivered before
	To                  time.Time
	UserID, Kind, State string
	DryRun              bool
}

// Replayed tells how many deliveries a Replay chose, and how many are under way again.
type Replayed struct {
	Matched  int64 `json:"matched"`
	Requeued int64 `json:"requeued"`
	DryRun   bool  `json:"dry_run"`
}

// Health is how a destination fares.
type Health struct {
	FailingSince    *time.Time `json:"failing_since"`
	OpenUntil       *time.Time `json:"open_until"`
	Waiting         int64      `json:"waiting"`
	Retrying        int64      `json:"retrying"`
	Failed          int64      `json:"failed"`
	OldestWaitingAt *time.Time `json:"oldest_waiting_at"`
	LastSuccessAt   *time.Time `json:"last_success_at"`
}

// DeliveryFilter narrows a list of deliveries; what is empty does not.
type DeliveryFilter struct {
	DestinationID       *uuid.UUID
	State, UserID, Kind string
	Cursor              string
	Limit               int
}

// Delivery is one change on its way to one destination.
type Delivery struct {
	ID            int64      `json:"id"`
	DestinationID uuid.UUID  `json:"destination_id"`
	Destination   string     `json:"destination"`
	ChangeID      int64      `json:"change_id"`
	MessageID     string     `json:"message_id"`
	UserID        string     `json:"user_id"`
	Kind          string     `json:"kind"`
	Changed       []string   `json:"changed"`
	State         string     `json:"state"`
	Attempts      int        `json:"attempts"`
	NextAttemptAt *time.Time `json:"next_attempt_at"`
	LastAttemptAt *time.Time `json:"last_attempt_at"`
	LastStatus    *int       `json:"last_status"`
	LastResponse  *string    `json:"last_response"`
	Reason        *string    `json:"reason"`
	MergedInto    *int64     `json:"merged_into"`
	JobID         *int64     `json:"job_id"`
	ChangedAt     time.Time  `json:"changed_at"`
	CreatedAt     time.Time  `json:"created_at"`
	FinishedAt    *time.Time `json:"finished_at"`
}
