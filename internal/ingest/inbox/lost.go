package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// lostPage is the number of messages that one transaction of ReplayLost examines.
const lostPage = 5000

// Lost selects a project's messages with an event that became final at or after Since, by id:
// greater than After, up to Last.
type Lost struct {
	ProjectID   uuid.UUID
	Since       time.Time // zero means all final events
	After, Last int64
}

const selectLost = `
SELECT i.id AS inbox_id, i.received_at, i.bytes, o.ordinal IS NOT NULL AS is_lost
FROM (
	SELECT d.id, d.received_at, octet_length(d.body)::bigint AS bytes
	FROM authsync.inbox AS d
	WHERE d.project_id = $1 AND d.id > $2 AND d.id <= $3
	ORDER BY d.id
	LIMIT $5
) AS i
LEFT JOIN LATERAL (
	SELECT e.ordinal
	FROM authsync.event_outcomes AS e
	WHERE e.inbox_id = i.id AND e.received_at = i.received_at AND e.applied_at >= $4
	LIMIT 1
) AS o ON true
ORDER BY i.id`

// ReplayLost makes a page of messages pending again, in the caller's transaction, and returns how
// many. next is the After of the following page; Last at the end. It restores what a mirror lost
// and examines each message by key, however many there are.
func (in *Inbox) ReplayLost(ctx context.Context, tx pgx.Tx, l Lost) (next int64, messages int, err error) {
	if _, err := tx.Exec(ctx, pgdb.FromIndexes); err != nil {
		return 0, 0, fmt.Errorf("replay: %w", err)
	}
	since := l.Since
	if since.IsZero() {
		since = time.Unix(0, 0)
	}
	rows, err := tx.Query(ctx, selectLost, l.ProjectID, l.After, l.Last, since, lostPage)
	if err != nil {
		return 0, 0, fmt.Errorf("replay: choose messages: %w", err)
	}
	type row struct {
		InboxID    int64
		ReceivedAt time.Time
		Bytes      int64
		IsLost     bool
	}
	page, err := pgx.CollectRows(rows, pgx.RowToStructByName[row])
	if err != nil {
		return 0, 0, fmt.Errorf("replay: choose messages: %w", err)
	}
	next = l.Last
	if len(page) == lostPage {
		next = page[lostPage-1].InboxID
	}
	var lost []replayed
	for _, m := range page {
		if m.IsLost {
			lost = append(lost, replayed{InboxID: m.InboxID, ProjectID: l.ProjectID, ReceivedAt: m.ReceivedAt, Bytes: m.Bytes})
		}
	}
	if _, err = in.replayMessages(ctx, tx, lost); err != nil {
		return 0, 0, fmt.Errorf("replay: %w", err)
	}
	return next, len(lost), nil
}
