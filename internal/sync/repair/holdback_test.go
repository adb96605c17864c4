package repair_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// holding14 is a destination that holds back the deletion of user 4 by evt_14; copied is the mirror before that.
func holding14(t *testing.T, b *testBundle) (id uuid.UUID, s *sink, copied string) {
	t.Helper()
	s = &sink{}
	id = b.add(t, "crm", s, admin.From{})
	exec(t, b.control, `UPDATE authsync.destinations SET holdback = '1 day'`)
	b.deliver(t, 1, 13)
	b.applied(t)
	b.settled(t, id)
	copied = pgtest.Copy(t, b.project)
	b.deliver(t, 14, 14)
	b.applied(t)
	b.relayed(t, id)
	require.Equal(t, "delivered 13, held 1", b.ends(t, id))
	return id, s, copied
}

// release has everything sent that is held.
func (b *testBundle) release(t *testing.T, id uuid.UUID) {
	t.Helper()
	exec(t, b.control, `UPDATE authsync.destinations SET holdback = NULL`)
	waittest.Until(t, func() bool {
		require.NoError(t, delivery.RequestRelay(t.Context(), b.control, b.projectID))
		return value[int](t, b.control, `SELECT count(*) FROM authsync.deliveries WHERE destination_id = $1 AND finished_at IS NULL`, id) == 0
	}, "what is held is not released: %s", b.logged())
}

// about sends an event about user 4 with a clock so long after that of evt_14.
func (b *testBundle) about(t *testing.T, event string, after time.Duration) {
	t.Helper()
	at := time.Date(2026, 3, 1, 14, 20, 0, 0, time.UTC).Add(after).Format(time.RFC3339)
	_, err := b.inbox.Append(t.Context(), inbox.Message{ProjectID: b.projectID, Provider: provider.Auth0, Body: fmt.Appendf(nil,
		`{"type": "user.updated", "id": %q, "time": %q, "data": {"object": {"user_id": "auth0|4", "email": "%[1]s@example.com", "updated_at": %[2]q}}}`, event, at)})
	require.NoError(t, err)
}

// delayRepairs has repairs wait, as after so many others, until beginRepairs.
func (b *testBundle) delayRepairs(t *testing.T) {
	t.Helper()
	exec(t, b.control, `
		INSERT INTO authsync.mirror_repairs (project_id, cause, epoch, known_applied_to, found_applied_to, lost_since, last_inbox_id, found_at, finished_at)
		SELECT p.id, 'rewound', gen_random_uuid(), n, 0, now(), 0, now() - interval '1 minute', now() FROM authsync.projects AS p, generate_series(1, 6) AS n`)
}

func (b *testBundle) beginRepairs(t *testing.T) {
	t.Helper()
	exec(t, b.control, `DELETE FROM authsync.mirror_repairs WHERE finished_at IS NOT NULL`)
}

// A deletion that is held back stays so when the mirror loses it and makes it again: it is sent once, when its time is over.
func TestAHeldDeletionOutlivesALoss(t *testing.T) {
	t.Parallel()
	for name, lose := range loses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id, s, copied := holding14(t, b)
			held := value[time.Time](t, b.control, `SELECT held_from FROM authsync.deliveries WHERE state = 'held'`)
			lose(t, b, copied)
			b.check(t)
			b.repaired(t, 1)
			b.relayed(t, id)
			require.Equal(t, "delivered 13, held 1", b.ends(t, id))
			require.Equal(t, held, value[time.Time](t, b.control, `SELECT held_from FROM authsync.deliveries WHERE state = 'held' AND NOT begun`), "it was not sent")
			require.Equal(t, "user.deleted", value[string](t, b.project, `SELECT 'user.' || kind FROM capydb_auth.user_changes WHERE id = $1`,
				value[int64](t, b.control, `SELECT change_id FROM authsync.deliveries WHERE state = 'held'`)), "it is of the change that was made again")
			b.release(t, id)
			require.Equal(t, "user.created evt_4, user.deleted evt_14", s.of("auth0|4"))
		})
	}
}

// What restores the record after the repair undoes it, as ever.
func TestAHeldDeletionIsUndoneAfterALoss(t *testing.T) {
	t.Parallel()
	for name, lose := range loses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id, s, copied := holding14(t, b)
			lose(t, b, copied)
			b.check(t)
			b.repaired(t, 1)
			b.about(t, "evt_back", time.Hour)
			b.applied(t)
			b.settled(t, id)
			b.release(t, id)
			require.Equal(t, "user.created evt_4, user.updated evt_back", s.of("auth0|4"))
		})
	}
}

// Before the repair has come to it, the record is in the mirror as if it had never been deleted: a change of it, by an event that
// is older than the deletion, restores nothing.
func TestAHeldDeletionIsNotUndoneByALoss(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration // the clock of the event
		told  string
	}{
		"ByAnOlderEvent": {-time.Minute, "user.created evt_4, user.updated evt_late, user.deleted evt_14"},
		"ButByANewerOne": {time.Minute, "user.created evt_4, user.updated evt_late"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.delayRepairs(t)
			id, s, copied := holding14(t, b)
			inPlace(t, b, copied)
			b.about(t, "evt_late", c.after)
			b.applied(t)
			b.relayed(t, id)
			require.Contains(t, value[string](t, b.project, `SELECT string_agg(kind || ' ' || event_id, ', ' ORDER BY id) FROM capydb_auth.user_changes WHERE user_id = 'auth0|4'`),
				"updated evt_late")
			b.beginRepairs(t)
			b.retried(t, 1)
			b.applied(t)
			b.relayed(t, id)
			b.release(t, id)
			require.Equal(t, c.told, s.of("auth0|4"))
		})
	}
}

// A replay while the mirror is repaired delivers past changes, and undoes no deletion that is held back: by a change of the record as the
// restored mirror has it, as if it had never been deleted, which the destination did not want when it was relayed.
func TestAReplayDuringARepairUndoesNoHeldDeletion(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after time.Duration // the clock of the change
		told  string
	}{
		"ByAnOlderChange": {-time.Minute, "user.created evt_4, user.updated evt_late, user.deleted evt_14"},
		"ButByANewerOne":  {time.Minute, "user.created evt_4, user.updated evt_late"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.delayRepairs(t)
			id, s, copied := holding14(t, b)
			types := func(all string) { exec(t, b.control, `UPDATE authsync.destinations SET event_types = $1::text[]`, all) }
			types("{user.created,user.deleted}")
			inPlace(t, b, copied)
			b.about(t, "evt_late", c.after)
			b.applied(t)
			b.relayed(t, id)
			require.Equal(t, "delivered 13, held 1", b.ends(t, id))
			types("{user.created,user.updated,user.deleted}")
			done, err := b.deliveries.Admin.Replay(t.Context(), b.projectID, id, admin.Replay{From: admin.From{Beginning: true}, RecordID: "auth0|4", EventType: "user.updated"})
			require.NoError(t, err)
			require.EqualValues(t, 1, done.Requeued)
			require.Equal(t, "held", value[string](t, b.control, `SELECT state FROM authsync.deliveries WHERE event_id = 'evt_14'`))

			b.beginRepairs(t)
			b.retried(t, 1)
			b.applied(t)
			b.relayed(t, id)
			b.release(t, id)
			require.Equal(t, c.told, s.of("auth0|4"))
		})
	}
}

// Neither a replay of deliveries or changes nor one of events, before the repair has come to the deletion, sends it early or twice.
func TestReplaysDuringARepairSendAHeldDeletionOnce(t *testing.T) {
	t.Parallel()
	for name, lose := range loses() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.delayRepairs(t)
			id, s, copied := holding14(t, b)
			held := value[time.Time](t, b.control, `SELECT held_from FROM authsync.deliveries WHERE state = 'held'`)
			lose(t, b, copied)
			b.check(t)
			_, err := b.deliveries.Admin.Replay(t.Context(), b.projectID, id, admin.Replay{From: admin.From{Beginning: true}})
			require.NoError(t, err)
			_, err = b.inbox.Replay(t.Context(), inbox.Filter{ProjectID: b.projectID, UserID: "auth0|4"}, "", time.Minute)
			require.NoError(t, err)
			b.applied(t)
			b.relayed(t, id)
			_, err = b.deliveries.Admin.Replay(t.Context(), b.projectID, id, admin.Replay{From: admin.From{Beginning: true}, RecordID: "auth0|4"})
			require.NoError(t, err)
			require.Equal(t, held, value[time.Time](t, b.control, `SELECT held_from FROM authsync.deliveries WHERE state = 'held' AND NOT begun`))

			b.beginRepairs(t)
			b.retried(t, 1)
			b.applied(t)
			b.relayed(t, id)
			require.NotContains(t, s.of("auth0|4"), "user.deleted", "it is not sent before its time")
			b.release(t, id)
			require.Equal(t, 1, strings.Count(s.of("auth0|4"), "user.deleted"), "%s", s.of("auth0|4"))
			require.True(t, strings.HasSuffix(s.of("auth0|4"), "user.deleted evt_14"), "%s", s.of("auth0|4"))
		})
	}
}

// Amid a repair nobody knows whether a deletion that was made again is about to be undone, as it was before: a replay makes no delivery of
// it, because what restores the record is not sent again, and so would not undo it.
func TestAReplayAmidARepairHoldsNoDeletionThatWasUndone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.delayRepairs(t)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{}, "user.created")
	exec(t, b.control, `UPDATE authsync.destinations SET holdback = '1 day'`)
	b.deliver(t, 1, 13)
	b.applied(t)
	b.settled(t, id)
	copied := pgtest.Copy(t, b.project)
	b.deliver(t, 14, 24) // user 4 is deleted by the first of them, and restored by the last
	b.applied(t)
	b.settled(t, id)
	inPlace(t, b, copied)
	b.check(t)
	_, err := b.inbox.Replay(t.Context(), inbox.Filter{ProjectID: b.projectID, EventID: "evt_14"}, "", time.Minute)
	require.NoError(t, err)
	b.applied(t)
	b.relayed(t, id)
	exec(t, b.control, `UPDATE authsync.destinations SET event_types = '{user.created,user.deleted}'`)
	replay := admin.Replay{From: admin.From{Beginning: true}, RecordID: "auth0|4", EventType: "user.deleted"}
	done, err := b.deliveries.Admin.Replay(t.Context(), b.projectID, id, replay)
	require.NoError(t, err)
	require.Zero(t, done.Requeued)

	b.beginRepairs(t)
	b.retried(t, 1)
	b.applied(t)
	b.relayed(t, id)
	_, err = b.deliveries.Admin.Replay(t.Context(), b.projectID, id, replay)
	require.NoError(t, err)
	b.release(t, id)
	require.Equal(t, "user.created evt_4", s.of("auth0|4"))
}
