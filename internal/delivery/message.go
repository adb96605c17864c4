package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
)

// readyDelivery is a delivery that can be sent now, as returned by authsync.take_deliveries.
type readyDelivery struct {
	ID            int64
	ProjectID     uuid.UUID
	ChangeID      int64
	FirstChangeID int64 // destinations that take states: the earliest coalesced change
	LastChangeID  int64 // likewise, the newest
	AsOf          int64 // likewise, the change up to which the user's deliveries have been made
	UserID        string
	EventType     string
	Changed       []string
	ChangedAt     time.Time
	State         string
	Attempts      int
	Begun         bool    // likewise: something of it may have arrived
	Coalesced     []int64 // ids of the deliveries coalesced into this one
	ExternalID    *string
}

// outgoing is a delivery with its message.
type outgoing struct {
	readyDelivery

	message destination.Message
	isGone  bool   // its change cannot be read: there is no message
	unsent  string // the outcome, if isGone
	because string // the reason, if isGone
}

// load reads the messages of deliveries from the project's database. It returns a *tenantdb.DelayError if that
// is unavailable.
func (o *Outbox) load(ctx context.Context, destinationID uuid.UUID, states bool, all []readyDelivery) ([]outgoing, error) {
	messages, err := o.messages(ctx, destinationID, states, all)
	if err != nil {
		return nil, err
	}
	loaded := outgoings(states, all, messages)
	return loaded, o.gone(ctx, destinationID, loaded)
}

// outgoings joins deliveries with their messages.
func outgoings(states bool, all []readyDelivery, messages map[int64]destination.Message) []outgoing {
	loaded := make([]outgoing, len(all))
	for i, t := range all {
		m, ok := messages[t.LastChangeID]
		if !states {
			m, ok = messages[t.ChangeID]
		}
		loaded[i] = outgoing{readyDelivery: t, message: m}
		if !ok {
			loaded[i].isGone = true
			continue
		}
		alone := !states || len(t.Coalesced) == 0 && t.FirstChangeID == t.ChangeID
		if alone && m.EventType == destination.UserCreated && t.EventType == destination.UserUpdated { // see ofOlderUser
			loaded[i].message.EventType, loaded[i].message.Before = t.EventType, unknownBefore(t.UserID)
		}
		loaded[i].message.Attempt = t.Attempts + 1
		if states && t.Begun {
			loaded[i].message.Attempt = max(loaded[i].message.Attempt, 2)
		}
		if t.ExternalID != nil {
			loaded[i].message.ExternalID = *t.ExternalID
		}
	}
	return loaded
}

// messages returns the messages by their newest change.
func (o *Outbox) messages(ctx context.Context, destinationID uuid.UUID, states bool, all []readyDelivery) (map[int64]destination.Message, error) {
	if len(all) == 0 {
		return nil, nil //nolint:nilnil // no messages
	}
	projectID := all[0].ProjectID
	if !states {
		ids := make([]int64, len(all))
		for i, t := range all {
			ids[i] = t.ChangeID
		}
		return o.eventMessages(ctx, destinationID, projectID, ids)
	}
	messages := make(map[int64]destination.Message, len(all))
	first, last := make([]int64, len(all)), make([]int64, len(all))
	asOf := all[0].AsOf
	for i, t := range all {
		first[i], last[i] = t.FirstChangeID, t.LastChangeID
	}
	users, err := o.config.Feed.UserStates(ctx, projectID, first, last, asOf)
	if err != nil {
		return nil, err
	}
	for _, u := range users {
		m := destination.Message{
			ID: destination.MessageID(destinationID, u.LastID), ChangeID: u.LastID, ProjectID: projectID, UserID: u.UserID,
			User: u.User, Before: u.Before, Provider: u.Provider, EventID: u.EventID, EventAt: u.EventAt, ChangedAt: u.ChangedAt,
		}
		if m.EventType, m.Changed, err = compareRows(u.Before, u.User); err != nil {
			return nil, fmt.Errorf("compare the rows of change %d: %w", u.LastID, err)
		}
		messages[u.LastID] = m
	}
	return messages, nil
}

// eventMessages returns the messages of changes, one event each.
func (o *Outbox) eventMessages(ctx context.Context, destinationID, projectID uuid.UUID, ids []int64) (map[int64]destination.Message, error) {
	changes, err := o.config.Feed.ChangesByID(ctx, projectID, ids)
	if err != nil {
		return nil, err
	}
	messages := make(map[int64]destination.Message, len(changes))
	for i := range changes {
		messages[changes[i].ID] = eventMessage(destinationID, projectID, &changes[i])
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
