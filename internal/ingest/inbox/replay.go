package inbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/pgdb"
)

// replayPage is how many deliveries one transaction of Replay takes up.
const replayPage = 2000

// Replay makes the deliveries wait again that have an event which the filter chooses, oldest
// first, and returns how many parts they wait in, or how many jobs it made or brought forward. Deliveries that arrive meanwhile are not among them. With Outcome
// Failed it takes up those events alone: one that waits for its next try is tried
// now.
//
// Replaying what was applied is harmless: the mirror's ledger knows the events.
// It goes page by page, each its own transaction; after an error, jobs says what
// is done, and calling again starts over without harm.
func (in *Inbox) Replay(ctx context.Context, f Filter) (jobs int, err error) {
	var last int64
	if err := in.pool.QueryRow(ctx, `SELECT coalesce(max(i.id), 0) FROM authsync.inbox AS i`).Scan(&last); err != nil {
		return 0, fmt.Errorf("replay: read the newest id: %w", err)
	}
	for {
		var made, seen int
		err := pgdb.InTx(ctx, in.pool, func(tx pgx.Tx) (err error) {
			made, seen, err = in.replayPage(ctx, tx, &f, last)
			return err
		})
		if err != nil {
			return jobs, fmt.Errorf("replay: %w", err)
		}
		jobs += made
		if seen < replayPage {
			return jobs, nil
		}
	}
}

// replayed is an event to replay, or a delivery.
type replayed struct {
	InboxID    int64
	Ordinal    int
	ProjectID  uuid.UUID
	ReceivedAt time.Time
	Bytes      int64
}

// replayPage makes the jobs of the next page and moves f.AfterID behind it.
func (in *Inbox) replayPage(ctx context.Context, tx pgx.Tx, f *Filter, last int64) (made, seen int, err error) {
	w := f.where()
	w.add("e.inbox_id <= $?", last)
	// Ordinals do not matter for whole deliveries; failed events of one delivery
	// are few, and a page that cut them apart would lose the rest: so LIMIT counts deliveries.
	sql := fmt.Sprintf(`
		WITH page AS (
			SELECT DISTINCT e.inbox_id FROM authsync.events AS e WHERE %[1]s ORDER BY e.inbox_id LIMIT %[2]d
		)
		SELECT e.inbox_id, e.ordinal, e.project_id, e.received_at, octet_length(i.body)::bigint AS bytes
		FROM page
		JOIN authsync.events AS e USING (inbox_id)
		JOIN authsync.inbox AS i ON i.id = e.inbox_id AND i.received_at = e.received_at
		WHERE %[1]s
		ORDER BY e.inbox_id, e.ordinal`, w, replayPage)
	rows, err := tx.Query(ctx, sql, w.args...)
	if err != nil {
		return 0, 0, fmt.Errorf("choose deliveries: %w", err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByName[replayed])
	if err != nil {
		return 0, 0, fmt.Errorf("choose deliveries: %w", err)
	}
	for i, e := range events {
		if i == 0 || e.InboxID != events[i-1].InboxID {
			seen++
		}
		f.AfterID = e.InboxID
	}
	if f.Outcome == Failed {
		made, err = in.replayEvents(ctx, tx, events)
	} else {
		made, err = in.replayMessages(ctx, tx, events)
	}
	return made, seen, err
}

// replayMessages makes whole messages wait again, in parts of bounded size. Parts of a project
// follow each other, and projects are in one order, so that two calls cannot deadlock.
func (in *Inbox) replayMessages(ctx context.Context, tx pgx.Tx, events []replayed) (int, error) {
	var parts []*part
	open := make(map[uuid.UUID]*part) // the last part of each project
	for i, e := range events {
		if i > 0 && e.InboxID == events[i-1].InboxID {
			continue
		}
		p := open[e.ProjectID]
		if p == nil || len(p.ids) == jobMaxMessages || p.bytes+e.Bytes > jobMaxBytes {
			p = &part{projectID: e.ProjectID, first: e.ReceivedAt, last: e.ReceivedAt}
			parts = append(parts, p)
			open[e.ProjectID] = p
		}
		p.add(e)
	}
	slices.SortStableFunc(parts, func(a, b *part) int { return bytes.Compare(a.projectID[:], b.projectID[:]) })
	for _, p := range parts {
		if err := p.append(ctx, tx); err != nil {
			return 0, err
		}
	}
	return len(parts), nil
}

func (in *Inbox) replayEvents(ctx context.Context, tx pgx.Tx, events []replayed) (int, error) {
	params := make([]river.InsertManyParams, len(events))
	for i, e := range events {
		params[i].Args = RetryEventArgs{ProjectID: e.ProjectID, InboxID: e.InboxID, ReceivedAt: e.ReceivedAt, Ordinal: e.Ordinal}
	}
	inserted, err := in.insert(ctx, tx, params)
	if err != nil {
		return 0, err
	}
	for _, result := range inserted {
		waits := result.Job.State == rivertype.JobStateRetryable || result.Job.State == rivertype.JobStateScheduled
		if !result.UniqueSkippedAsDuplicate || !waits {
			continue
		}
		if _, err := in.jobs.JobRetryTx(ctx, tx, result.Job.ID); err != nil {
			return 0, fmt.Errorf("bring job %d forward: %w", result.Job.ID, err)
		}
	}
	return len(inserted), nil
}

func (in *Inbox) insert(ctx context.Context, tx pgx.Tx, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error) {
	if len(params) == 0 {
		return nil, nil
	}
	inserted, err := in.jobs.InsertManyTx(ctx, tx, params)
	if err != nil {
		return nil, fmt.Errorf("insert jobs: %w", err)
	}
	return inserted, nil
}

// lostPage is how many messages one transaction of ReplayLost looks at.
const lostPage = 5000

// Lost chooses the messages of a project with an event that became final at Since or later, by their
// ids: those behind After, up to Last.
type Lost struct {
	ProjectID   uuid.UUID
	Since       time.Time // zero: all that became final
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

// ReplayLost makes a page of messages wait again, in the caller's transaction, and gives how many they
// are. next is the After of the page that follows; Last at the end. It is for what a mirror has lost, and looks at
// each message by its key, however many there are.
func (in *Inbox) ReplayLost(ctx context.Context, tx pgx.Tx, l Lost) (next int64, messages int, err error) {
	if _, err := tx.Exec(ctx, fromIndexes); err != nil {
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
