package sender

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/pgdb"
)

const (
	reasonRepairing = "the project's database has lost this change and is being repaired: it is sent once the change is restored"
	reasonLost      = "the project's database lost this change, because it was restored or its mirror was recreated, and the repair did not restore it: " +
		"newer events superseded it, or it came from no message. Compare with the current record, and replay that: authsync destinations replay"
	reasonGone = "the change is no longer in the project's database: its retention is over, or somebody has removed it from capydb_auth.changes. " +
		"The next change is sent; cancel this delivery"
)

// gone decides about deliveries whose change is missing in the project's database. It checks the mirror first:
// this may be the first sign of a loss.
func (s *Sender) gone(ctx context.Context, destinationID uuid.UUID, all []outgoing) error {
	first := slices.IndexFunc(all, func(d outgoing) bool { return d.isGone })
	if first < 0 {
		return nil
	}
	if err := s.config.Feed.Check(ctx, all[first].ProjectID); err != nil {
		return err
	}
	type row struct {
		delivery.Loss

		Cursor int64
	}
	f, err := pgdb.CollectOne[row](ctx, s.config.Pool, `
		SELECT f.cursor, `+delivery.LossColumns+`
		FROM authsync.destinations AS d
		JOIN authsync.destination_progress AS f ON f.destination_id = d.id`+delivery.LossJoin+`
		WHERE d.id = $1`, destinationID)
	if err != nil {
		return fmt.Errorf("read the losses of the mirror: %w", err)
	}
	isRepaired, moved := false, []int64{}
	if f.LostTo != nil && f.ReplayedAt != nil {
		newest, err := s.config.Feed.ChangeCursor(ctx, all[first].ProjectID, time.Time{})
		if err != nil {
			return err
		}
		isRepaired = f.Cursor >= newest
		if moved, err = s.moved(ctx, all, *f.LostTo); err != nil {
			return err
		}
	}
	hasMoved := func(id int64) bool { return slices.Contains(moved, id) }
	for i := range all {
		d := &all[i]
		switch {
		case !d.isGone:
		case f.LostTo == nil || d.LastChangeID > *f.LostTo:
			d.unsent, d.reason = outcomeFailed, reasonGone
		case isRepaired && !hasMoved(d.ID) && !slices.ContainsFunc(d.Coalesced, hasMoved):
			d.unsent, d.reason = outcomeCancelled, reasonLost
		default:
			d.unsent, d.reason = outcomeDeferred, reasonRepairing
		}
	}
	return nil
}

const selectMoved = `SELECT e.id FROM authsync.deliveries AS e WHERE e.id = ANY ($1::bigint[]) AND e.change_id > $2::bigint`

// moved returns those of the deliveries, and of those coalesced into them, that have taken a restored change since
// they were taken. It has to be asked after the cursor was read, which moves in the same transaction.
func (s *Sender) moved(ctx context.Context, all []outgoing, lostTo int64) ([]int64, error) {
	var ids []int64
	for i := range all {
		if d := &all[i]; d.isGone && d.LastChangeID <= lostTo {
			ids = append(append(ids, d.ID), d.Coalesced...)
		}
	}
	rows, err := s.config.Pool.Query(ctx, selectMoved, ids, lostTo)
	if err != nil {
		return nil, fmt.Errorf("find deliveries of restored changes: %w", err)
	}
	moved, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("find deliveries of restored changes: %w", err)
	}
	return moved, nil
}

// lookForRepair is how soon a delivery whose change is being restored is checked again.
const lookForRepair = 10 * time.Second

// unsentResult is the result of a delivery without a message.
func (s *Sender) unsentResult(d outgoing) sent {
	u := sent{outgoing: d, outcome: d.unsent, result: destination.Result{Outcome: destination.GiveUp, Reason: d.reason}}
	if d.unsent == outcomeDeferred { // by a job of its own, so that others continue
		u.result.Outcome = destination.Deferred
		u.aside = d.State != delivery.StateRetrying
		u.retryAt = s.config.Now().Add(s.config.Pause(lookForRepair))
	}
	return u
}
