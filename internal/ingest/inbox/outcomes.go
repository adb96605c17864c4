package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// The outcomes of an event. All but Failed and Pending are final.
const (
	Applied   = "applied"
	Stale     = "stale"     // newer events had said all of it
	Duplicate = "duplicate" // the event's id had been processed before
	Ignored   = "ignored"   // of no concern to the mirror
	Failed    = "failed"
	// Pending is shown for a delivery that has no outcome yet. It is stored for an event that was put off alone.
	Pending = "pending"
)

// Outcome is what became of one event. A delivery has one for each of its events.
type Outcome struct {
	InboxID    int64
	Ordinal    int
	ReceivedAt time.Time // exactly the delivery's
	ProjectID  uuid.UUID
	EventID    string
	Type       string
	UserID     string
	EventTime  time.Time // zero where the event has none
	Outcome    string
	Reason     string
	// Err is why the mirror refused the event; for programs, and not stored.
	Err error
	// RetryAt is when an event that is Pending is tried again; not stored.
	RetryAt time.Time
}

const upsertOutcomes = `
INSERT INTO authsync.event_outcomes AS e (
    inbox_id, ordinal, received_at, project_id, event_id, type, user_id, event_time, outcome, reason, applied_at
)
SELECT o.inbox_id, o.ordinal, o.received_at, o.project_id, nullif(o.event_id, ''), nullif(o.type, ''),
    nullif(o.user_id, ''), o.event_time, o.outcome, nullif(o.reason, ''),
    CASE WHEN o.outcome NOT IN ('failed', 'pending') THEN $11::timestamptz END
FROM unnest($1::bigint[], $2::integer[], $3::timestamptz[], $4::uuid[], $5::text[], $6::text[],
    $7::text[], $8::timestamptz[], $9::text[], $10::text[])
    AS o (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, event_time, outcome, reason)
ORDER BY o.inbox_id, o.ordinal
ON CONFLICT (inbox_id, ordinal, received_at) DO UPDATE SET
    event_id = excluded.event_id,
    type = excluded.type,
    user_id = excluded.user_id,
    event_time = excluded.event_time,
    outcome = excluded.outcome,
    reason = excluded.reason,
    applied_at = excluded.applied_at
WHERE e.outcome = 'pending' OR (e.outcome = 'failed' AND excluded.outcome <> 'pending')`

// RecordOutcomes notes what became of events, in the caller's transaction. An
// outcome that is on record stays as it is unless it was Failed or Pending: a replay leaves
// an applied event applied, and one that failed and is put off now keeps the reason for which it failed.
// Each event may occur once in a call.
func (in *Inbox) RecordOutcomes(ctx context.Context, tx pgx.Tx, outcomes []Outcome) error {
	n := len(outcomes)
	if n == 0 {
		return nil
	}
	ids, ordinals, received := make([]int64, n), make([]int, n), make([]time.Time, n)
	projects, times := make([][16]byte, n), make([]*time.Time, n)
	events, types, users := make([]string, n), make([]string, n), make([]string, n)
	verdicts, reasons := make([]string, n), make([]string, n)
	for i := range outcomes {
		o := &outcomes[i]
		ids[i], ordinals[i], received[i], projects[i] = o.InboxID, o.Ordinal, o.ReceivedAt, o.ProjectID
		events[i], types[i], users[i] = text(o.EventID), text(o.Type), text(o.UserID)
		verdicts[i], reasons[i] = o.Outcome, text(o.Reason)
		if !o.EventTime.IsZero() {
			times[i] = &o.EventTime
		}
	}
	_, err := tx.Exec(ctx, upsertOutcomes,
		ids, ordinals, received, projects, events, types, users, times, verdicts, reasons, in.config.Now())
	if err != nil {
		return fmt.Errorf("record outcomes: %w", err)
	}
	return nil
}
