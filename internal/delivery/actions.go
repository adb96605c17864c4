package delivery

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// The states of a destination.
const (
	StateActive   = "active"
	StatePaused   = "paused"
	StateDisabled = "disabled"
)

// The states of a delivery that code tells apart.
const (
	StateFailed    = "failed"
	StateDelivered = "delivered"
	StateCoalesced = "coalesced"
	StateCancelled = "cancelled"

	stateRetrying = "retrying"
)

// By says who paused a destination.
const (
	ByUser   = "user"
	BySystem = "system"
)

// ErrNoDelivery says that the project has no such delivery.
var ErrNoDelivery = errors.New("the project has no delivery with this id")

// StateError says why something cannot be done with a delivery in its state.
type StateError struct{ Detail string }

func (e *StateError) Error() string { return e.Detail }

// From says from where on a destination is told of changes. The zero value: of those
// that are still to come.
type From struct {
	Beginning bool      // all there are
	Time      time.Time // those committed since
}

// Cursor is the id of the change behind which those are that a destination is told of. It asks the
// project's database; a *tenantdb.DelayError says that it is away.
func (o *Outbox) Cursor(ctx context.Context, projectID uuid.UUID, from From) (int64, error) {
	if from.Beginning {
		return 0, nil
	}
	return o.config.Feed.ChangeCursor(ctx, projectID, from.Time)
}

const insertProgress = `INSERT INTO authsync.destination_progress (destination_id, cursor) VALUES ($1, $2)`

// Start sets a new destination going, in the transaction that makes it, from a place that Cursor gave.
func (o *Outbox) Start(ctx context.Context, tx pgx.Tx, destinationID, projectID uuid.UUID, cursor int64) error {
	if _, err := tx.Exec(ctx, insertProgress, destinationID, cursor); err != nil {
		return fmt.Errorf("set the destination going: %w", err)
	}
	return RequestRelay(ctx, tx, projectID)
}

const haltBy = `SELECT authsync.halt_destination($1, $2, $3, $4, $5)`

// Pause sets a destination to state StatePaused or StateDisabled; what is waiting and what
// comes is kept. What is on its way right now still arrives.
func (o *Outbox) Pause(ctx context.Context, destinationID uuid.UUID, by, state, reason string) error {
	var why *string
	if reason = clean(reason); reason != "" {
		why = &reason
	}
	if _, err := o.config.Pool.Exec(ctx, haltBy, destinationID, state, by, why, o.config.Now()); err != nil {
		return fmt.Errorf("pause the destination: %w", err)
	}
	return nil
}

// Resume makes a destination active, closes its circuit breaker and has it go on at once.
func (o *Outbox) Resume(ctx context.Context, destinationID uuid.UUID) error {
	if _, err := o.config.Pool.Exec(ctx, `SELECT authsync.resume_destination($1, $2)`, destinationID, o.config.Now()); err != nil {
		return fmt.Errorf("resume the destination: %w", err)
	}
	return nil
}

const retryDelivery = `SELECT state, coalesced_into, is_being_sent FROM authsync.retry_delivery($1, $2)`

// Retry takes a finished delivery up again, with all attempts before it, or has one that
// waits for its next attempt tried now: the destination's job sends it at once, or when the
// destination goes on. Its own job finds that it has nothing to do.
func (o *Outbox) Retry(ctx context.Context, projectID uuid.UUID, deliveryID int64) error {
	d, err := queryOne[struct {
		State         string
		CoalescedInto *int64
		IsBeingSent   bool
	}](ctx, o.config.Pool, retryDelivery, projectID, deliveryID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNoDelivery
	case err != nil:
		return fmt.Errorf("retry the delivery: %w", err)
	case d.State == "blocked":
		return &StateError{"it waits for an earlier delivery of the same user: retry or cancel that one"}
	case d.State == "ready":
		return &StateError{"it is about to be sent; if nothing happens, see the destination's state"}
	case d.State == StateCoalesced:
		return &StateError{fmt.Sprintf("it was united with delivery %d: retry that one", *d.CoalescedInto)}
	case d.IsBeingSent:
		return &StateError{"it is being sent right now: see what becomes of it"}
	}
	return nil
}

// Cancel ends a delivery that is not finished, or has failed; the next one of its user
// goes. One that is on its way right now may arrive all the same.
func (o *Outbox) Cancel(ctx context.Context, projectID uuid.UUID, deliveryID int64) error {
	var state *string
	err := pgdb.InTx(ctx, o.config.Pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT authsync.cancel_delivery($1, $2, $3)`, projectID, deliveryID, o.config.Now()).Scan(&state)
	})
	switch {
	case err != nil:
		return fmt.Errorf("cancel the delivery: %w", err)
	case state == nil:
		return ErrNoDelivery
	case *state != StateCancelled:
		return &StateError{"it is " + *state + " already"}
	}
	return nil
}
