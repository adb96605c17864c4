package mirror

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

const closeChanges = `SELECT * FROM capydb_auth.close_changes($1, $2, $3, $4)`

// CloseChanges gives the indexes of those of the events, which have been applied, that have
// another change of the same user within a span of time of their clocks. The error is a
// *tenantdb.DelayError.
func (m *Mirrors) CloseChanges(ctx context.Context, projectID uuid.UUID, events []Event, within time.Duration) (indexes []int, err error) {
	users, ids, clocks := make([]string, len(events)), make([]string, len(events)), make([]time.Time, len(events))
	for i := range events {
		users[i], ids[i], clocks[i] = events[i].UserID, events[i].ID, events[i].At
	}
	err = m.query(ctx, projectID, func(ctx context.Context, t *tenant) error {
		rows, err := t.pool.Query(ctx, closeChanges, users, ids, clocks, within)
		if err != nil {
			return err
		}
		found, err := pgx.CollectRows(rows, pgx.RowTo[int])
		indexes = indexes[:0]
		for _, ordinal := range found {
			indexes = append(indexes, ordinal-1)
		}
		return err
	})
	return indexes, err
}
