package repair_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// anew drops the schema and has the mirror recreated.
func anew(t *testing.T, b *testBundle, _ string) {
	t.Helper()
	exec(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
	require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, b.project), b.projectID, false))
}

// loses are the ways in which a mirror loses all, or what came after a copy.
func loses() map[string]func(t *testing.T, b *testBundle, copied string) {
	return map[string]func(t *testing.T, b *testBundle, copied string){
		"MadeAnew": anew, "Restored": inPlace, "OnAnotherServer": elsewhere, "InALiveDatabase": copyTables,
	}
}

// onceEach requires that each event has arrived once, and each user was created once.
func onceEach(t *testing.T, s *sink, events int) {
	t.Helper()
	seen, created := make(map[string]int), make(map[string]int)
	for _, m := range s.messages() {
		seen[m.EventID]++
		if m.EventType == destination.UserCreated {
			created[m.RecordID]++
		}
	}
	for id, n := range seen {
		require.Equal(t, 1, n, "times that %s arrived: %v", id, s.told())
	}
	for id, n := range created {
		require.Equal(t, 1, n, "times that %s was created: %v", id, s.told())
	}
	require.Len(t, seen, events, "%v", s.told())
}

// What a repair makes once more is not sent once more: nobody gets a second welcome.
func TestDestinationsAreToldOfNothingTwice(t *testing.T) {
	t.Parallel()
	for name, lose := range loses() {
		for kind, states := range map[string]bool{"Events": false, "States": true} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				s := &sink{states: states}
				id := b.add(t, "crm", s, admin.From{})
				b.deliver(t, 1, 7)
				b.applied(t)
				b.settled(t, id)
				copied := pgtest.Copy(t, b.project)
				b.deliver(t, 8, 30)
				b.applied(t)
				b.settled(t, id)
				before := s.told()

				lose(t, b, copied)
				b.check(t)
				b.repaired(t, 1)
				b.settled(t, id)
				require.Equal(t, before, s.told())
				require.NotContains(t, b.ends(t, id), "failed")
				require.Contains(t, value[string](t, b.control, `SELECT state_reason FROM authsync.destinations`), "authsync destinations replay")

				b.deliver(t, 31, 40)
				b.applied(t)
				b.settled(t, id)
				if !states {
					onceEach(t, s, 40)
				}
				for i := range 10 {
					require.LessOrEqual(t, strings.Count(s.of(fmt.Sprintf("auth0|%d", i)), "created"), 1)
				}
				last := s.messages()[len(s.messages())-1]
				require.Contains(t, []string{"evt_31", "evt_32", "evt_33", "evt_34", "evt_35", "evt_36", "evt_37", "evt_38", "evt_39", "evt_40"}, last.EventID)
			})
		}
	}
}

// What had not been sent when the mirror lost it is sent when it has been brought back.
func TestWhatWasNotSentBeforeALossIsSentAfterIt(t *testing.T) {
	t.Parallel()
	for name, lose := range loses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			s := &sink{}
			id := b.add(t, "crm", s, admin.From{})
			b.deliver(t, 1, 12)
			b.applied(t)
			b.settled(t, id)
			copied := pgtest.Copy(t, b.project)
			require.NoError(t, b.deliveries.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
			b.deliver(t, 13, 40)
			b.applied(t)
			b.relayed(t, id)
			require.Len(t, s.told(), 12)

			lose(t, b, copied)
			require.NoError(t, b.deliveries.Admin.Resume(t.Context(), id)) // it finds that changes are gone
			b.check(t)
			b.repaired(t, 1)
			b.settled(t, id)
			require.Equal(t, "delivered 40", b.ends(t, id))
			onceEach(t, s, 40)
		})
	}
}

// Events that waited when the mirror was lost, and those that came while it was repaired, are told as ever.
func TestEventsAmidARepairAreTold(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{})
	b.deliver(t, 1, 8)
	b.applied(t)
	b.settled(t, id)
	exec(t, b.project, `DROP SCHEMA capydb_auth CASCADE`)
	b.deliver(t, 9, 20) // users 9 and 10 are new
	require.NoError(t, b.mirrors.Install(t.Context(), pgtest.URL(t, b.project), b.projectID, false))
	b.deliver(t, 21, 30)
	b.check(t)
	b.repaired(t, 1)
	b.settled(t, id)
	onceEach(t, s, 30)
	require.Equal(t, "user.created evt_9, user.updated evt_19, user.updated evt_29", s.of("auth0|9"))
}

// A destination that was behind when the mirror was lost is told the rest, and nothing twice.
func TestDestinationThatWasBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{})
	b.deliver(t, 1, 12)
	b.applied(t)
	b.settled(t, id)
	exec(t, b.control, `UPDATE authsync.destinations SET filter_halted = true`)
	b.deliver(t, 13, 30)
	b.applied(t)
	anew(t, b, "")
	b.check(t)
	b.repaired(t, 1)
	require.Len(t, s.told(), 12)
	exec(t, b.control, `UPDATE authsync.destinations SET filter_halted = false`)
	b.settled(t, id)
	onceEach(t, s, 30)
}

// The mirror is lost and repaired while a page of changes is read: the page has what the repair made again.
func TestLossWhileChangesAreRead(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 10)
	b.applied(t)
	hook, reading, release := holding()
	b.set(func() { b.beforeRead = hook })
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{})
	<-reading
	anew(t, b, "")
	b.check(t)
	b.repaired(t, 1)
	release()
	b.settled(t, id)
	require.Empty(t, s.told())
}

// A destination that is added after a loss is told what it asks for.
func TestDestinationThatIsAddedAfterALoss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 20)
	b.applied(t)
	anew(t, b, "")
	b.check(t)
	b.repaired(t, 1)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{Beginning: true})
	b.settled(t, id)
	onceEach(t, s, 20)
}

// applyDirectly applies an event that is in no message of this project, made at a time, about a user made at another;
// the zero time: it does not say when.
func (b *testBundle) applyDirectly(t *testing.T, id, user string, created, at time.Time) {
	t.Helper()
	email := user + "@example.com"
	fields := provider.Fields{record.DeletedAt: nil, record.Email: &email}
	if !created.IsZero() {
		made := created.Format(time.RFC3339)
		fields[record.CreatedAt] = &made
	}
	_, err := b.mirrors.Apply(t.Context(), b.projectID, []mirror.Event{{
		Event: provider.Event{
			ID: id, Type: "user.updated", UserID: user, At: at, SentAt: at, Raw: json.RawMessage(`{}`),
			Fields: fields,
		},
		Provider: provider.Auth0, InboxID: 1_000_000, ReceivedAt: at,
	}})
	require.NoError(t, err)
}

// Users who are in no message come back by a reconcile, or by their next event. Neither creates them once more.
func TestUsersOlderThanALossAreNotCreatedOnceMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 10)
	b.applied(t)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{})
	anew(t, b, "")
	b.check(t)
	b.repaired(t, 1)

	old, now := time.Now().Add(-1000*time.Hour).UTC(), time.Now().Add(time.Second).UTC()
	b.applyDirectly(t, "reconcile:run", "read", old, now)
	b.applyDirectly(t, "reconcile:run", "read-and-new", now, now)
	b.applyDirectly(t, "refresh:run", "read-alone", old, now)
	b.applyDirectly(t, "evt_updated", "updated", old, now)
	b.applyDirectly(t, "evt_created", "created", now, now)
	b.applyDirectly(t, "evt_late", "created-late", old, old.Add(time.Second))
	b.settled(t, id)
	require.Equal(t, []string{"user.created evt_created", "user.created evt_late", "user.created reconcile:run", "user.updated evt_updated"}, s.told())
	require.Equal(t, "user.created reconcile:run", s.of("read-and-new"))
	updated := s.messages()[slices.IndexFunc(s.messages(), func(m destination.Message) bool { return m.RecordID == "updated" })]
	require.Contains(t, string(updated.Before), `"email":null`)
	require.Contains(t, updated.Changed, "email")

	// A run has been through all users: who is missing from now on was never there.
	exec(t, b.control, `
		INSERT INTO authsync.sync_runs (project_id, provider, kind, state, started_at, finished_at)
		VALUES ($1, 'auth0', 'reconcile', 'done', clock_timestamp(), clock_timestamp())`, b.projectID)
	b.applyDirectly(t, "backfill:run", "never-there", old, now)
	b.settled(t, id)
	require.Equal(t, "user.created backfill:run", s.of("never-there"))
}

// Of users whose provider does not say when they were made, it is known from what the destination was sent, or had passed.
func TestUsersWithoutATimeOfCreationAreNotCreatedOnceMore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	_, err := b.inbox.Append(t.Context(), inbox.Message{ProjectID: b.projectID, Provider: provider.Auth0, Body: []byte(
		`{"type": "user.created", "id": "evt_passed", "time": "2026-03-01T12:00:00Z", "data": {"object": {"user_id": "passed", "email": "p@example.com"}}}`)})
	require.NoError(t, err)
	b.applied(t)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{})
	b.applyDirectly(t, "evt_1", "sent", time.Time{}, at)
	b.applyDirectly(t, "evt_2", "sent-too", time.Time{}, at)
	b.settled(t, id)
	exec(t, b.control, `DELETE FROM authsync.inbox`) // the events below are applied before those above are, or those never are
	anew(t, b, "")
	b.check(t)
	b.repaired(t, 1)

	b.applyDirectly(t, "evt_3", "sent", time.Time{}, at.Add(time.Hour))
	b.applyDirectly(t, "evt_4", "passed", time.Time{}, at.Add(time.Hour))
	b.applyDirectly(t, "evt_5", "new", time.Time{}, at.Add(time.Hour))
	b.settled(t, id)
	exec(t, b.control, `UPDATE authsync.mirror_repairs SET replayed_at = replayed_at - interval '1 day'`)
	b.applyDirectly(t, "evt_6", "sent-too", time.Time{}, at.Add(time.Hour))
	b.applyDirectly(t, "evt_7", "new-too", time.Time{}, at.Add(time.Hour))
	b.settled(t, id)
	require.Equal(t, "user.created evt_1, user.updated evt_3", s.of("sent"))
	require.Equal(t, "user.updated evt_4", s.of("passed"))
	require.Equal(t, "user.created evt_2, user.updated evt_6", s.of("sent-too"))
	require.Equal(t, "user.created evt_5", s.of("new"))
	require.Equal(t, "user.created evt_7", s.of("new-too"))
}

// A delivery whose change is gone says why, and what to do.
func TestDeliveryWhoseChangeIsGone(t *testing.T) {
	t.Parallel()
	setupPaused := func(t *testing.T) (*testBundle, *sink, func() string) {
		t.Helper()
		b := setup(t)
		s := &sink{}
		id := b.add(t, "crm", s, admin.From{})
		require.NoError(t, b.deliveries.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
		b.deliver(t, 1, 1)
		b.applied(t)
		b.relayed(t, id)
		return b, s, func() string {
			require.NoError(t, b.deliveries.Admin.Resume(t.Context(), id))
			b.settled(t, id)
			return value[string](t, b.control, `SELECT concat_ws(' ', state, reason) FROM authsync.deliveries`)
		}
	}
	t.Run("ByALossThatNothingBringsBack", func(t *testing.T) {
		t.Parallel()
		b, s, end := setupPaused(t)
		exec(t, b.control, `DELETE FROM authsync.event_outcomes`) // as retention does
		exec(t, b.control, `DELETE FROM authsync.inbox`)
		anew(t, b, "")
		b.check(t)
		b.repaired(t, 1)
		require.Contains(t, end(), "cancelled the project's database lost this change")
		require.Contains(t, end(), "authsync destinations replay")
		require.Empty(t, s.told())
	})
	t.Run("ByALossWhoseRepairItHasNotRead", func(t *testing.T) {
		t.Parallel()
		b, s, end := setupPaused(t)
		exec(t, b.control, `UPDATE authsync.destinations SET filter_halted = true`) // it reads no further
		anew(t, b, "")
		b.check(t)
		b.repaired(t, 1)
		exec(t, b.control, `UPDATE authsync.destinations SET state = 'active'`)
		exec(t, b.control, `SELECT authsync.request_delivery(d.id) FROM authsync.destinations AS d`)
		waittest.Until(t, func() bool {
			return value[bool](t, b.control, `SELECT reason IS NOT NULL OR finished_at IS NOT NULL FROM authsync.deliveries`)
		}, "the delivery is not looked at: %s", b.logged())
		require.Equal(t, "retrying", value[string](t, b.control, `SELECT state FROM authsync.deliveries`))
		require.Contains(t, value[string](t, b.control, `SELECT reason FROM authsync.deliveries`), "is being repaired")
		exec(t, b.control, `UPDATE authsync.destinations SET filter_halted = false`)
		require.Contains(t, end(), "delivered")
		require.Equal(t, []string{"user.created evt_1"}, s.told())
	})
	t.Run("ByALossWhoseRepairIsReadMeanwhile", func(t *testing.T) {
		t.Parallel()
		b, s, end := setupPaused(t)
		exec(t, b.control, `UPDATE authsync.destinations SET filter_halted = true`) // it reads no further
		anew(t, b, "")
		b.check(t)
		b.repaired(t, 1)
		hook, looking, release := holding()
		b.set(func() { b.beforeCheck = hook })
		exec(t, b.control, `UPDATE authsync.destinations SET state = 'active'`)
		exec(t, b.control, `SELECT authsync.request_delivery(d.id) FROM authsync.destinations AS d`)
		<-looking
		exec(t, b.control, `UPDATE authsync.destinations SET filter_halted = false`)
		b.relayed(t, value[uuid.UUID](t, b.control, `SELECT id FROM authsync.destinations`)) // the delivery takes the new change
		release()
		require.Contains(t, end(), "delivered")
		require.Equal(t, []string{"user.created evt_1"}, s.told())
	})
	t.Run("ByHand", func(t *testing.T) {
		t.Parallel()
		b, _, end := setupPaused(t)
		exec(t, b.project, `DELETE FROM capydb_auth.changes`)
		require.Contains(t, end(), "failed the change is no longer in the project's database: its retention is over, or somebody has removed it")
	})
	t.Run("AndIsTakenUpAgainByAPerson", func(t *testing.T) {
		t.Parallel()
		b, s, end := setupPaused(t)
		exec(t, b.control, `UPDATE authsync.deliveries SET state = 'failed', finished_at = now()`)
		anew(t, b, "")
		b.check(t)
		b.repaired(t, 1)
		require.Equal(t, "failed", end(), "nobody has it tried again but a person")
		require.NoError(t, b.deliveries.Admin.Retry(t.Context(), b.projectID, value[int64](t, b.control, `SELECT id FROM authsync.deliveries`)))
		require.Equal(t, "delivered", end())
		require.Equal(t, []string{"user.created evt_1"}, s.told())
	})
}
