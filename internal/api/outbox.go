package api

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/record"
)

// Outbox sends changes on to destinations, and tells of it; see admin.Admin.
type Outbox interface {
	// Start begins a destination's deliveries, in the transaction that makes it.
	Cursor(ctx context.Context, projectID uuid.UUID, from admin.From) (int64, error)
	Start(ctx context.Context, tx pgx.Tx, destinationID, projectID uuid.UUID, cursor int64) error
	Pause(ctx context.Context, destinationID uuid.UUID, by, state, reason string) error
	// Resume closes the breaker as well.
	Resume(ctx context.Context, destinationID uuid.UUID) error
	// Health returns the health of a project's destinations, by their ids.
	Health(ctx context.Context, projectID uuid.UUID) (map[uuid.UUID]admin.Health, error)
	// Preview returns admin.ErrNoChange where there is no such change, or none of the record.
	Preview(ctx context.Context, projectID, destinationID uuid.UUID, ref record.Ref, changeID int64) (admin.Preview, error)
	// PreviewDraft returns the errors of Preview, and fault.Invalid for a destination that cannot be.
	PreviewDraft(ctx context.Context, projectID uuid.UUID, d admin.Draft, ref record.Ref, changeID int64) (admin.Preview, error)
	// Test returns fault.Invalid where the type takes no test events, or the mapping fails.
	Test(ctx context.Context, projectID, destinationID uuid.UUID, eventType string) (admin.TestResult, error)
	Replay(ctx context.Context, projectID, destinationID uuid.UUID, r admin.Replay) (admin.Replayed, error)

	// ListDeliveries returns fault.ErrBadCursor for a cursor that it did not return.
	ListDeliveries(ctx context.Context, projectID uuid.UUID, f admin.ListFilter) (page []admin.Delivery, next string, err error)
	// FindDelivery, Retry, Cancel and Confirm return admin.ErrNoDelivery where the project has none
	// with that id; Retry, Cancel and Confirm fault.WrongState where its state does not allow it.
	FindDelivery(ctx context.Context, projectID uuid.UUID, id int64) (admin.DeliveryDetail, error)
	Retry(ctx context.Context, projectID uuid.UUID, id int64) error
	Cancel(ctx context.Context, projectID uuid.UUID, id int64) error
	Confirm(ctx context.Context, projectID uuid.UUID, id int64) error
	ConfirmAll(ctx context.Context, projectID uuid.UUID, c admin.Confirmation) (admin.Confirmed, error)
}
