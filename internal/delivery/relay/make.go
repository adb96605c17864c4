package relay

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/delivery/subscription"
	"github.com/authsync/authsync/internal/pgdb"
)

const makePage = `SELECT authsync.relay_page($1, $2, $3, $4, $5)`

// page is what a destination takes of a page of the feed.
type page struct {
	to         int64           // the cursor after it
	deliveries json.RawMessage // []subscription.Delivery
}

// queryRower is a pool or a transaction.
type queryRower interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// makeDeliveries makes the deliveries of a page and moves the destination's cursor, atomically. made is nil if its cursor has
// moved meanwhile.
func (r *Relay) makeDeliveries(ctx context.Context, db queryRower, s *subscription.Subscription, p page) (made *int64, err error) {
	if err := db.QueryRow(ctx, makePage, s.ID, s.Cursor, p.to, p.deliveries, r.config.Now()).Scan(&made); err != nil {
		return nil, fmt.Errorf("make deliveries: %w", err)
	}
	return made, nil
}

// makeAndHalt makes the deliveries of the changes before the one at which a destination's filter halted, and
// pauses the destination there. made is nil if its cursor has moved; the worker that moved it will halt it
// too.
func (r *Relay) makeAndHalt(ctx context.Context, s *subscription.Subscription, p page, why error) (made *int64, err error) {
	var halted bool
	err = pgdb.InTx(ctx, r.config.Pool, func(tx pgx.Tx) error {
		if made, err = r.makeDeliveries(ctx, tx, s, p); err != nil || made == nil {
			return err
		}
		halted, err = r.config.Filters.Halt(ctx, tx, s, why)
		return err
	})
	if err == nil && halted {
		r.config.Filters.Halted(ctx, s)
	}
	return made, err
}
