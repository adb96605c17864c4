package inbox

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Tally counts the events of one message.
type Tally struct {
	Events   int64          `json:"events"`
	EventID  *string        `json:"event_id"` // of the first event
	Outcomes []OutcomeTally `json:"outcomes"` // by outcome
	Types    []TypeTally    `json:"types"`    // the most frequent, in descending order
	// OtherTypes is the number of further types.
	OtherTypes int64 `json:"other_types"`
}

// OutcomeTally counts the events of a message that have an outcome. Its example is the first event
// with a reason, if there is one.
type OutcomeTally struct {
	Outcome string  `json:"outcome"`
	Events  int64   `json:"events"`
	Ordinal int     `json:"ordinal"`
	EventID *string `json:"event_id"`
	Reason  *string `json:"reason"`
}

// TypeTally counts the events of a message that have a type; nil if the type is unknown.
type TypeTally struct {
	Type   *string `json:"type"`
	Events int64   `json:"events"`
}

const countOutcomes = `
SELECT DISTINCT ON (e.inbox_id, e.outcome)
    e.inbox_id, e.outcome, e.ordinal, e.event_id, e.reason,
    count(*) OVER (PARTITION BY e.inbox_id, e.outcome) AS events,
    first_value(e.event_id) OVER (PARTITION BY e.inbox_id ORDER BY e.ordinal) AS first_event_id
FROM authsync.events AS e
WHERE e.inbox_id = ANY ($1) AND e.received_at >= $2
ORDER BY e.inbox_id, e.outcome, e.reason IS NULL, e.ordinal`

// The sender chooses the types, so there may be as many as events.
const countTypes = `
SELECT t.inbox_id, t.type, t.events, t.types
FROM (
    SELECT e.inbox_id, e.type, count(*) AS events, count(*) OVER (PARTITION BY e.inbox_id) AS types,
        row_number() OVER (PARTITION BY e.inbox_id ORDER BY count(*) DESC, e.type) AS place
    FROM authsync.events AS e
    WHERE e.inbox_id = ANY ($1) AND e.received_at >= $2
    GROUP BY e.inbox_id, e.type
) AS t
WHERE t.place <= 5
ORDER BY t.inbox_id, t.place`

// Tallies counts the events of messages received at or after a time, by outcome and by type. A
// tally is short however many events the message has.
func (in *Inbox) Tallies(ctx context.Context, ids []int64, from time.Time) (map[int64]Tally, error) {
	found := make(map[int64]Tally, len(ids))
	err := pgx.BeginTxFunc(ctx, in.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, countOutcomes, ids, from)
		if err != nil {
			return err
		}
		var id int64
		var o OutcomeTally
		var first *string
		if _, err := pgx.ForEachRow(rows, []any{&id, &o.Outcome, &o.Ordinal, &o.EventID, &o.Reason, &o.Events, &first}, func() error {
			t := found[id]
			t.Events, t.EventID, t.Outcomes = t.Events+o.Events, first, append(t.Outcomes, o)
			found[id] = t
			return nil
		}); err != nil {
			return err
		}
		if rows, err = tx.Query(ctx, countTypes, ids, from); err != nil {
			return err
		}
		var kind TypeTally
		var types int64
		_, err = pgx.ForEachRow(rows, []any{&id, &kind.Type, &kind.Events, &types}, func() error {
			t := found[id]
			t.Types = append(t.Types, kind)
			t.OtherTypes = types - int64(len(t.Types))
			found[id] = t
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("count the events of messages: %w", err)
	}
	return found, nil
}
