package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider"
)

// StoredMessage is a delivery as it stands in the inbox.
type StoredMessage struct {
	Provider string // as in the database
	provider.Message
}

const selectMessage = `
SELECT i.provider, i.id, coalesce(i.message_id, ''), i.received_at, i.headers, i.body
FROM authsync.inbox AS i
`

// selectMessages finds each delivery by the key of its partition. Left to itself the planner reads all
// deliveries of the project, because the statistics of today's partition are those of an empty one.
const selectMessages = `
SELECT i.provider, i.id, coalesce(i.message_id, ''), i.received_at, i.headers, i.body
FROM unnest($2::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM authsync.inbox AS d
    WHERE d.id = wanted.id AND d.received_at BETWEEN $3 AND $4
    LIMIT 1
) AS i
WHERE i.project_id = $1
ORDER BY i.id`

// planned has a statement planned for the tables as they are now. A prepared one keeps its plan, which may have
// been made while the partition of today was empty.
const planned = pgx.QueryExecModeExec

// Load reads deliveries of a project by id, in the order of ids. from and to
// enclose their times of receipt, both included. Those that are no longer there
// (retention dropped them) are left out.
func (in *Inbox) Load(ctx context.Context, projectID uuid.UUID, ids []int64, from, to time.Time) ([]StoredMessage, error) {
	rows, err := in.pool.Query(ctx, selectMessages, planned, projectID, ids, from, to)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	deliveries, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return deliveries, nil
}

func scanMessage(row pgx.CollectableRow) (d StoredMessage, err error) {
	err = row.Scan(&d.Provider, &d.InboxID, &d.MessageID, &d.ReceivedAt, &d.Headers, &d.Body)
	d.ReceivedAt = d.ReceivedAt.UTC()
	return d, err
}
