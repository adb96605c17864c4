package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider"
)

// StoredDelivery is a delivery as it stands in the inbox.
type StoredDelivery struct {
	Provider string // as in the database
	provider.Delivery
}

const selectDelivery = `
SELECT i.provider, i.id, coalesce(i.delivery_id, ''), i.received_at, i.headers, i.body
FROM authsync.inbox AS i
`

// Load reads deliveries of a project by id, in the order of ids. from and to
// enclose their times of receipt, both included. Those that are no longer there
// (retention dropped them) are left out.
func (in *Inbox) Load(ctx context.Context, projectID uuid.UUID, ids []int64, from, to time.Time) ([]StoredDelivery, error) {
	rows, err := in.pool.Query(ctx, selectDelivery+
		`WHERE i.id = ANY ($2) AND i.project_id = $1 AND i.received_at BETWEEN $3 AND $4 ORDER BY i.id`,
		projectID, ids, from, to)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	deliveries, err := pgx.CollectRows(rows, scanDelivery)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return deliveries, nil
}

func scanDelivery(row pgx.CollectableRow) (d StoredDelivery, err error) {
	err = row.Scan(&d.Provider, &d.InboxID, &d.DeliveryID, &d.ReceivedAt, &d.Headers, &d.Body)
	d.ReceivedAt = d.ReceivedAt.UTC()
	return d, err
}
