package inbox

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

// replayPage is the number of events that one transaction of Replay handles.
const replayPage = 2000

// Replayed is how far a replay has come.
type Replayed struct {
	// Jobs is how many parts it created, or how many jobs it inserted or brought forward.
	Jobs int
	// Next is the cursor with which another call continues; empty: all is done.
	Next string
}

// Replay makes the messages with a matching event pending again, oldest first, until patience has passed; there is at least one
// page. Messages that arrive after the first call are not included. With Outcome Failed it retries only those events: one
// that waits for its next retry is retried now. With Outcome Pending it takes events that were deferred: messages without an
// outcome are applied anyway.
//
// Each page is a transaction of its own that begins where the previous one ended. Replaying applied events is harmless: the
// mirror's ledger knows them. So is repeating a call after an error. An empty cursor begins. Errors: fault.ErrBadCursor;
// otherwise the database's.
func (in *Inbox) Replay(ctx context.Context, f Filter, cursor string, patience time.Duration) (done Replayed, err error) {
	place, err := in.replayPlace(ctx, cursor)
	if err != nil {
		return done, err
	}
	for begun := in.config.Now(); ; {
		made := 0
		err := pgdb.InTx(ctx, in.pool, func(tx pgx.Tx) (err error) {
			made, place, err = in.replayPage(ctx, tx, &f, place)
			return err
		})
		if err != nil {
			return done, fmt.Errorf("replay: %w", err)
		}
		done.Jobs += made
		if place == nil {
			return done, nil
		}
		if in.config.Now().Sub(begun) >= patience {
			done.Next = place.String()
			return done, nil
		}
	}
}

// replayPlace is where a page of a replay begins.
type replayPlace struct {
	after EventRef // the last event that was handled
	last  int64    // the last message that belongs to the replay
}

func (p *replayPlace) String() string {
	return fmt.Sprintf("%d-%d-%d", p.last, p.after.InboxID, p.after.Ordinal)
}

// replayPlace reads a cursor. A new replay ends with the newest message there is.
func (in *Inbox) replayPlace(ctx context.Context, cursor string) (*replayPlace, error) {
	p := &replayPlace{}
	if cursor == "" {
		if err := in.pool.QueryRow(ctx, `SELECT coalesce(max(i.id), 0) FROM authsync.inbox AS i`).Scan(&p.last); err != nil {
			return nil, fmt.Errorf("replay: read the newest id: %w", err)
		}
		return p, nil
	}
	first, rest, _ := strings.Cut(cursor, "-")
	var err error
	if p.last, err = strconv.ParseInt(first, 10, 64); err != nil {
		return nil, fault.ErrBadCursor
	}
	p.after, err = parseCursor(rest)
	return p, err
}

// replayPage handles the events that follow a place. next is the place of the next page; nil: there is none.
func (in *Inbox) replayPage(ctx context.Context, tx pgx.Tx, f *Filter, place *replayPlace) (made int, next *replayPlace, err error) {
	if _, err := tx.Exec(ctx, pgdb.FromIndexes); err != nil {
		return 0, nil, err
	}
	sql, args := f.replayed(place)
	events, err := pgdb.Collect[replayed](ctx, tx, sql, args...)
	if err != nil {
		return 0, nil, fmt.Errorf("choose events: %w", err)
	}
	if f.Outcome == Failed {
		made, err = in.replayEvents(ctx, tx, events)
	} else {
		made, err = in.replayMessages(ctx, tx, withoutMessage(events, place.after.InboxID))
	}
	if err != nil {
		return 0, nil, err
	}
	if len(events) == replayPage {
		last := events[replayPage-1]
		return made, &replayPlace{after: EventRef{last.InboxID, last.Ordinal}, last: place.last}, nil
	}
	return made, nil, nil
}

// withoutMessage leaves out the first events, if they are of a message that the previous page has made pending.
func withoutMessage(events []replayed, inboxID int64) []replayed {
	for len(events) > 0 && events[0].InboxID == inboxID {
		events = events[1:]
	}
	return events
}

// replayed returns the statement for the events that follow a place, oldest first. Of what is pending these are the events
// that were deferred, which have an outcome.
func (f *Filter) replayed(place *replayPlace) (sql string, args []any) {
	source, conditions, order := f.replaySource(place)
	conditions.args = append(conditions.args, replayPage)
	return `
		SELECT e.inbox_id, e.ordinal, e.project_id, e.received_at, (
			SELECT octet_length(i.body)::bigint FROM authsync.inbox AS i WHERE i.id = e.inbox_id AND i.received_at = e.received_at
		) AS bytes
		FROM ` + source + ` WHERE ` + conditions.String() + ` ORDER BY ` + order + fmt.Sprintf(" LIMIT $%d", len(conditions.args)), conditions.args
}

func (f *Filter) replaySource(place *replayPlace) (source string, w *where, order string) {
	w = f.where()
	w.both("inbox_id <= $?", place.last)
	w.beyond(place.after, oldestFirst)
	if f.Outcome == Pending {
		source, order = listedEvents(Pending, w, oldestFirst)
	} else {
		source, order = f.from(w, oldestFirst)
	}
	return source, w, order
}

// CountReplay counts the messages that Replay would make pending again from a cursor on, up to most.
func (in *Inbox) CountReplay(ctx context.Context, f Filter, cursor string, most int) (messages int, err error) {
	place, err := in.replayPlace(ctx, cursor)
	if err != nil {
		return 0, err
	}
	err = pgx.BeginTxFunc(ctx, in.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		messages, err = f.countReplay(ctx, tx, place, most)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count what a replay would take: %w", err)
	}
	return messages, nil
}

// countReplay reads as many events as messages are to be counted, and again from where they ended if several are of one
// message.
func (f *Filter) countReplay(ctx context.Context, tx pgx.Tx, place *replayPlace, most int) (messages int, err error) {
	if _, err := tx.Exec(ctx, pgdb.FromIndexes); err != nil {
		return 0, err
	}
	for {
		source, w, order := f.replaySource(place)
		w.args = append(w.args, most)
		sql := `SELECT e.inbox_id, e.ordinal FROM ` + source + ` WHERE ` + w.String() + ` ORDER BY ` + order + fmt.Sprintf(" LIMIT $%d", len(w.args))
		events, err := pgdb.Collect[EventRef](ctx, tx, sql, w.args...)
		if err != nil {
			return 0, err
		}
		for _, e := range events {
			if e.InboxID == place.after.InboxID { // events of a message follow each other
				continue
			}
			if messages++; messages == most {
				return messages, nil
			}
			place.after = e
		}
		if len(events) < most {
			return messages, nil
		}
		place.after = events[most-1]
	}
}
