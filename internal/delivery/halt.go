package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	relayAPage = `SELECT authsync.relay_page($1, $2, $3, $4, $5)`
	haltFilter = `SELECT authsync.halt_filter($1, $2, $3, $4, $5, $6)`
)

// haltReason is the reason for pausing a destination whose filter keeps costing workers.
func haltReason(err error) string {
	return clean(err.Error() + "; change the condition, and resume the destination")
}

// relayAndHalt makes the deliveries of the changes before the one at which a destination's filter halted, and
// pauses the destination there. made is nil if its cursor has moved; the worker that moved it will halt it
// too.
func (o *Outbox) relayAndHalt(
	ctx context.Context, projectID uuid.UUID, f subscriber, to int64, wanted json.RawMessage, why error,
) (made *int64, err error) {
	var halted bool
	err = pgdb.InTx(ctx, o.config.Pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, relayAPage, f.ID, f.Cursor, to, wanted, o.config.Now()).Scan(&made); err != nil {
			return fmt.Errorf("make deliveries: %w", err)
		}
		if made == nil {
			return nil
		}
		halted, err = o.haltFilter(ctx, tx, f, why)
		return err
	})
	if err == nil && halted {
		o.logPaused(ctx, projectID, f)
	}
	return made, err
}

// haltFilter pauses the destination and reports whether it still had this filter.
func (o *Outbox) haltFilter(ctx context.Context, db pgx.Tx, f subscriber, why error) (halted bool, err error) {
	err = db.QueryRow(ctx, haltFilter, f.ID, f.EventTypes, f.Fields, f.Condition, haltReason(why), o.config.Now()).Scan(&halted)
	if err != nil {
		return false, fmt.Errorf("pause the destination: %w", err)
	}
	return halted, nil
}

// logPaused logs and counts a paused destination.
func (o *Outbox) logPaused(ctx context.Context, projectID uuid.UUID, f subscriber) {
	o.metrics.disabled.WithLabelValues(f.Type, StatePaused).Inc()
	o.config.Log.ErrorContext(ctx, "destination_paused", slog.String("project_id", projectID.String()),
		slog.String("destination_id", f.ID.String()), slog.String("type", f.Type), slog.String("because", "filter"))
}

// haltPast pauses a destination whose filter halted on a past change during a replay. Its error tells the
// caller of the replay.
func (o *Outbox) haltPast(ctx context.Context, projectID uuid.UUID, f subscriber, why error, dryRun bool) error {
	if dryRun {
		return fault.New(fault.WrongState, haltReason(why))
	}
	var halted bool
	err := pgdb.InTx(ctx, o.config.Pool, func(tx pgx.Tx) (err error) {
		halted, err = o.haltFilter(ctx, tx, f, why)
		return err
	})
	if err != nil {
		return err
	}
	if halted {
		o.logPaused(ctx, projectID, f)
	}
	return fault.New(fault.WrongState, haltReason(why))
}
