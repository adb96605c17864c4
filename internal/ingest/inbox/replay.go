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

// replayPage is the number of messages that one transaction of Replay handles.
const replayPage = 2000

// Replay makes the messages with a matching event pending again, oldest first, and returns how many
// parts it created, or how many jobs it inserted or brought forward. Messages that arrive in the
// meantime are not included. With Outcome Failed it retries only those events: one that waits for
// its next retry is retried now.
//
// Replaying applied events is harmless: the mirror's ledger knows them. Each page is its own
// transaction; after an error, jobs is the progress so far, and calling again starts over without
// harm.
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

// countedPage is how many events CountReplay reads at once.
const countedPage = 1000

// CountReplay counts the messages that Replay would make pending again, up to most. It walks through the pages of the
// list of events, each of which reads no more than it shows.
func (in *Inbox) CountReplay(ctx context.Context, f Filter, most int) (messages int, err error) {
	last, cursor := int64(-1), ""
	for {
		page, next, err := in.Events(ctx, f, cursor, countedPage)
		if err != nil {
			return 0, fmt.Errorf("count what a replay would take: %w", err)
		}
		for _, e := range page {
			if e.InboxID == last { // events of a message follow each other
				continue
			}
			if messages++; messages == most {
				return messages, nil
			}
			last = e.InboxID
		}
		if next == "" {
			return messages, nil
		}
		cursor = next
	}
}

// replayed is an event or a message to replay.
type replayed struct {
	InboxID    int64
	Ordinal    int
	ProjectID  uuid.UUID
	ReceivedAt time.Time
	Bytes      int64
}

// replayPage handles the next page and advances f.AfterID past it.
func (in *Inbox) replayPage(ctx context.Context, tx pgx.Tx, f *Filter, last int64) (made, seen int, err error) {
	w := f.where()
	w.add("e.inbox_id <= $?", last)
	// Whole messages need no ordinals; a message has few failed events, and a page that split them
	// would lose the rest, so LIMIT counts messages.
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

// replayMessages makes whole messages pending again, in parts of bounded size. A project's parts
// are consecutive and projects are sorted, so that two calls cannot deadlock.
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
