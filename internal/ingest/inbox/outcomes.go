package inbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

// The outcomes of an event. All but Failed and Pending are final.
const (
	Applied   = "applied"
	Stale     = "stale"     // newer events had already set everything
	Duplicate = "duplicate" // the event's id was already processed
	Ignored   = "ignored"   // irrelevant to the mirror
	Failed    = "failed"
	// Pending is shown for a message that has no outcome yet. It is stored for an event that is
	// deferred.
	Pending = "pending"
)

// Outcome is the result of one event. A message has one for each of its events.
type Outcome struct {
	InboxID    int64
	Ordinal    int
	ReceivedAt time.Time // exactly the message's
	ProjectID  uuid.UUID
	EventID    string
	Type       string
	UserID     string
	// RecordType and RecordID say which record the event is about unless it is the user.
	RecordType string
	RecordID   string
	EventTime  time.Time // zero if the event has none
	Outcome    string
	Reason     string
	// Err is why the mirror refused the event; for programs, not stored.
	Err error
	// RetryAt is when a pending event is retried; not stored.
	RetryAt time.Time
	// Provider and TraceParent are the message's, for metrics and traces; not stored.
	Provider, TraceParent string
	// ErasedUser is the user who was erased, if the event is about one: its message must not keep it; not stored.
	ErasedUser string
	// IsErased reports that the event is about somebody who was erased.
	IsErased bool
}

// Erase makes it the outcome of an event about somebody who was erased.
func (o *Outcome) Erase() {
	*o = Outcome{
		InboxID: o.InboxID, Ordinal: o.Ordinal, ReceivedAt: o.ReceivedAt, ProjectID: o.ProjectID, Type: o.Type, EventTime: o.EventTime,
		Provider: o.Provider, TraceParent: o.TraceParent, Outcome: Ignored, Reason: ErasedReason, ErasedUser: o.UserID, IsErased: true,
	}
}

const upsertOutcomes = `
INSERT INTO authsync.event_outcomes AS e (
    inbox_id, ordinal, received_at, project_id, event_id, type, user_id, record_type, record_id, event_time, outcome, reason, applied_at
)
SELECT o.inbox_id, o.ordinal, o.received_at, o.project_id, nullif(o.event_id, ''), nullif(o.type, ''),
    nullif(o.user_id, ''), nullif(o.record_type, ''), nullif(o.record_id, ''), o.event_time, o.outcome, nullif(o.reason, ''),
    CASE WHEN o.outcome NOT IN ('failed', 'pending') THEN $13::timestamptz END
FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[],
    $7::text[], $8::text[], $9::text[], $10::timestamptz[], $11::text[], $12::text[])
    AS o (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, record_type, record_id, event_time, outcome, reason)
ORDER BY o.inbox_id, o.ordinal
ON CONFLICT (inbox_id, ordinal, received_at) DO UPDATE SET
    event_id = excluded.event_id,
    type = excluded.type,
    user_id = excluded.user_id,
    record_type = excluded.record_type,
    record_id = excluded.record_id,
    event_time = excluded.event_time,
    outcome = excluded.outcome,
    reason = excluded.reason,
    applied_at = excluded.applied_at
WHERE e.outcome = 'pending' OR (e.outcome = 'failed' AND excluded.outcome <> 'pending')`

// ErrRecorded reports that an event that was recorded as new has an outcome already.
var ErrRecorded = errors.New("an event has an outcome already")

// fewOutcomes is how many outcomes are recorded as cheaply by a statement as by COPY.
const fewOutcomes = 8

// RecordNewOutcomes records outcomes of events that have none, in the caller's transaction. ErrRecorded means that
// some have, as after a replay: the transaction has failed, and its repetition calls RecordOutcomes.
//
// COPY writes the rows of a page in one record of the WAL, and none that confirms each row, as ON CONFLICT needs it.
func (in *Inbox) RecordNewOutcomes(ctx context.Context, tx pgx.Tx, outcomes []Outcome) error {
	if len(outcomes) <= fewOutcomes {
		return in.RecordOutcomes(ctx, tx, outcomes)
	}
	now := in.config.Now()
	_, err := tx.CopyFrom(ctx, pgx.Identifier{"authsync", "event_outcomes"}, []string{
		"inbox_id", "ordinal", "received_at", "project_id", "event_id", "type", "user_id", "record_type", "record_id", "event_time",
		"outcome", "reason", "applied_at",
	}, pgx.CopyFromSlice(len(outcomes), func(i int) ([]any, error) { return outcomes[i].row(now), nil }))
	switch {
	case pgdb.Code(err) == uniqueViolation:
		return ErrRecorded
	case err != nil:
		return fmt.Errorf("record outcomes: %w", err)
	}
	return nil
}

const uniqueViolation = "23505"

// row is what RecordNewOutcomes writes.
func (o *Outcome) row(now time.Time) []any {
	var at, appliedAt *time.Time
	if !o.EventTime.IsZero() {
		at = &o.EventTime
	}
	if o.Outcome != Failed && o.Outcome != Pending {
		appliedAt = &now
	}
	return []any{
		o.InboxID, o.Ordinal, o.ReceivedAt, [16]byte(o.ProjectID), pgdb.NullText(text(o.EventID)), pgdb.NullText(text(o.Type)),
		pgdb.NullText(text(o.UserID)), pgdb.NullText(o.RecordType), pgdb.NullText(text(o.RecordID)), at,
		o.Outcome, pgdb.NullText(text(o.Reason)), appliedAt,
	}
}

// RecordOutcomes records outcomes in the caller's transaction. A recorded outcome is only replaced
// if it was Failed or Pending: a replay leaves an applied event applied, and a failed event that is
// now deferred keeps its failure reason. Each event may occur once per call.
func (in *Inbox) RecordOutcomes(ctx context.Context, tx pgx.Tx, outcomes []Outcome) error {
	n := len(outcomes)
	if n == 0 {
		return nil
	}
	ids, ordinals, received := make([]int64, n), make([]int, n), make([]time.Time, n)
	projects, times := make([][16]byte, n), make([]*time.Time, n)
	events, types, users := make([]string, n), make([]string, n), make([]string, n)
	recordTypes, records := make([]string, n), make([]string, n)
	verdicts, reasons := make([]string, n), make([]string, n)
	for i := range outcomes {
		o := &outcomes[i]
		ids[i], ordinals[i], received[i], projects[i] = o.InboxID, o.Ordinal, o.ReceivedAt, o.ProjectID
		events[i], types[i], users[i] = text(o.EventID), text(o.Type), text(o.UserID)
		recordTypes[i], records[i] = o.RecordType, text(o.RecordID)
		verdicts[i], reasons[i] = o.Outcome, text(o.Reason)
		if !o.EventTime.IsZero() {
			times[i] = &o.EventTime
		}
	}
	_, err := tx.Exec(ctx, upsertOutcomes,
		ids, ordinals, received, projects, events, types, users, recordTypes, records, times, verdicts, reasons, in.config.Now())
	if err != nil {
		return fmt.Errorf("record outcomes: %w", err)
	}
	return nil
}
