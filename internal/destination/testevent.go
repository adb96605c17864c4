package destination

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
)

// TestUserID is the id of the synthetic user in test events.
const TestUserID = "authsync-test-user"

const testOrganizationID = "authsync-test-organization"

// TestHeader is set to true in requests that carry a test event.
const TestHeader = "Authsync-Test"

// TestRecord returns the synthetic record that test events of a record type are about.
func TestRecord(t record.Type) record.Ref {
	switch t {
	case record.Organization:
		return record.Ref{Type: t, ID: testOrganizationID}
	case record.Membership:
		return record.Ref{Type: t, ID: record.MembershipID(testOrganizationID, TestUserID)}
	case record.Invitation:
		return record.Ref{Type: t, ID: "authsync-test-invitation"}
	case record.Session:
		return record.Ref{Type: t, ID: "authsync-test-session"}
	default:
		return record.Ref{Type: record.User, ID: TestUserID}
	}
}

// TestMessage returns a test event about a synthetic record. Each has a new id that contains "test"; its
// ChangeID is 0, which no change has.
func TestMessage(destinationID, projectID uuid.UUID, eventType string, now time.Time) (Message, error) {
	if !slices.Contains(EventTypes(), eventType) {
		return Message{}, fault.At("event_type", "unknown event type %.40q", eventType)
	}
	at := now.UTC().Truncate(time.Millisecond)
	id := uuid.New()
	t, kind := SplitEventType(eventType)
	d, _ := record.Of(t)
	ref, deletion := TestRecord(t), d.Shown(record.DeletedAt)
	m := Message{
		ID: "msg_" + hex.EncodeToString(destinationID[:]) + "_test_" + hex.EncodeToString(id[:]), ProjectID: projectID,
		RecordType: t, RecordID: ref.ID, EventType: eventType, Provider: "authsync", EventID: "test_" + hex.EncodeToString(id[:]),
		EventAt: at, ChangedAt: at, Attempt: 1, Test: true,
		Deferred: true, // a 429 to a test event delays nothing else
	}
	row := testRow(t, at)
	before := maps.Clone(row)
	switch kind {
	case record.Created:
		before = nil
		for _, column := range d.Row() {
			if row[column] != nil {
				m.Changed = append(m.Changed, column)
			}
		}
	case record.Updated:
		column, earlier := testUpdate(t)
		before[column], m.Changed = earlier, []string{column}
	case record.Deleted:
		row[deletion], m.Changed = at, []string{deletion}
	case record.Restored:
		before[deletion], m.Changed = at, []string{deletion}
	}
	var err error
	if m.Row, err = json.Marshal(row); err != nil {
		return Message{}, fmt.Errorf("write the test %s: %w", t, err)
	}
	if before == nil {
		return m, nil
	}
	if m.Before, err = json.Marshal(before); err != nil {
		return Message{}, fmt.Errorf("write the test %s: %w", t, err)
	}
	return m, nil
}

// testUpdate returns the column that the test event of an update changes, and its earlier value.
func testUpdate(t record.Type) (column, earlier string) {
	switch t {
	case record.Organization:
		return "name", "Test Before"
	case record.Membership:
		return "role", "admin"
	case record.Invitation, record.Session:
		return "status", "unknown"
	default:
		return "email", "test-before@authsync.example"
	}
}

// testRow is the synthetic record of a type as a row.
func testRow(t record.Type, at time.Time) map[string]any {
	d, _ := record.Of(t)
	row := make(map[string]any)
	for _, column := range d.Row() {
		row[column] = nil
	}
	id := TestRecord(t).ID
	row["id"], row["created_at"] = id, at.Add(-time.Hour)
	row["raw"] = map[string]any{"id": id, "authsync_test": true}
	switch t {
	case record.Organization:
		row["name"], row["slug"], row["updated_at"] = "Test", "test", at
	case record.Membership:
		row["id"], row["organization_id"], row["user_id"] = "authsync-test-membership", testOrganizationID, TestUserID
		row["role"], row["roles"], row["updated_at"] = "member", []string{"member"}, at
	case record.Invitation:
		row["organization_id"], row["email"], row["role"], row["updated_at"] = testOrganizationID, "test@authsync.example", "member", at
		row["status"], row["expires_at"] = "pending", at.Add(time.Hour)
	case record.Session:
		row["user_id"], row["status"], row["last_active_at"], row["expires_at"] = TestUserID, "active", at, at.Add(time.Hour)
	default:
		row["email"], row["first_name"], row["last_name"], row["updated_at"] = "test@authsync.example", "Test", "User", at
	}
	return row
}
