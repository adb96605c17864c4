package inbox

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// How many messages are looked at for a page of what is pending: first as many as it may have events, then more, because
// some may not match, or may have been applied before.
const (
	pendingAtOnce = 500
	pendingAtMost = 2000
)

const selectPendingMessages = `SELECT * FROM authsync.pending_messages($1, $2, $3)`

// pendingEvents are the events of messages that were read before, which are few enough to be sorted. OFFSET 0 keeps the
// planner from looking for them by anything but their messages.
const pendingEvents = `(
		SELECT v.*
		FROM unnest($%d::bigint[], $%d::timestamptz[], $%d::timestamptz[]) AS c (inbox_id, received_from, received_to)
		CROSS JOIN LATERAL (
			SELECT n.*
			FROM authsync.events AS n
			WHERE n.inbox_id = c.inbox_id AND n.received_at BETWEEN c.received_from AND c.received_to
			OFFSET 0
		) AS v
	) AS e`

// pendingPage returns a page of what is pending, newest first. It looks at a number of messages that depends on the length of
// the page alone. If few of them match, the page is short, and its cursor leads on.
func pendingPage(ctx context.Context, tx pgx.Tx, f Filter, cursor string, limit int) (page []Event, next string, err error) {
	until, most := int64(math.MaxInt64), min(limit+1, pendingAtOnce)
	if cursor != "" {
		place, err := parseCursor(cursor)
		if err != nil {
			return nil, "", err
		}
		until, most = place.InboxID, min(limit+2, pendingAtOnce) // the message of the cursor may have no further event
	}
	for seen := 0; ; most = min(4*most, pendingAtOnce) {
		messages, err := pgdb.Collect[struct {
			InboxID                  int64
			ReceivedFrom, ReceivedTo time.Time
		}](ctx, tx, selectPendingMessages, f.ProjectID, until, most)
		if err != nil {
			return nil, "", fmt.Errorf("read what is pending: %w", err)
		}
		if len(messages) == 0 {
			return page, "", nil
		}
		w, err := f.onPage(cursor)
		if err != nil {
			return nil, "", err
		}
		ids, from, to := make([]int64, len(messages)), make([]time.Time, len(messages)), make([]time.Time, len(messages))
		for i, m := range messages {
			ids[i], from[i], to[i] = m.InboxID, m.ReceivedFrom, m.ReceivedTo
		}
		n := len(w.args)
		w.args = append(w.args, ids, from, to, limit+1-len(page))
		found, err := readEvents(ctx, tx, selectEvents+fmt.Sprintf(pendingEvents, n+1, n+2, n+3)+" WHERE "+w.String()+
			" ORDER BY "+newestFirst.of("e", "e")+fmt.Sprintf(" LIMIT $%d", n+4), w.args...)
		if err != nil {
			return nil, "", err
		}
		page = append(page, found...)
		last := ids[len(ids)-1]
		switch seen += len(messages); {
		case len(page) > limit:
			page, next = cutPage(page, limit)
			return page, next, nil
		case len(messages) < most:
			return page, "", nil
		case seen >= pendingAtMost:
			return page, fmt.Sprintf("%d-0", last), nil
		}
		until = last - 1
	}
}
