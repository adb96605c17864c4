package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
)

// EventType returns the event type of a kind of change.
func EventType(kind string) string { return "user." + kind }

// Messages makes the messages of a project's changes for a destination. Its methods return a *tenantdb.DelayError if
// the project's database is unavailable.
type Messages struct {
	Feed          Feed
	DestinationID uuid.UUID
	ProjectID     uuid.UUID
}

// Of returns a change as an event.
func (m Messages) Of(c *mirror.FeedChange) destination.Message {
	return destination.Message{
		ID: destination.MessageID(m.DestinationID, c.ID), ChangeID: c.ID, ProjectID: m.ProjectID, UserID: c.UserID, EventType: EventType(c.Kind),
		Changed: c.Changed, User: c.User, Before: c.Before, Provider: c.Provider, EventID: c.EventID, EventAt: c.EventAt, ChangedAt: c.ChangedAt,
	}
}

// Events returns the messages of changes, one event each, by the id of the change. One that cannot be read is missing.
func (m Messages) Events(ctx context.Context, ids []int64) (map[int64]destination.Message, error) {
	changes, err := m.Feed.ChangesByID(ctx, m.ProjectID, ids)
	if err != nil {
		return nil, err
	}
	messages := make(map[int64]destination.Message, len(changes))
	for i := range changes {
		messages[changes[i].ID] = m.Of(&changes[i])
	}
	return messages, nil
}

// States returns one message for each span of changes from first[i] to last[i] of a user, by the id of the last
// change it covers. asOf is the change up to which the destination's deliveries have been made: no state is newer.
func (m Messages) States(ctx context.Context, first, last []int64, asOf int64) (map[int64]destination.Message, error) {
	users, err := m.Feed.UserStates(ctx, m.ProjectID, first, last, asOf)
	if err != nil {
		return nil, err
	}
	messages := make(map[int64]destination.Message, len(users))
	for _, u := range users {
		message := destination.Message{
			ID: destination.MessageID(m.DestinationID, u.LastID), ChangeID: u.LastID, ProjectID: m.ProjectID, UserID: u.UserID,
			User: u.User, Before: u.Before, Provider: u.Provider, EventID: u.EventID, EventAt: u.EventAt, ChangedAt: u.ChangedAt,
		}
		if message.EventType, message.Changed, err = compareRows(u.Before, u.User); err != nil {
			return nil, fmt.Errorf("compare the rows of change %d: %w", u.LastID, err)
		}
		messages[u.LastID] = message
	}
	return messages, nil
}

// columns returns the columns of users in a message, in table order.
func columns() []string {
	return []string{
		"id", "email", "first_name", "last_name", "username", "image_url", "created_at", "updated_at", "last_sign_in_at", "deleted_at", "raw",
	}
}

// compareRows derives the event type from the rows before and after. Both come from the same database, so
// equal values have equal text.
func compareRows(before, after json.RawMessage) (eventType string, changed []string, err error) {
	var was, is map[string]json.RawMessage
	if err := json.Unmarshal(after, &is); err != nil {
		return "", nil, err
	}
	if before != nil {
		if err := json.Unmarshal(before, &was); err != nil {
			return "", nil, err
		}
	}
	changed = []string{}
	for _, column := range columns() {
		if before == nil && isNull(is[column]) || before != nil && bytes.Equal(orNull(was[column]), orNull(is[column])) {
			continue
		}
		changed = append(changed, column)
	}
	switch {
	case !isNull(is["deleted_at"]):
		eventType = destination.UserDeleted
	case before == nil:
		eventType = destination.UserCreated
	case !isNull(was["deleted_at"]):
		eventType = destination.UserRestored
	default:
		eventType = destination.UserUpdated
	}
	return eventType, changed, nil
}

func isNull(value json.RawMessage) bool { return bytes.Equal(orNull(value), []byte("null")) }

func orNull(value json.RawMessage) json.RawMessage {
	if len(value) == 0 {
		return json.RawMessage("null")
	}
	return value
}

// UnknownBefore is the row before a change of a user that was not in the mirror.
func UnknownBefore(userID string) json.RawMessage {
	row := make(map[string]any, len(columns()))
	for _, column := range columns() {
		row[column] = nil
	}
	row["id"] = userID
	text, err := json.Marshal(row)
	if err != nil { // cannot happen: strings and nulls only
		panic(err)
	}
	return text
}
