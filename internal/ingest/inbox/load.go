package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider"
)

// StoredMessage is a message as stored in the inbox.
type StoredMessage struct {
	Provider   string // as in the database
	VerifiedBy string // see Message; empty: not known
	// Excluded are the entries of option exclude whose fields were removed before it was stored.
	Excluded []string
	provider.Message
}

const selectMessage = `
SELECT i.provider, i.id, coalesce(i.message_id, ''), coalesce(i.verified_by, ''), i.received_at, i.headers, i.body, i.excluded
FROM authsync.inbox AS i
`

// selectMessages finds each message by its partition's key. By default the planner would read all
// messages of the project, because the statistics of today's partition are those of an empty one.
const selectMessages = `
SELECT i.provider, i.id, coalesce(i.message_id, ''), coalesce(i.verified_by, ''), i.received_at, i.headers, i.body, i.excluded
FROM unnest($2::bigint[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT * FROM authsync.inbox AS d
    WHERE d.id = wanted.id AND d.received_at BETWEEN $3 AND $4
    LIMIT 1
) AS i
WHERE i.project_id = $1
ORDER BY i.id`

// planned makes a statement be planned for the tables as they are now. A prepared statement keeps
// its plan, which may have been made while today's partition was empty.
const planned = pgx.QueryExecModeExec

// Load reads messages of a project by id, in order of id. from and to are the inclusive bounds of
// their received_at. Messages dropped by retention are left out.
func (in *Inbox) Load(ctx context.Context, projectID uuid.UUID, ids []int64, from, to time.Time) ([]StoredMessage, error) {
	rows, err := in.pool.Query(ctx, selectMessages, planned, projectID, ids, from, to)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	messages, err := pgx.CollectRows(rows, scanMessage)
	if err != nil {
		return nil, fmt.Errorf("read messages: %w", err)
	}
	return messages, nil
}

func scanMessage(row pgx.CollectableRow) (d StoredMessage, err error) {
	err = row.Scan(&d.Provider, &d.InboxID, &d.MessageID, &d.VerifiedBy, &d.ReceivedAt, &d.Headers, &d.Body, &d.Excluded)
	d.ReceivedAt = d.ReceivedAt.UTC()
	return d, err
}
