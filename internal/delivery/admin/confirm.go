package admin

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	releaseDeliveries = `SELECT authsync.release_deliveries($1, $2, $3)`

	selectHeld = `SELECT o.destination_id, o.state FROM authsync.deliveries AS o WHERE o.id = $2 AND o.project_id IS NOT DISTINCT FROM $1`
)

// Confirm has a held delivery sent now, with what else is held of its record.
func (a *Admin) Confirm(ctx context.Context, projectID uuid.UUID, deliveryID int64) error {
	d, err := pgdb.CollectOne[struct {
		DestinationID uuid.UUID
		State         string
	}](ctx, a.config.Pool, selectHeld, pgdb.Planned, projectID, deliveryID)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoDelivery
	}
	if err != nil {
		return fmt.Errorf("confirm the delivery: %w", err)
	}
	if d.State != delivery.StateHeld {
		return fault.New(fault.WrongState, "it is not held back: it is "+d.State)
	}
	var n *int64
	if err := a.config.Pool.QueryRow(ctx, releaseDeliveries, d.DestinationID, []int64{deliveryID}, a.config.Now()).Scan(&n); err != nil {
		return fmt.Errorf("confirm the delivery: %w", err)
	}
	if n == nil || *n == 0 {
		return fault.New(fault.WrongState, "it is not held back any more")
	}
	return nil
}

// Confirmation selects held deliveries. Empty fields match everything.
type Confirmation struct {
	DestinationID uuid.UUID
	UserID        string // the user, its memberships and sessions
	RecordType    string
	RecordID      string
	EventType     string
	DryRun        bool
}

// Confirmed is the result of a confirmation.
type Confirmed struct {
	Matched   int64
	Confirmed int64 // deliveries released, with what else was held of their records
	DryRun    bool
}

// confirmPage is the number of deliveries per transaction.
const confirmPage = 500

// In the order of deliveries_state_idx.
const selectConfirmed = `
	SELECT o.id
	FROM authsync.deliveries AS o
	WHERE o.project_id = $1 AND o.destination_id = $2 AND o.state = 'held' AND o.id + 0 < $3
	  AND ($4::text IS NULL OR o.user_id = $4) AND ($5::text IS NULL OR o.record_type = $5)
	  AND ($6::text IS NULL OR o.record_id = $6) AND ($7::text IS NULL OR o.event_type = $7)
	ORDER BY o.id + 0 DESC
	LIMIT $8`

const selectHolding = `
	SELECT d.id
	FROM authsync.destinations AS d
	WHERE d.project_id = $1 AND ($2::uuid IS NULL OR d.id = $2)
	ORDER BY d.id`

// ConfirmAll has all held deliveries of a project sent that match. It works page by page; after an error the result shows what was done, and
// calling it again does the rest.
func (a *Admin) ConfirmAll(ctx context.Context, projectID uuid.UUID, c Confirmation) (done Confirmed, err error) {
	done.DryRun = c.DryRun
	var only *uuid.UUID
	if c.DestinationID != uuid.Nil {
		only = &c.DestinationID
	}
	rows, err := a.config.Pool.Query(ctx, selectHolding, projectID, only)
	if err != nil {
		return done, fmt.Errorf("confirm deliveries: %w", err)
	}
	destinations, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return done, fmt.Errorf("confirm deliveries: %w", err)
	}
	for _, id := range destinations {
		if err := a.confirmOf(ctx, projectID, id, c, &done); err != nil {
			return done, fmt.Errorf("confirm deliveries: %w", err)
		}
	}
	return done, nil
}

func (a *Admin) confirmOf(ctx context.Context, projectID, destinationID uuid.UUID, c Confirmation, done *Confirmed) error {
	before := int64(math.MaxInt64)
	for {
		ids, err := a.heldOf(ctx, projectID, destinationID, before, c)
		if err != nil {
			return err
		}
		done.Matched += int64(len(ids))
		if len(ids) > 0 && !c.DryRun {
			var n *int64
			if err := a.config.Pool.QueryRow(ctx, releaseDeliveries, destinationID, ids, a.config.Now()).Scan(&n); err != nil {
				return err
			}
			if n != nil {
				done.Confirmed += *n
			}
		}
		if len(ids) < confirmPage {
			return nil
		}
		before = ids[len(ids)-1]
	}
}

// heldOf returns a page of the held deliveries of a destination, the newest first.
func (a *Admin) heldOf(ctx context.Context, projectID, destinationID uuid.UUID, before int64, c Confirmation) (ids []int64, err error) {
	err = pgx.BeginTxFunc(ctx, a.config.Pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		for _, setting := range []string{pgdb.FromIndexes, pgdb.InOrder} {
			if _, err := tx.Exec(ctx, setting); err != nil {
				return err
			}
		}
		rows, err := tx.Query(ctx, selectConfirmed, pgdb.Planned, projectID, destinationID, before,
			pgdb.NullText(c.UserID), pgdb.NullText(c.RecordType), pgdb.NullText(c.RecordID), pgdb.NullText(c.EventType), confirmPage)
		if err != nil {
			return err
		}
		ids, err = pgx.CollectRows(rows, pgx.RowTo[int64])
		return err
	})
	return ids, err
}
