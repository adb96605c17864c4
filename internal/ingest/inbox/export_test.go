package inbox

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// EventsIn is Events, in a transaction, so that a test can count what it reads.
func EventsIn(ctx context.Context, tx pgx.Tx, f Filter, cursor string, limit int) (page []Event, next string, err error) {
	return eventsOf(ctx, tx, f, cursor, limit)
}

// PageStatement is the statement of a page of Events.
func PageStatement(f Filter, cursor string, limit int) (sql string, args []any, err error) {
	return f.page(cursor, limit)
}

// Maintain at a time of the test's choice, and the bounds that tests reach for.
var MaintainAt = maintain //nolint:gochecknoglobals // exported to tests

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
