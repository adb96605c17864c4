package delivery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
)

// EventType returns the event type of a change.
func EventType(c *mirror.FeedChange) string { return destination.EventType(c.RecordType, c.Kind) }

// Feed reads changes of a project and the records that they left; see mirror.Mirrors.
type Feed interface {
	ChangesByID(ctx context.Context, projectID uuid.UUID, ids []int64) ([]mirror.FeedChange, error)
	RecordStates(ctx context.Context, projectID uuid.UUID, first, last, asOf []int64) ([]mirror.RecordState, error)
	LatestRows(ctx context.Context, projectID uuid.UUID, t record.Type, ids []string) (map[string]json.RawMessage, error)
	OrganizationsOf(ctx context.Context, projectID uuid.UUID, userIDs []string, limit int) (map[string][]string, error)
}

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
		ID: destination.MessageID(m.DestinationID, c.ID), ChangeID: c.ID, ProjectID: m.ProjectID,
		RecordType: c.RecordType, RecordID: c.RecordID, EventType: EventType(c), Changed: c.Changed, Row: c.Row, Before: c.Before,
		Provider: c.Provider, EventID: c.EventID, EventAt: c.EventAt, ChangedAt: c.ChangedAt,
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

// States returns one message for each span of changes from first[i] to last[i] of a record, by the id of the last
// change it covers. asOf[i] is the change up to which the record may be shown: no state is newer.
func (m Messages) States(ctx context.Context, first, last, asOf []int64) (map[int64]destination.Message, error) {
	states, err := m.Feed.RecordStates(ctx, m.ProjectID, first, last, asOf)
	if err != nil {
		return nil, err
	}
	messages := make(map[int64]destination.Message, len(states))
	for _, s := range states {
		message := destination.Message{
			ID: destination.MessageID(m.DestinationID, s.LastID), ChangeID: s.LastID, ProjectID: m.ProjectID,
			RecordType: s.RecordType, RecordID: s.RecordID, Row: s.Row, Before: s.Before,
			Provider: s.Provider, EventID: s.EventID, EventAt: s.EventAt, ChangedAt: s.ChangedAt,
		}
		kind, changed, err := Compare(s.RecordType, s.Before, s.Row)
		if err != nil {
			return nil, fmt.Errorf("compare the rows of change %d: %w", s.LastID, err)
		}
		if s.Kind == record.Erased { // that there is nothing left is not what the rows say
			kind, changed, message.Before = record.Erased, []string{}, nil
		}
		message.EventType, message.Changed = destination.EventType(s.RecordType, kind), changed
		messages[s.LastID] = message
	}
	return messages, nil
}

// AddOrganizations adds the organizations of memberships and users to messages; see destination.Message.Organization.
func (m Messages) AddOrganizations(ctx context.Context, messages map[int64]destination.Message) error {
	var users, organizations []string
	for _, message := range messages {
		switch message.RecordType {
		case record.User:
			users = append(users, message.RecordID)
		case record.Membership:
			id, _, _ := record.SplitMembershipID(message.RecordID)
			organizations = append(organizations, id)
		default:
		}
	}
	slices.Sort(organizations)
	rows, ids := map[string]json.RawMessage{}, map[string][]string{}
	var err error
	if len(organizations) > 0 {
		if rows, err = m.Feed.LatestRows(ctx, m.ProjectID, record.Organization, slices.Compact(organizations)); err != nil {
			return err
		}
	}
	if len(users) > 0 {
		if ids, err = m.Feed.OrganizationsOf(ctx, m.ProjectID, users, destination.MaxOrganizations); err != nil {
			return err
		}
	}
	for id, message := range messages {
		switch message.RecordType {
		case record.User:
			message.OrganizationIDs = ids[message.RecordID]
		case record.Membership:
			organization, _, _ := record.SplitMembershipID(message.RecordID)
			message.Organization = rows[organization]
		default:
		}
		messages[id] = message
	}
	return nil
}

// IsDeleted reports whether a row is that of a deleted record.
func IsDeleted(t record.Type, row json.RawMessage) (bool, error) {
	d, _ := record.Of(t)
	var is map[string]json.RawMessage
	if err := json.Unmarshal(row, &is); err != nil {
		return false, fmt.Errorf("read a row: %w", err)
	}
	return !isNull(is[d.Shown(record.DeletedAt)]), nil
}

// Compare derives the kind of change from the rows before and after. Both come from the same database, so
// equal values have equal text.
func Compare(t record.Type, before, after json.RawMessage) (kind string, changed []string, err error) {
	d, _ := record.Of(t)
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
	for _, column := range d.Row() {
		if before == nil && isNull(is[column]) || before != nil && bytes.Equal(orNull(was[column]), orNull(is[column])) {
			continue
		}
		changed = append(changed, column)
	}
	deletion := d.Shown(record.DeletedAt)
	switch {
	case !isNull(is[deletion]):
		kind = record.Deleted
	case before == nil:
		kind = record.Created
	case !isNull(was[deletion]):
		kind = record.Restored
	default:
		kind = record.Updated
	}
	return kind, changed, nil
}

func isNull(value json.RawMessage) bool { return bytes.Equal(orNull(value), []byte("null")) }

func orNull(value json.RawMessage) json.RawMessage {
	if len(value) == 0 {
		return json.RawMessage("null")
	}
	return value
}

// UnknownBefore is the row before a change of a record that was not in the mirror.
func UnknownBefore(ref record.Ref) json.RawMessage {
	d, _ := record.Of(ref.Type)
	row := make(map[string]any)
	for _, column := range d.Row() {
		row[column] = nil
	}
	if organizationID, userID, ok := record.SplitMembershipID(ref.ID); ref.Type == record.Membership && ok {
		row["organization_id"], row["user_id"] = organizationID, userID
	} else {
		row["id"] = ref.ID
	}
	text, err := json.Marshal(row)
	if err != nil { // cannot happen: strings and nulls only
		panic(err)
	}
	return text
}
