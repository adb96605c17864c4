// Package destinationtest is what every type of destination must pass: that it answers for each
// message, hides secrets, keeps to its bounds whatever the other side does, and tells a
// person what to change.
package destinationtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
)

// Row is a row of users.
type Row map[string]any

// ProjectID and DestinationID are those of the messages and configurations of tests.
func ProjectID() uuid.UUID { return uuid.MustParse("7e0c2b52-4a44-4f0b-9a8e-0d6f5b1c2a10") }

// DestinationID is the id of the destination that messages of tests are for.
func DestinationID() uuid.UUID { return uuid.MustParse("3f2b8c1d-5e6f-4a7b-8c9d-0e1f2a3b4c5d") }

// EventAt is when the changes of tests happened.
func EventAt() time.Time { return time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC) }

// User is a user as the mirror has it, with other values where set says so.
func User(set Row) Row {
	row := Row{
		"id": "user_2xKq9", "email": "ada@example.com", "first_name": "Ada", "last_name": "Byron", "username": nil,
		"image_url": "", "created_at": "2026-01-02T03:04:05+00:00", "updated_at": "2026-05-04T10:20:30+00:00",
		"last_sign_in_at": nil, "deleted_at": nil,
		"raw": map[string]any{"id": "user_2xKq9", "app_metadata": map[string]any{"plan": "free", "consent": true}},
	}
	maps.Copy(row, set)
	return row
}

// Organization is an organization as the mirror has it, with other values where set says so.
func Organization(set Row) Row {
	row := Row{
		"id": "org_2xKq9", "name": "Lovelace & Babbage", "slug": "lovelace", "image_url": nil, "created_at": "2026-01-02T03:04:05+00:00",
		"updated_at": "2026-05-04T10:20:30+00:00", "deleted_at": nil, "raw": map[string]any{"id": "org_2xKq9", "plan": "free"},
	}
	maps.Copy(row, set)
	return row
}

// Membership is the same of a membership.
func Membership(set Row) Row {
	row := Row{
		"id": "mem_2xKq9", "organization_id": "org_2xKq9", "user_id": "user_2xKq9", "role": "member", "roles": []string{"member"}, "permissions": nil,
		"created_at": "2026-01-02T03:04:05+00:00", "updated_at": "2026-05-04T10:20:30+00:00", "deleted_at": nil, "raw": map[string]any{"id": "mem_2xKq9"},
	}
	maps.Copy(row, set)
	return row
}

// JSON is the row as a message carries it; nil where there is none.
func (r Row) JSON() json.RawMessage {
	if r == nil {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // a row of a test is plain values
	}
	return text
}

// Message is the nth change of a user, of an event type; before is nil where the user was new.
func Message(n int64, eventType string, before, user Row, changed ...string) destination.Message {
	return destination.Message{
		ID: destination.MessageID(DestinationID(), n), ChangeID: n, ProjectID: ProjectID(),
		RecordType: record.User, RecordID: fmt.Sprint(user["id"]), EventType: eventType, Changed: changed, Row: user.JSON(), Before: before.JSON(), Provider: "auth0",
		EventID: fmt.Sprintf("evt_%d", n), EventAt: EventAt(), ChangedAt: EventAt().Add(time.Second), Attempt: 1,
	}
}

// Created is the message that a user is new.
func Created() destination.Message {
	return Message(1, destination.UserCreated, nil, User(nil), "id", "email", "first_name", "last_name", "image_url", "created_at", "updated_at", "raw")
}

// Updated is the message that a user has another e-mail.
func Updated() destination.Message {
	return Message(2, destination.UserUpdated, User(Row{"email": "ada@old.example"}), User(nil), "email")
}

// Deleted is the message that a user is deleted.
func Deleted() destination.Message {
	return Message(3, destination.UserDeleted, User(nil), User(Row{"deleted_at": "2026-05-04T10:20:30+00:00"}), "deleted_at")
}

// Restored is the message that a deleted user is there again.
func Restored() destination.Message {
	return Message(4, destination.UserRestored, User(Row{"deleted_at": "2026-05-04T10:20:30+00:00"}), User(nil), "deleted_at")
}
