package delivery_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

const heldFor = 24 * time.Hour

// holding makes a destination that holds deletions of all records back for a day.
func holding(t *testing.T, c destination.Capabilities) (*deliverytest.Bundle, *deliverytest.Sink, uuid.UUID) {
	t.Helper()
	b, s := deliverytest.New(t), &deliverytest.Sink{Can: c}
	id := b.Add(t, "sink", s)
	b.SetEventTypes(t, id, destination.EventTypes()...)
	b.SetHoldback(t, id, heldFor)
	return b, s, id
}

func user(id string) record.Ref { return record.Ref{Type: record.User, ID: id} }

func membership(id string) record.Ref { return record.Ref{Type: record.Membership, ID: id} }

// changed applies events and wakes the relay.
func changed(t *testing.T, b *deliverytest.Bundle, events ...mirror.Event) {
	t.Helper()
	b.ApplyEvents(t, events...)
	b.Wake(t)
}

// quiet is an event that sets no value but that a record exists.
func quiet(b *deliverytest.Bundle, ref record.Ref) mirror.Event {
	e := b.Event(ref)
	e.Raw = []byte(`{"n": 0}`)
	return e
}

// heard are the event types of a sink's messages with their records.
func heard(s *deliverytest.Sink) string {
	var all []string
	for _, m := range s.Messages() {
		all = append(all, m.EventType+" "+m.RecordID)
	}
	return strings.Join(all, ", ")
}

func heldSince(t *testing.T, b *deliverytest.Bundle) time.Time {
	t.Helper()
	var at time.Time
	require.NoError(t, b.Control.QueryRow(t.Context(), `SELECT min(held_from) FROM authsync.deliveries WHERE state = 'held'`).Scan(&at))
	return at
}

func idOf(t *testing.T, b *deliverytest.Bundle, eventType string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(b.One(t, `SELECT max(id)::text FROM authsync.deliveries WHERE event_type = $1`, eventType), 10, 64)
	require.NoError(t, err)
	return n
}

// idle waits until the relay has done all that it was asked for.
func idle(t *testing.T, b *deliverytest.Bundle) {
	t.Helper()
	b.Until(t, "0", func() string {
		return b.One(t, `SELECT ((SELECT count(*) FROM authsync.job_requests WHERE job_id IS NOT NULL) + (`+deliverytest.Relaying+`))::text`)
	})
}

func TestHeldDeletionIsSentWhenItIsDueAndNotBefore(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	b.Work(t)
	changed(t, b, quiet(b, user("u1")), quiet(b, membership("o1/u1")))
	b.Eventually(t, id, "delivered 2")
	// Nothing else of the user waits for it.
	changed(t, b, b.Deletion(user("u1")), b.Event(record.Ref{Type: record.Session, ID: "s1"}))
	b.Eventually(t, id, "delivered 3, held 2")
	require.Equal(t, "user.created u1, membership.created o1/u1, session.created s1", heard(s))
	health, err := b.Admin.Health(t.Context(), b.ProjectID)
	require.NoError(t, err)
	require.EqualValues(t, 2, health[id].Held)
	require.Zero(t, health[id].Waiting)
	require.Nil(t, health[id].OldestWaitingAt)
	due := heldSince(t, b).Add(heldFor)
	require.WithinDuration(t, due, *health[id].HeldUntil, 0)

	require.Equal(t, "0", b.One(t, `SELECT authsync.release_due_deliveries($1, $2, 10)::text`, id, due.Add(-time.Microsecond)))
	b.SetClock(due.Add(-time.Microsecond))
	b.Wake(t)
	idle(t, b)
	require.Equal(t, "delivered 3, held 2", b.States(t, id))
	b.SetClock(due)
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, "paused", ""))
	b.Wake(t)
	b.Eventually(t, id, "blocked 1, delivered 3, ready 1")
	health, err = b.Admin.Health(t.Context(), b.ProjectID)
	require.NoError(t, err)
	require.WithinDuration(t, due, *health[id].OldestWaitingAt, time.Millisecond, "it has waited since it was released")
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 5")
	require.Equal(t, "user.created u1, membership.created o1/u1, session.created s1, user.deleted u1, membership.deleted o1/u1", heard(s))
}

// A record that was restored in time is one whatever was relayed then.
func TestWhatIsRestoredInTimeIsNotDeletedThoughItIsRelayedLate(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	stop := b.Work(t)
	changed(t, b, quiet(b, user("u1")), b.Deletion(user("u1")))
	b.Eventually(t, id, "delivered 1, held 1")
	idle(t, b)
	stop()
	due := heldSince(t, b).Add(heldFor)
	b.ApplyEvents(t, quiet(b, user("u1"))) // nobody is told
	b.SetClock(due.Add(time.Hour))
	b.Wake(t)
	b.Work(t)
	b.Eventually(t, id, "cancelled 1, coalesced 1, delivered 1")
	require.Equal(t, "user.created u1", heard(s))
}

// The destination hears of what else has changed, as an update.
func TestRestoredRecordIsUpdatedOnly(t *testing.T) {
	t.Parallel()
	for _, states := range []bool{false, true} {
		b, s, id := holding(t, destination.Capabilities{States: states})
		b.Work(t)
		changed(t, b, quiet(b, user("u1")), quiet(b, membership("o1/u1")), b.Deletion(user("u1")))
		b.Eventually(t, id, "delivered 2, held 2")
		late := b.Event(user("u1")) // it stays deleted
		delete(late.Fields, record.DeletedAt)
		changed(t, b, late)
		b.Eventually(t, id, "delivered 2, held 3")
		// With the user its membership comes back, of which nothing else has changed.
		changed(t, b, b.Event(user("u1")))
		b.Eventually(t, id, "cancelled 1, coalesced 3, delivered 3")
		require.Equal(t, "user.created u1, membership.created o1/u1, user.updated u1", heard(s))
		update := s.Messages()[2]
		require.Equal(t, []string{"raw"}, update.Changed)
		require.JSONEq(t, string(s.Messages()[0].Row), string(update.Before), "what it was told last")
		require.Contains(t, string(update.Row), `"deleted_at": null`)
		require.Equal(t, "membership.restored", b.One(t, `SELECT event_type FROM authsync.deliveries WHERE state = 'cancelled'`))

		// And it is deleted as any other.
		changed(t, b, b.Deletion(user("u1")))
		b.Eventually(t, id, "cancelled 1, coalesced 3, delivered 3, held 2")
	}
}

func TestAnEarlierStateDoesNotShowADeletionThatIsHeld(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{States: true})
	changed(t, b, quiet(b, user("u1")), b.Event(user("u1")), b.Deletion(user("u1")))
	b.Work(t)
	b.Eventually(t, id, "coalesced 1, delivered 1, held 1")
	require.Contains(t, string(s.Messages()[0].Row), `"deleted_at": null`)
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, idOf(t, b, "user.deleted")))
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{State: "delivered"})
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Requeued)
	b.Eventually(t, id, "cancelled 1, coalesced 1, delivered 1")
	require.Len(t, s.Messages(), 2)
	require.Contains(t, string(s.Messages()[1].Row), `"deleted_at": null`, "nor one that was cancelled")
}

func TestHeldDeletionIsConfirmed(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	b.Work(t)
	changed(t, b, quiet(b, user("u1")), quiet(b, user("u2")), quiet(b, membership("o1/u1")), b.Deletion(user("u1")), b.Deletion(user("u2")))
	b.Eventually(t, id, "delivered 3, held 3")
	require.True(t, fault.Is(b.Admin.Retry(t.Context(), b.ProjectID, idOf(t, b, "user.deleted")), fault.WrongState), "it is confirmed, not retried")
	require.ErrorIs(t, b.Admin.Confirm(t.Context(), uuid.New(), idOf(t, b, "user.deleted")), admin.ErrNoDelivery)
	require.NoError(t, b.Admin.Confirm(t.Context(), b.ProjectID, idOf(t, b, "user.deleted"))) // of u2
	b.Eventually(t, id, "delivered 4, held 2")
	require.True(t, fault.Is(b.Admin.Confirm(t.Context(), b.ProjectID, idOf(t, b, "user.deleted")), fault.WrongState), "it is held no longer")
	for _, c := range []struct {
		by   admin.Confirmation
		want admin.Confirmed
	}{
		{admin.Confirmation{UserID: "u2"}, admin.Confirmed{}},
		{admin.Confirmation{UserID: "u1", DryRun: true}, admin.Confirmed{Matched: 2, DryRun: true}},
		{admin.Confirmation{EventType: "membership.deleted", DestinationID: id, DryRun: true}, admin.Confirmed{Matched: 1, DryRun: true}},
		{admin.Confirmation{RecordType: "user", RecordID: "u1", DryRun: true}, admin.Confirmed{Matched: 1, DryRun: true}},
		{admin.Confirmation{DestinationID: uuid.New()}, admin.Confirmed{}},
		{admin.Confirmation{UserID: "u1"}, admin.Confirmed{Matched: 2, Confirmed: 2}},
	} {
		done, err := b.Admin.ConfirmAll(t.Context(), b.ProjectID, c.by)
		require.NoError(t, err)
		require.Equal(t, c.want, done)
	}
	b.Eventually(t, id, "delivered 6")
	require.Equal(t, "user.deleted u2, user.deleted u1, membership.deleted o1/u1", strings.Join(strings.Split(heard(s), ", ")[3:], ", "))
}

func TestHeldDeletionThatIsCancelledIsNeverHeardOf(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	b.Work(t)
	late := func() mirror.Event {
		e := b.Event(user("u1"))
		delete(e.Fields, record.DeletedAt)
		return e
	}
	changed(t, b, quiet(b, user("u1")), b.Deletion(user("u1")), late())
	b.Eventually(t, id, "delivered 1, held 2")
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, idOf(t, b, "user.deleted")))
	b.Eventually(t, id, "cancelled 2, delivered 1")
	changed(t, b, late())
	b.Eventually(t, id, "cancelled 3, delivered 1")
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{From: admin.From{Beginning: true}, DryRun: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Matched, "a replay of all leaves it out")
	changed(t, b, b.Event(user("u1")))
	b.Eventually(t, id, "coalesced 3, delivered 2")
	require.Equal(t, "user.created u1, user.updated u1", heard(s))
	require.Equal(t, "cancelled 3, delivered 2", strings.ReplaceAll(b.States(t, id), "coalesced", "cancelled"))
}

func TestAnotherHoldbackCountsForWhatIsHeld(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	b.Work(t)
	changed(t, b, quiet(b, user("u1")), b.Deletion(user("u1")))
	b.Eventually(t, id, "delivered 1, held 1")
	since := heldSince(t, b)
	for _, c := range []struct {
		holdback, after time.Duration
		want            string
	}{
		{2 * heldFor, heldFor, "delivered 1, held 1"},
		{heldFor / 2, heldFor/2 - time.Second, "delivered 1, held 1"},
		{heldFor / 2, heldFor / 2, "delivered 2"},
	} {
		b.SetHoldback(t, id, c.holdback)
		b.SetClock(since.Add(c.after))
		b.Wake(t)
		idle(t, b)
		b.Eventually(t, id, c.want)
	}
	b.SetClock(time.Time{})
	b.SetHoldback(t, id, heldFor)
	changed(t, b, quiet(b, user("u2")), b.Deletion(user("u2")))
	b.Eventually(t, id, "delivered 3, held 1")
	b.SetHoldback(t, id, 0)
	b.Wake(t)
	b.Eventually(t, id, "delivered 4")
	require.Equal(t, "user.created u1, user.deleted u1, user.created u2, user.deleted u2", heard(s))
}

// A replay may reach deletions that the destination did not take when they were made.
func TestReplayedDeletionIsHeldUnlessItsRecordWasRestored(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	b.SetEventTypes(t, id, "user.created", "user.restored")
	b.Work(t)
	changed(t, b, quiet(b, user("u1")), quiet(b, user("u2")), b.Deletion(user("u1")), b.Deletion(user("u2")), quiet(b, user("u2")))
	b.Eventually(t, id, "delivered 3")
	b.SetEventTypes(t, id, destination.EventTypes()...)
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{From: admin.From{Beginning: true}, EventType: "user.deleted"})
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Requeued)
	b.Eventually(t, id, "delivered 3, held 1")
	require.Equal(t, "u1", b.One(t, `SELECT record_id FROM authsync.deliveries WHERE state = 'held'`))
	// The relay knows of it.
	changed(t, b, quiet(b, user("u1")))
	b.Eventually(t, id, "cancelled 1, coalesced 1, delivered 3")
	require.Equal(t, "user.created u1, user.created u2, user.restored u2", heard(s))
}

// Whoever releases it, and however often at once: it is sent once.
func TestHeldDeletionIsReleasedOnce(t *testing.T) {
	t.Parallel()
	b, s, id := holding(t, destination.Capabilities{})
	b.Work(t)
	b.Work(t)
	const users = 20
	var events []mirror.Event
	for i := range users {
		events = append(events, quiet(b, user("u"+strconv.Itoa(i))))
	}
	for i := range users {
		events = append(events, b.Deletion(user("u"+strconv.Itoa(i))))
	}
	changed(t, b, events...)
	b.Eventually(t, id, "delivered 20, held 20")
	b.SetClock(heldSince(t, b).Add(2 * heldFor))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			_, err := b.Control.Exec(t.Context(), `SELECT authsync.release_due_deliveries($1, $2, 7)`, id, b.Now())
			require.NoError(t, err)
		})
		all.Go(func() {
			_, err := b.Admin.ConfirmAll(t.Context(), b.ProjectID, admin.Confirmation{DestinationID: id})
			require.NoError(t, err)
		})
		all.Go(func() { b.Wake(t) })
	}
	all.Wait()
	b.Eventually(t, id, "delivered 40")
	require.Len(t, s.Messages(), 2*users)
}

// What somebody decides between the relay's look and its page counts.
func TestPageIsTurnedDownThatKnowsAnotherState(t *testing.T) {
	t.Parallel()
	b, _, id := holding(t, destination.Capabilities{})
	stop := b.Work(t)
	changed(t, b, quiet(b, user("u1")), b.Deletion(user("u1")))
	b.Eventually(t, id, "delivered 1, held 1")
	idle(t, b)
	stop()
	page := func(more string) string {
		return b.One(t, `
			SELECT coalesce(authsync.relay_page($1, f.cursor, 100, jsonb_build_array(jsonb_build_object(
				'change_id', 100, 'record_type', 'user', 'record_id', 'u1', 'order_key', 'user:u1', 'event_type', 'user.updated',
				'changed', '{raw}'::text[], 'changed_at', now()) || $2::jsonb), now()), -1)::text || ' ' || f.cursor
			FROM authsync.destination_progress AS f WHERE f.destination_id = $1`, id, more)
	}
	cursor := b.One(t, `SELECT cursor::text FROM authsync.destination_progress WHERE destination_id = $1`, id)
	require.Equal(t, "-1 "+cursor, page(`{}`), "it does not know of the deletion")
	require.Equal(t, "-1 "+cursor, page(`{"withheld": 99, "is_undo": true}`), "it knows of another")
	require.Equal(t, cursor, b.One(t, `SELECT cursor::text FROM authsync.destination_progress WHERE destination_id = $1`, id))
	deletion := b.One(t, `SELECT change_id::text FROM authsync.deliveries WHERE state = 'held'`)
	require.NoError(t, b.Admin.Confirm(t.Context(), b.ProjectID, idOf(t, b, "user.deleted")))
	require.Equal(t, "-1 "+cursor, page(`{"withheld": `+deletion+`, "is_undo": true}`), "it was confirmed meanwhile")
	require.Equal(t, "1 "+cursor, page(`{}`))
}
