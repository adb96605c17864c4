package sqlsource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

const (
	// maxChanges is how many changes are read at once.
	maxChanges = 500
	// followFor is how long Follow goes on until it looks anew which tables there are.
	followFor = 10 * time.Minute
)

// Origin is the schema in which changes are noted: a cursor is the id of what was created there.
func (s *source) Origin() string { return s.changesSchema() }

// change is a row of the table changes.
type change struct {
	ID         int64
	RecordType string
	Key1, Key2 *string
	ChangedAt  time.Time
}

// Follow passes on what changes in the tables. The table of changes is a queue: a change is deleted
// once the sink has taken it, and until then it is read again. So there is no place to keep, and no
// gap to fear: a transaction that commits late, with a lower id than those that were read, is simply
// read by the next look. The same change taken twice, after a crash in between, has the same event
// id, and is a duplicate.
//
// What is passed on is the row as it is when it is read, so several changes of it are one event; a
// row that is gone is a deletion at the time of its last change.
func (s *source) Follow(ctx context.Context, from userapi.Position, to userapi.EventSink) (pause time.Duration, err error) {
	instance, created, err := s.install(ctx)
	if err != nil {
		return 0, err
	}
	if created || from.Cursor != "" && from.Cursor != instance {
		return 0, &userapi.LostError{Reason: "the triggers were not there until now: what has changed before was not noted", Cursor: instance}
	}
	if err := to.Connected(ctx); err != nil {
		return 0, err
	}
	if err := to.Take(ctx, userapi.EventBatch{Cursor: instance}); err != nil {
		return 0, err
	}
	look := time.NewTicker(s.Every)
	defer look.Stop()
	for end := s.Now().Add(followFor); s.Now().Before(end); {
		more, err := s.pass(ctx, instance, to)
		if err != nil {
			return 0, err
		}
		if more {
			continue
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return 0, context.Cause(ctx)
		}
	}
	return time.Millisecond, nil
}

// pass passes on the oldest changes; more reports that there may be others.
func (s *source) pass(ctx context.Context, instance string, to userapi.EventSink) (more bool, err error) {
	rows, err := s.Pool.Query(ctx, `SELECT c.id, c.record_type, c.key1, c.key2, c.changed_at FROM `+s.inSchema("changes")+` AS c ORDER BY c.id LIMIT $1`, maxChanges)
	var changes []change
	if err == nil {
		changes, err = pgx.CollectRows(rows, pgx.RowToStructByPos[change])
	}
	if err != nil {
		return false, s.explain(ctx, "read the changes", err)
	}
	if len(changes) == 0 {
		return false, nil
	}
	batch, truncated := userapi.EventBatch{Cursor: instance}, false
	last := map[[3]string]int{} // the last change of each row
	for i, c := range changes {
		last[c.row()] = i
	}
	ids := make([]int64, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
		switch {
		case c.Key1 == nil:
			truncated = true
		case last[c.row()] == i:
			body, err := s.event(ctx, instance, c)
			if err != nil {
				return false, err
			}
			batch.Bodies = append(batch.Bodies, body)
		}
	}
	if err := to.Take(ctx, batch); err != nil {
		return false, err
	}
	if _, err := s.Pool.Exec(ctx, `DELETE FROM `+s.inSchema("changes")+` AS c WHERE c.id = ANY ($1)`, ids); err != nil {
		return false, s.explain(ctx, "delete the changes that were stored", err)
	}
	if truncated {
		return false, &userapi.LostError{Reason: "a table was truncated, which says nothing about its rows", Cursor: instance}
	}
	return len(changes) == maxChanges, nil
}

func (c *change) row() [3]string { return [3]string{c.RecordType, text(c.Key1), text(c.Key2)} }

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// event is a change in the form of a webhook (see decode.go of package betterauth).
func (s *source) event(ctx context.Context, instance string, c change) ([]byte, error) {
	object, err := s.current(ctx, &c)
	action := "updated"
	if errors.Is(err, userapi.ErrGone) {
		action = "deleted"
		object, err = json.Marshal(c.keys())
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(struct {
		ID        string          `json:"id"`
		Type      string          `json:"type"`
		Timestamp time.Time       `json:"timestamp"`
		Data      json.RawMessage `json:"data"`
	}{fmt.Sprintf("pulled_%s_%d", instance, c.ID), c.RecordType + "." + action, c.ChangedAt.UTC(), object})
}

// current is the row as it is now, as a Better Auth server would print it, without secrets. The
// error is userapi.ErrGone if there is none.
func (s *source) current(ctx context.Context, c *change) (json.RawMessage, error) {
	of := record.Type(c.RecordType)
	if of == record.User {
		user, err := s.User(ctx, *c.Key1)
		return user.Object, err
	}
	id := *c.Key1
	if of == record.Membership {
		id = record.MembershipID(*c.Key1, text(c.Key2))
	}
	found, err := s.Record(ctx, userapi.RecordRef{Ref: record.Ref{Type: of, ID: id}})
	return found.Object, err
}

// keys are what is known of a row that is gone.
func (c *change) keys() map[string]string {
	if record.Type(c.RecordType) == record.Membership {
		return map[string]string{"organizationId": *c.Key1, "userId": text(c.Key2)}
	}
	return map[string]string{"id": *c.Key1}
}
