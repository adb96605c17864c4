package deliverytest

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// Change changes users, one event each, and wakes the relay.
func (b *Bundle) Change(tb testing.TB, users ...string) {
	tb.Helper()
	b.Apply(tb, users...)
	b.Wake(tb)
}

// Relaying is a query for how many jobs relay changes. Such a job looks once more after its subject went idle, and may
// find something: who waits until all is relayed waits for the job as well.
const Relaying = `SELECT count(*) FROM authsync.river_job AS j WHERE j.kind = 'relay_changes' AND j.finalized_at IS NULL`

// Wake requests the relay.
func (b *Bundle) Wake(tb testing.TB) {
	tb.Helper()
	require.NoError(tb, delivery.RequestRelay(tb.Context(), b.Control, b.ProjectID))
}

// Apply changes users, one event each.
func (b *Bundle) Apply(tb testing.TB, users ...string) {
	tb.Helper()
	events := make([]mirror.Event, len(users))
	for i, user := range users {
		b.events++
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(b.events) * time.Second)
		email := fmt.Sprintf("%s-%d@example.com", user, b.events)
		events[i] = mirror.Event{
			Event: provider.Event{
				ID: fmt.Sprint("evt_", b.events), Type: "user.updated", UserID: user, At: at, SentAt: at,
				Fields: provider.Fields{record.DeletedAt: nil, record.Email: &email}, Raw: json.RawMessage(fmt.Sprintf(`{"n": %d}`, b.events)),
			},
			Provider: provider.Auth0, InboxID: int64(b.events), ReceivedAt: at,
		}
	}
	b.ApplyEvents(tb, events...)
}

// ApplyRecords changes records, one event each. An invitation is one to the organization "o1", a session one of the
// user "u1".
func (b *Bundle) ApplyRecords(tb testing.TB, refs ...record.Ref) {
	tb.Helper()
	events := make([]mirror.Event, len(refs))
	for i, ref := range refs {
		events[i] = b.Event(ref)
	}
	b.ApplyEvents(tb, events...)
}

// Event makes the next event about a record; see ApplyRecords.
func (b *Bundle) Event(ref record.Ref) mirror.Event {
	b.events++
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(b.events) * time.Second)
	e := mirror.Event{
		Event: provider.Event{
			ID: fmt.Sprint("evt_", b.events), Type: string(ref.Type) + ".updated", RecordType: ref.Type, At: at, SentAt: at,
			Fields: provider.Fields{record.DeletedAt: nil}, Raw: json.RawMessage(fmt.Sprintf(`{"n": %d}`, b.events)),
		},
		Provider: provider.Auth0, InboxID: int64(b.events), ReceivedAt: at,
	}
	switch ref.Type {
	case record.User:
		e.UserID = ref.ID
	case record.Organization:
		e.OrganizationID = ref.ID
	case record.Membership:
		e.OrganizationID, e.UserID, _ = record.SplitMembershipID(ref.ID)
	case record.Invitation:
		organizationID := "o1"
		e.ObjectID, e.OrganizationID, e.Fields[record.OrganizationID] = ref.ID, organizationID, &organizationID
	case record.Session:
		userID := "u1"
		e.ObjectID, e.UserID, e.Fields[record.UserID] = ref.ID, userID, &userID
	}
	return e
}

// Deletion makes the next event about a record, which deletes it.
func (b *Bundle) Deletion(ref record.Ref) mirror.Event {
	e := b.Event(ref)
	e.Type, e.DeletedClock, e.At, e.Raw = string(ref.Type)+".deleted", e.At, time.Time{}, nil
	text := e.DeletedClock.Format(time.RFC3339)
	e.Fields[record.DeletedAt] = &text
	return e
}

// SetEventTypes sets the event types that a destination takes, which are those of users otherwise.
func (b *Bundle) SetEventTypes(tb testing.TB, id uuid.UUID, eventTypes ...string) {
	tb.Helper()
	_, err := b.Control.Exec(tb.Context(), `UPDATE authsync.destinations SET event_types = $2 WHERE id = $1`, id, eventTypes)
	require.NoError(tb, err)
}

// ApplyEvents applies events as they are.
func (b *Bundle) ApplyEvents(tb testing.TB, events ...mirror.Event) {
	tb.Helper()
	for len(events) > 0 {
		n := min(len(events), 200)
		results, err := b.Mirrors.Apply(tb.Context(), b.ProjectID, events[:n])
		require.NoError(tb, err)
		for _, r := range results {
			require.NoError(tb, r.Err)
		}
		events = events[n:]
	}
}

// SetHoldback sets how long a destination is not told of deletions; 0: it is told at once.
func (b *Bundle) SetHoldback(tb testing.TB, id uuid.UUID, holdback time.Duration) {
	tb.Helper()
	var held *time.Duration
	if holdback > 0 {
		held = &holdback
	}
	_, err := b.Control.Exec(tb.Context(), `UPDATE authsync.destinations SET holdback = $2 WHERE id = $1`, id, held)
	require.NoError(tb, err)
}
