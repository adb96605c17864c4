package inbox

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// EventsIn is Events, in a transaction, so that a test can count what it reads.
func EventsIn(ctx context.Context, tx pgx.Tx, f Filter, cursor string, limit int) (page []Event, next string, err error) {
	return eventsOf(ctx, tx, f, cursor, limit)
}

// PageStatement is the statement of a page of Events.
func PageStatement(f Filter, cursor string, limit int) (sql string, args []any, err error) {
	return f.page(cursor, limit)
}

// ReplayPages is Replay in a transaction, page by page, so that a test can count what each one reads.
func (in *Inbox) ReplayPages(ctx context.Context, tx pgx.Tx, f Filter, page func()) error {
	place, err := in.replayPlace(ctx, "")
	for err == nil && place != nil {
		_, place, err = in.replayPage(ctx, tx, &f, place)
		page()
	}
	return err
}

// CountReplayIn is CountReplay in a transaction.
func (in *Inbox) CountReplayIn(ctx context.Context, tx pgx.Tx, f Filter, most int) (messages int, err error) {
	place, err := in.replayPlace(ctx, "")
	if err != nil {
		return 0, err
	}
	return f.countReplay(ctx, tx, place, most)
}

// MaintainAt is Maintain and Prune at a time of the test's choice, without pauses.
func MaintainAt(ctx context.Context, pool *pgxpool.Pool, retention time.Duration, at time.Time) error {
	if err := maintain(ctx, pool, at); err != nil {
		return err
	}
	return PruneAt(ctx, pool, retention, at)
}

// PruneAt is Prune at a time of the test's choice, without pauses.
func PruneAt(ctx context.Context, pool *pgxpool.Pool, retention time.Duration, at time.Time) error {
	now := func() time.Time { return at }
	return Pruner{Pool: pool, Default: retention, Now: now, Wait: func(context.Context, time.Duration) error { return nil }}.Prune(ctx)
}

// Statements whose plans are tested.
const (
	StoreDeliveries  = storeMessages
	SelectPending    = selectPending
	SelectDeliveries = selectMessages
	UpsertOutcomes   = upsertOutcomes
	DeletePending    = deletePending
	Planned          = planned
)

const (
	JobMaxDeliveries = jobMaxMessages
	ReplayPage       = replayPage
	SelectSecretUses = selectUses
)
