package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// A self-test's events lie within a minute; these limits are generous.
const (
	selfTestTime   = time.Hour
	selfTestEvents = 20
)

const selectSelfTest = `
SELECT e.inbox_id AS id, e.received_at
FROM authsync.event_outcomes AS e
WHERE e.project_id = $1 AND e.user_id = $2 AND e.inbox_id < $3 AND e.received_at > $4
ORDER BY e.inbox_id
LIMIT $5`

// BeforeSelfTest reads what the self-test with this user sent before d, oldest first.
func (in *Inbox) BeforeSelfTest(
	ctx context.Context, projectID uuid.UUID, userID string, inboxID int64, receivedAt time.Time,
) ([]StoredMessage, error) {
	rows, err := in.pool.Query(ctx, selectSelfTest, projectID, userID, inboxID, receivedAt.Add(-selfTestTime), selfTestEvents)
	if err != nil {
		return nil, fmt.Errorf("read the self-test: %w", err)
	}
	type place struct {
		ID         int64
		ReceivedAt time.Time
	}
	places, err := pgx.CollectRows(rows, pgx.RowToStructByName[place])
	if err != nil {
		return nil, fmt.Errorf("read the self-test: %w", err)
	}
	if len(places) == 0 {
		return nil, nil
	}
	ids := make([]int64, len(places))
	from, to := places[0].ReceivedAt, places[0].ReceivedAt
	for i, p := range places {
		ids[i] = p.ID
		if p.ReceivedAt.Before(from) {
			from = p.ReceivedAt
		}
		if p.ReceivedAt.After(to) {
			to = p.ReceivedAt
		}
	}
	return in.Load(ctx, projectID, ids, from, to)
}
