package inbox

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/record"
)

// Errors of the queries.
var (
	ErrNoEvent   = fault.New(fault.EventNotFound, "there is no such event in the inbox; retention may have dropped it")
	ErrNoMessage = fault.New(fault.EventNotFound, "there is no such message in the inbox; retention may have dropped it")
)

// Event is a row of authsync.events: an event, or a message whose events are not known yet. Unknown
// fields are nil.
type Event struct {
	InboxID    int64      `db:"inbox_id"`
	Ordinal    int        `db:"ordinal"`
	ProjectID  uuid.UUID  `db:"project_id"`
	Project    *string    `db:"project"`
	Provider   string     `db:"provider"`
	EventID    *string    `db:"event_id"`
	Type       *string    `db:"type"`
	UserID     *string    `db:"user_id"`
	RecordType *string    `db:"record_type"`
	RecordID   *string    `db:"record_id"`
	EventTime  *time.Time `db:"event_time"`
	Outcome    string     `db:"outcome"`
	Reason     *string    `db:"reason"`
	ReceivedAt time.Time  `db:"received_at"`
	AppliedAt  *time.Time `db:"applied_at"`
	MessageID  *string    `db:"message_id"`
}

// Filter selects events; zero fields match everything.
type Filter struct {
	ProjectID uuid.UUID
	Provider  string // as in the database
	EventID   string
	Type      string
	UserID    string
	// RecordType and RecordID select the events about one record of the project; they come together.
	RecordType, RecordID string
	Outcome              string    // one of the outcomes, or Pending, which takes a project
	From, To             time.Time // received at or after From and before To
	InboxIDs             []int64
	// IDContains is part of an id: that of the event, its message, its user or its record, in any case. Events only, see searchPage.
	IDContains string
}

// where builds a WHERE clause.
type where struct {
	conditions []string
	// outcomes are those of the conditions that a row o of authsync.event_outcomes can be asked by itself.
	outcomes []string
	args     []any
}

// add adds a condition in which $? stands for the argument.
func (w *where) add(condition string, arg any) {
	w.args = append(w.args, arg)
	w.conditions = append(w.conditions, strings.ReplaceAll(condition, "$?", "$"+strconv.Itoa(len(w.args))))
}

// both adds a condition on a column that events and their outcomes have.
func (w *where) both(condition string, arg any) {
	w.add("e."+condition, arg)
	w.outcomes = append(w.outcomes, "o."+strings.TrimPrefix(w.conditions[len(w.conditions)-1], "e."))
}

func (w *where) text(condition, arg string) {
	if arg != "" {
		w.both(condition, arg)
	}
}

// record finds the events about a record by the columns that indexes have.
func (w *where) record(recordType, id string) {
	switch {
	case id == "":
	case recordType == string(record.User):
		w.text("user_id = $?", id)
		w.add("e.record_type = $?", recordType)
		w.outcomes = append(w.outcomes, "o.record_type IS NULL")
	default:
		w.text("record_type = $?", recordType)
		w.text("record_id = $?", id)
	}
}

// beyond leaves what comes after a place.
func (w *where) beyond(place EventRef, s sequence) {
	comparison := "<"
	if s == oldestFirst {
		comparison = ">"
	}
	w.both("inbox_id "+comparison+"= $?", place.InboxID) // an index can use this condition, but not the next
	w.args = append(w.args, place.Ordinal)
	n := len(w.args)
	for list, alias := range map[*[]string]string{&w.conditions: "e", &w.outcomes: "o"} {
		*list = append(*list, fmt.Sprintf("(%[1]s.inbox_id, %[1]s.ordinal) %[2]s ($%[3]d, $%[4]d)", alias, comparison, n-1, n))
	}
}

func (w *where) String() string { return allOf(w.conditions) }

func (f *Filter) where() *where {
	w := &where{}
	if f.ProjectID != uuid.Nil {
		w.both("project_id = $?", f.ProjectID)
	}
	if f.Provider != "" {
		w.add("e.provider = $?", f.Provider)
	}
	w.text("event_id = $?", f.EventID)
	w.text("type = $?", f.Type)
	w.text("user_id = $?", f.UserID)
	w.record(f.RecordType, f.RecordID)
	w.text("outcome = $?", f.Outcome)
	if !f.From.IsZero() {
		w.both("received_at >= $?", f.From)
	}
	if !f.To.IsZero() {
		w.both("received_at < $?", f.To)
	}
	if f.InboxIDs != nil {
		w.both("inbox_id = ANY ($?)", f.InboxIDs)
	}
	return w
}

const selectEvents = `
SELECT e.inbox_id, e.ordinal, e.project_id, e.project, e.provider, e.event_id, e.type, e.user_id, e.record_type, e.record_id, e.event_time,
    e.outcome, e.reason, e.received_at, e.applied_at, e.message_id
FROM `

// Events returns the newest limit events that the filter chooses, newest first.
// next is the cursor of the following page, empty on the last one. An empty
// cursor asks for the first page. A page of what is pending, or of ids that contain something,
// may be shorter than limit, even empty, and not the last one. Errors: fault.ErrBadCursor; else the database's.
func (in *Inbox) Events(ctx context.Context, f Filter, cursor string, limit int) (page []Event, next string, err error) {
	err = pgx.BeginTxFunc(ctx, in.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		page, next, err = eventsOf(ctx, tx, f, cursor, limit)
		return err
	})
	return page, next, err
}

func eventsOf(ctx context.Context, tx pgx.Tx, f Filter, cursor string, limit int) (page []Event, next string, err error) {
	if _, err := tx.Exec(ctx, pgdb.FromIndexes); err != nil {
		return nil, "", fmt.Errorf("read events: %w", err)
	}
	limit = max(limit, 1)
	if f.IDContains != "" {
		return searchPage(ctx, tx, f, cursor, limit)
	}
	if f.Outcome == Pending {
		return pendingPage(ctx, tx, f, cursor, limit)
	}
	sql, args, err := f.page(cursor, limit)
	if err != nil {
		return nil, "", err
	}
	page, err = readEvents(ctx, tx, sql, args...)
	if err != nil {
		return nil, "", err
	}
	page, next = cutPage(page, limit)
	return page, next, nil
}

// cutPage leaves a page of events that were read with one more, and its cursor if there are more.
func cutPage(page []Event, limit int) (cut []Event, next string) {
	if len(page) <= limit {
		return page, ""
	}
	last := page[limit-1]
	return page[:limit], fmt.Sprintf("%d-%d", last.InboxID, last.Ordinal)
}

// onPage returns the conditions of a page.
func (f *Filter) onPage(cursor string) (*where, error) {
	w := f.where()
	if cursor != "" {
		place, err := parseCursor(cursor)
		if err != nil {
			return nil, err
		}
		w.beyond(place, newestFirst)
	}
	return w, nil
}

// page returns the statement for a page plus one event.
func (f *Filter) page(cursor string, limit int) (sql string, args []any, err error) {
	w, err := f.onPage(cursor)
	if err != nil {
		return "", nil, err
	}
	from, order := f.from(w, newestFirst)
	w.args = append(w.args, limit+1)
	return selectEvents + from + " WHERE " + w.String() + " ORDER BY " + order + fmt.Sprintf(" LIMIT $%d", len(w.args)), w.args, nil
}

func parseCursor(cursor string) (place EventRef, err error) {
	first, second, _ := strings.Cut(cursor, "-")
	if place.InboxID, err = strconv.ParseInt(first, 10, 64); err != nil {
		return EventRef{}, fault.ErrBadCursor
	}
	ordinal, err := strconv.ParseInt(second, 10, 32)
	if err != nil {
		return EventRef{}, fault.ErrBadCursor
	}
	place.Ordinal = int(ordinal)
	return place, nil
}

// UserEvents returns the newest limit events about a user, newest first.
func (in *Inbox) UserEvents(ctx context.Context, projectID uuid.UUID, userID string, limit int) ([]Event, error) {
	page, _, err := in.Events(ctx, Filter{ProjectID: projectID, UserID: userID}, "", limit)
	return page, err
}

// Event returns one event; a pending message's has ordinal 0. Errors: ErrNoEvent, otherwise the
// database's.
func (in *Inbox) Event(ctx context.Context, inboxID int64, ordinal int) (Event, error) {
	found, err := readEvents(ctx, in.pool, selectEvents+allEvents+" WHERE e.inbox_id = $1 AND e.ordinal = $2", inboxID, ordinal)
	if err != nil {
		return Event{}, err
	}
	if len(found) == 0 {
		return Event{}, ErrNoEvent
	}
	return found[0], nil
}

// EventRef names an event in the inbox.
type EventRef struct {
	InboxID int64
	Ordinal int
}

const (
	neighbour = `
	SELECT o.inbox_id, o.ordinal
	FROM authsync.event_outcomes AS o
	WHERE o.project_id = $1 AND `
	sameUser   = `o.user_id = $2 AND o.record_type IS NULL`
	sameRecord = `o.record_id = $2 AND o.record_type = $5`
	before     = ` AND o.inbox_id <= $3 AND (o.inbox_id, o.ordinal) < ($3, $4) ORDER BY o.inbox_id DESC, o.ordinal DESC LIMIT 1`
	after      = ` AND o.inbox_id >= $3 AND (o.inbox_id, o.ordinal) > ($3, $4) ORDER BY o.inbox_id, o.ordinal LIMIT 1`

	previousOfUser, nextOfUser     = neighbour + sameUser + before, neighbour + sameUser + after
	previousOfRecord, nextOfRecord = neighbour + sameRecord + before, neighbour + sameRecord + after
)

// Neighbours returns the events of the same record that were received before and after an event; nil where
// there is none, and for an event whose record is unknown.
func (in *Inbox) Neighbours(ctx context.Context, e Event) (previous, next *EventRef, err error) {
	if e.RecordType == nil || e.RecordID == nil {
		return nil, nil, nil
	}
	backwards, forwards, args := previousOfRecord, nextOfRecord, []any{e.ProjectID, *e.RecordID, e.InboxID, e.Ordinal, *e.RecordType}
	if *e.RecordType == string(record.User) {
		backwards, forwards, args = previousOfUser, nextOfUser, args[:4]
	}
	read := func(tx pgx.Tx, statement string) (*EventRef, error) {
		rows, err := tx.Query(ctx, statement, args...)
		if err != nil {
			return nil, err
		}
		found, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[EventRef])
		if err != nil || len(found) == 0 {
			return nil, err
		}
		return found[0], nil
	}
	err = pgx.BeginTxFunc(ctx, in.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if _, err = tx.Exec(ctx, pgdb.FromIndexes); err != nil {
			return err
		}
		if previous, err = read(tx, backwards); err != nil {
			return err
		}
		next, err = read(tx, forwards)
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read the events of the same record: %w", err)
	}
	return previous, next, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readEvents(ctx context.Context, db querier, sql string, args ...any) ([]Event, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	events, err := pgx.CollectRows(rows, pgx.RowToStructByName[Event])
	if err != nil {
		return nil, fmt.Errorf("read events: %w", err)
	}
	for i := range events {
		e := &events[i]
		for _, t := range []*time.Time{e.EventTime, &e.ReceivedAt, e.AppliedAt} {
			if t != nil {
				*t = t.UTC()
			}
		}
	}
	return events, nil
}

// Body returns a message as received. Errors: ErrNoMessage, otherwise the database's.
func (in *Inbox) Body(ctx context.Context, inboxID int64) (StoredMessage, error) {
	rows, err := in.pool.Query(ctx, selectMessage+"WHERE i.id = $1", inboxID)
	if err != nil {
		return StoredMessage{}, fmt.Errorf("read message: %w", err)
	}
	d, err := pgx.CollectExactlyOneRow(rows, scanMessage)
	if errors.Is(err, pgx.ErrNoRows) {
		return StoredMessage{}, ErrNoMessage
	}
	if err != nil {
		return StoredMessage{}, fmt.Errorf("read message: %w", err)
	}
	return d, nil
}
