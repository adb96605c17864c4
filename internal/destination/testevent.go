package destination

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
)

// TestUserID is the id of the synthetic user in test events.
const TestUserID = "authsync-test-user"

// TestHeader is set to true in requests that carry a test event.
const TestHeader = "Authsync-Test"

// TestMessage returns a test event about a synthetic user. Each has a new id that contains "test"; its
// ChangeID is 0, which no change has.
func TestMessage(destinationID, projectID uuid.UUID, eventType string, now time.Time) (Message, error) {
	const earlier = "test-before@authsync.example"
	at := now.UTC().Truncate(time.Millisecond)
	id := uuid.New()
	m := Message{
		ID: "msg_" + hex.EncodeToString(destinationID[:]) + "_test_" + hex.EncodeToString(id[:]), ProjectID: projectID, UserID: TestUserID,
		EventType: eventType, Provider: "authsync", EventID: "test_" + hex.EncodeToString(id[:]), EventAt: at, ChangedAt: at,
		Attempt: 1, Test: true,
		Deferred: true, // a 429 to a test event delays nothing else
	}
	before, user := testUser(at), testUser(at)
	switch eventType {
	case UserCreated:
		before = nil
		m.Changed = []string{"id", "email", "first_name", "last_name", "created_at", "updated_at", "raw"}
	case UserUpdated:
		before["email"], m.Changed = earlier, []string{"email"}
	case UserDeleted:
		user["deleted_at"], m.Changed = at, []string{"deleted_at"}
	case UserRestored:
		before["deleted_at"], m.Changed = at, []string{"deleted_at"}
	default:
		return Message{}, fault.At("event_type", "unknown event type %.40q", eventType)
	}
	var err error
	if m.User, err = json.Marshal(user); err != nil {
		return Message{}, fmt.Errorf("write the test user: %w", err)
	}
	if before == nil {
		return m, nil
	}
	if m.Before, err = json.Marshal(before); err != nil {
		return Message{}, fmt.Errorf("write the test user: %w", err)
	}
	return m, nil
}

// testUser is the synthetic user as a row of users.
func testUser(at time.Time) map[string]any {
	return map[string]any{
		"id": TestUserID, "email": "test@authsync.example", "first_name": "Test", "last_name": "User", "username": nil, "image_url": nil,
		"created_at": at.Add(-time.Hour), "updated_at": at, "last_sign_in_at": nil, "deleted_at": nil,
		"raw": map[string]any{"id": TestUserID, "authsync_test": true},
	}
}
