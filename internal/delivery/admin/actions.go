// Package admin is what people do with destinations and deliveries, through the API: start, pause and resume a
// destination; list, retry, cancel and replay deliveries; preview a change and send a test event.
//
// It sends nothing but test events: it changes states and requests jobs, each in one transaction, and the relay and
// the sender do the rest. If the process dies, a call has had its effect or none; a replay works page by page, and
// calling it again does the rest.
package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/destcache"
	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// Feed finds the changes that people ask about; see mirror.Mirrors. Its methods return a *tenantdb.DelayError if the
// project's database is unavailable.
type Feed interface {
	delivery.Feed
	ReadChanges(ctx context.Context, projectID uuid.UUID, after int64, limit int) ([]mirror.FeedChange, error)
	ChangeCursor(ctx context.Context, projectID uuid.UUID, since time.Time) (int64, error)
	LatestChange(ctx context.Context, projectID uuid.UUID, ref record.Ref) (int64, error)
}

// Config configures an Admin.
type Config struct {
	Pool         *pgxpool.Pool // the control database
	Feed         Feed
	Destinations *destcache.Cache
	Filters      *subscription.Filters
	Log          *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Admin does what people ask for. It is safe for concurrent use.
type Admin struct {
	config Config
}

// New returns an Admin.
func New(config Config) (*Admin, error) {
	if config.Pool == nil || config.Feed == nil || config.Destinations == nil || config.Filters == nil {
		return nil, errors.New("the administration of deliveries needs Pool, Feed, Destinations and Filters")
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	return &Admin{config: config}, nil
}

// Who paused a destination.
const (
	ByUser   = "user"
	BySystem = "system"
)

// ErrNoDelivery reports that the project has no such delivery.
var ErrNoDelivery = fault.New(fault.DeliveryNotFound, "the project has no such delivery: GET …/deliveries lists those there are")

// From is the point in the feed where a destination starts. The zero value means now: only future changes.
type From struct {
	Beginning bool      // all there are
	Time      time.Time // changes committed at or after this time
}

// Cursor returns the id of the change after which a destination starts. It queries the project's database and
// returns a *tenantdb.DelayError if that is unavailable.
func (a *Admin) Cursor(ctx context.Context, projectID uuid.UUID, from From) (int64, error) {
	if from.Beginning {
		return 0, nil
	}
	return a.config.Feed.ChangeCursor(ctx, projectID, from.Time)
}

const insertProgress = `INSERT INTO authsync.destination_progress (destination_id, cursor) VALUES ($1, $2)`

// Start starts a new destination at a cursor returned by Cursor. Call it in the transaction that creates the
// destination.
func (a *Admin) Start(ctx context.Context, tx pgx.Tx, destinationID, projectID uuid.UUID, cursor int64) error {
	if _, err := tx.Exec(ctx, insertProgress, destinationID, cursor); err != nil {
		return fmt.Errorf("start the destination: %w", err)
	}
	return delivery.RequestRelay(ctx, tx, projectID)
}

const haltBy = `SELECT authsync.halt_destination($1, $2, $3, $4, $5)`

// Pause sets a destination to StatePaused or delivery.StateDisabled. Its deliveries are kept and new ones are added.
// Requests already in flight may still arrive.
func (a *Admin) Pause(ctx context.Context, destinationID uuid.UUID, by, state, reason string) error {
	var why *string
	if reason = delivery.Clean(reason); reason != "" {
		why = &reason
	}
	if _, err := a.config.Pool.Exec(ctx, haltBy, destinationID, state, by, why, a.config.Now()); err != nil {
		return fmt.Errorf("pause the destination: %w", err)
	}
	return nil
}

// Resume makes a destination active, closes its circuit breaker and requests its job.
func (a *Admin) Resume(ctx context.Context, destinationID uuid.UUID) error {
	if _, err := a.config.Pool.Exec(ctx, `SELECT authsync.resume_destination($1, $2)`, destinationID, a.config.Now()); err != nil {
		return fmt.Errorf("resume the destination: %w", err)
	}
	return nil
}

const retryDelivery = `SELECT state, coalesced_into, is_being_sent FROM authsync.retry_delivery($1, $2)`

// Retry requeues a finished delivery, keeping its earlier attempts, or makes a retrying delivery due now. The
// destination's job sends it at once, or once the destination is resumed; the delivery's own job finds nothing
// to do.
func (a *Admin) Retry(ctx context.Context, projectID uuid.UUID, deliveryID int64) error {
	d, err := pgdb.CollectOne[struct {
		State         string
		CoalescedInto *int64
		IsBeingSent   bool
	}](ctx, a.config.Pool, retryDelivery, projectID, deliveryID)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return ErrNoDelivery
	case err != nil:
		return fmt.Errorf("retry the delivery: %w", err)
	case d.State == delivery.StateHeld:
		return fault.New(fault.WrongState, "it is held back: confirm it to have it sent now")
	case d.State == delivery.StateBlocked:
		return fault.New(fault.WrongState, "it waits for an earlier delivery of the same user or organization: retry or cancel that one")
	case d.State == delivery.StateReady:
		return fault.New(fault.WrongState, "it is about to be sent; if it is not, check the destination's state")
	case d.State == delivery.StateCoalesced:
		return fault.Newf(fault.WrongState, "it was coalesced into delivery %d: retry that one", *d.CoalescedInto)
	case d.IsBeingSent:
		return fault.New(fault.WrongState, "it is being sent right now: wait for the result")
	}
	return nil
}

// Cancel cancels an unfinished or failed delivery and unblocks the next one of its user or organization. A request already in
// flight may still arrive. Of a deletion that is held back the destination never hears.
func (a *Admin) Cancel(ctx context.Context, projectID uuid.UUID, deliveryID int64) error {
	var state *string
	err := pgdb.InTx(ctx, a.config.Pool, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT authsync.cancel_delivery($1, $2, $3)`, projectID, deliveryID, a.config.Now()).Scan(&state)
	})
	switch {
	case err != nil:
		return fmt.Errorf("cancel the delivery: %w", err)
	case state == nil:
		return ErrNoDelivery
	case *state != delivery.StateCancelled:
		return fault.New(fault.WrongState, "it is "+*state+" already")
	}
	return nil
}
