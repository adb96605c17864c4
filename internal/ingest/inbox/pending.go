package inbox

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/jobs"
)

// loadBytes is approximately how much LoadPending reads at once.
const loadBytes = 4 << 20

// PendingBatch is a batch of a project's pending messages.
type PendingBatch struct {
	Messages []StoredMessage
	// Last is where the next batch begins. More reports that there may be one, because this one is
	// full.
	Last int64
	More bool

	rows []int64
	// cut reports that only the Messages are settled, and the rest of the rows stays.
	cut bool
}

// Cut leaves all but the first n messages pending. They are read again with the first batch.
func (p *PendingBatch) Cut(n int) { p.Messages, p.More, p.cut = p.Messages[:n], false, true }

// IsCut reports whether messages of the batch stay pending.
func (p *PendingBatch) IsCut() bool { return p.cut }

// Pending rows up to a batch's size. A job that is not the project's current one gets none.
const selectPending = `
SELECT p.id, p.inbox_ids, p.received_from, p.received_to, p.messages, p.bytes
FROM (
    SELECT n.*, sum(n.messages) OVER w - n.messages AS messages_before, sum(n.bytes) OVER w - n.bytes AS bytes_before
    FROM (
        SELECT *
        FROM authsync.inbox_pending AS n
        WHERE n.project_id = $1 AND n.id > $2
        ORDER BY n.id
        LIMIT $4
    ) AS n
    WINDOW w AS (ORDER BY n.id)
) AS p
WHERE p.messages_before < $4 AND p.bytes_before < $5
  AND EXISTS (SELECT FROM authsync.job_requests AS r WHERE r.kind = 'apply_inbox' AND r.subject = $6 AND r.job_id = $3)
ORDER BY p.id`

// LoadPending reads pending messages in order of arrival, after a previous batch; 0 begins at the
// first. Commits overlap: a message may appear before a batch that was already read, so start over
// once done. jobID is the requesting job; most is the maximum number of messages in the batch.
func (in *Inbox) LoadPending(ctx context.Context, projectID uuid.UUID, jobID, after int64, most int) (p PendingBatch, err error) {
	rows, err := in.pool.Query(ctx, selectPending, projectID, after, jobID, most, loadBytes, projectID.String())
	if err != nil {
		return PendingBatch{}, fmt.Errorf("read what waits: %w", err)
	}
	var (
		row, bytes, total int64
		messages          int
		ids, all          []int64
		from, to          time.Time
		first, last       time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&row, &ids, &from, &to, &messages, &bytes}, func() error {
		p.rows, all = append(p.rows, row), append(all, ids...)
		total += bytes
		if first.IsZero() || from.Before(first) {
			first = from
		}
		if to.After(last) {
			last = to
		}
		return nil
	})
	if err != nil {
		return PendingBatch{}, fmt.Errorf("read what waits: %w", err)
	}
	if len(p.rows) == 0 {
		return p, nil
	}
	p.Last, p.More = p.rows[len(p.rows)-1], len(all) >= most || total >= loadBytes
	slices.Sort(all)
	all = slices.Compact(all) // a replayed message may be pending twice
	p.Messages, err = in.Load(ctx, projectID, all, first, last)
	return p, err
}

// Empty reports that nothing is pending.
func (p *PendingBatch) Empty() bool { return len(p.rows) == 0 }

const (
	deletePending = `DELETE FROM authsync.inbox_pending WHERE project_id = $1 AND id = ANY ($2)`

	cutPending = `
UPDATE authsync.inbox_pending AS p
SET inbox_ids = ARRAY(SELECT i.id FROM unnest(p.inbox_ids) AS i (id) WHERE i.id <> ALL ($3) ORDER BY i.id)
WHERE p.project_id = $1 AND p.id = ANY ($2)`

	deleteEmpty = `DELETE FROM authsync.inbox_pending WHERE project_id = $1 AND id = ANY ($2) AND messages = 0`
)

// Settle marks a batch as no longer pending, in the transaction that records its outcomes.
func (in *Inbox) Settle(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, p *PendingBatch) error {
	if p.cut {
		return p.settlePart(ctx, tx, projectID)
	}
	if _, err := tx.Exec(ctx, deletePending, projectID, p.rows); err != nil {
		return fmt.Errorf("settle what waited: %w", err)
	}
	return nil
}

func (p *PendingBatch) settlePart(ctx context.Context, tx pgx.Tx, projectID uuid.UUID) error {
	done := make([]int64, len(p.Messages))
	for i := range p.Messages {
		done[i] = p.Messages[i].InboxID
	}
	if _, err := tx.Exec(ctx, cutPending, projectID, p.rows, done); err != nil {
		return fmt.Errorf("settle a part of what waited: %w", err)
	}
	if _, err := tx.Exec(ctx, deleteEmpty, projectID, p.rows); err != nil {
		return fmt.Errorf("settle a part of what waited: %w", err)
	}
	return nil
}

// part is a set of a project's messages that become pending together.
type part struct {
	projectID   uuid.UUID
	ids         []int64
	bytes       int64
	first, last time.Time
}

func (p *part) add(e replayed) {
	p.ids, p.bytes = append(p.ids, e.InboxID), p.bytes+e.Bytes
	if e.ReceivedAt.Before(p.first) {
		p.first = e.ReceivedAt
	}
	if e.ReceivedAt.After(p.last) {
		p.last = e.ReceivedAt
	}
}

const (
	insertPending = `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to) VALUES ($1, $2, $3, $4, $5)`

	requestApply = `SELECT authsync.request_job($1, $2::uuid::text, jsonb_build_object('project_id', $2::uuid))`
)

// append makes messages pending again and requests the job that applies them.
func (p *part) append(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, insertPending, p.projectID, p.ids, p.bytes, p.first, p.last); err != nil {
		return fmt.Errorf("make messages wait: %w", err)
	}
	if _, err := tx.Exec(ctx, requestApply, jobs.ApplyInbox, p.projectID); err != nil {
		return fmt.Errorf("request the job that applies them: %w", err)
	}
	return nil
}
