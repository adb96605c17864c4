package repair_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestLedger(t *testing.T) {
	t.Parallel()
	epoch, at := uuid.New(), time.Now().Add(-time.Hour).Truncate(time.Second)

	t.Run("CountsWhatAnEarlierRepairBroughtBackAsLost", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.ledger.Exchange(t.Context(), b.projectID, mirror.Progress{Epoch: epoch, AppliedTo: 10})
		require.NoError(t, err)
		repairs := 0
		// Each repair ends before its times are changed: its job would write its own over them.
		lost := func(known int64, applied time.Time) string {
			defer func() { repairs++; b.repaired(t, repairs) }()
			_, err := b.ledger.Lost(t.Context(), b.projectID, mirror.Progress{Epoch: epoch, AppliedTo: known}, mirror.Progress{Epoch: epoch, AppliedAt: applied})
			require.NoError(t, err)
			return value[string](t, b.control, `
				SELECT coalesce(extract(epoch FROM nullif(lost_since, '-infinity'))::bigint::text, 'everything')
				FROM authsync.mirror_repairs WHERE known_applied_to = $1`, known)
		}
		require.Equal(t, "everything", lost(10, time.Time{}))
		require.Equal(t, "everything", lost(20, at), "the replay had not ended by then")
		exec(t, b.control, `UPDATE authsync.mirror_repairs SET replayed_at = $1, finished_at = $1`, at.Add(time.Hour))
		require.Equal(t, "everything", lost(30, at), "the replay ended after that")
		exec(t, b.control, `UPDATE authsync.mirror_repairs SET replayed_at = $1, finished_at = $1`, at.Add(-time.Hour))
		require.NotEqual(t, "everything", lost(40, at))
	})

	t.Run("RecordsALossOnce", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for range 3 {
			_, err := b.ledger.Lost(t.Context(), b.projectID, mirror.Progress{Epoch: epoch, AppliedTo: 10}, mirror.Progress{Epoch: epoch, AppliedAt: at})
			require.NoError(t, err)
		}
		require.Equal(t, 1, value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs`))
		require.Equal(t, 1, value[int](t, b.control, `SELECT count(*) FROM authsync.river_job WHERE kind = 'repair_mirror'`))
	})

	t.Run("HasARepairBeginAnewThatIsAtWork", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.set(func() { b.running = true }) // so that it does not end
		for known := range int64(20) {
			_, err := b.ledger.Lost(t.Context(), b.projectID, mirror.Progress{Epoch: epoch, AppliedTo: known}, mirror.Progress{Epoch: uuid.New(), AppliedAt: at})
			require.NoError(t, err)
		}
		require.Equal(t, 1, value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs`), "whatever a server says about its mirror")
		require.EqualValues(t, 19, value[int64](t, b.control, `SELECT known_applied_to FROM authsync.mirror_repairs`))
		b.set(func() { b.running = false })
		b.retried(t, 1)
	})

	t.Run("DoesNotLetAMirrorBeRepairedAllTheTime", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		lose := func(known int64) {
			_, err := b.ledger.Lost(t.Context(), b.projectID, mirror.Progress{Epoch: epoch, AppliedTo: known}, mirror.Progress{Epoch: uuid.New(), AppliedAt: at})
			require.NoError(t, err)
		}
		for known := range 5 {
			lose(int64(known))
			b.repaired(t, known+1)
		}
		lose(5)
		waittest.Until(t, func() bool {
			return value[bool](t, b.control, `
				SELECT EXISTS (SELECT FROM authsync.river_job WHERE state = 'scheduled' AND scheduled_at > now() + interval '5 minutes'
					AND metadata #>> '{output,wait_reason}' = 'the mirror has lost something more than 5 times within 10m0s')`)
		})
		require.Equal(t, 1, value[int](t, b.control, `SELECT count(*) FROM authsync.mirror_repairs WHERE finished_at IS NULL AND last_pending_id IS NULL`))
		b.set(func() { b.now = func() time.Time { return time.Now().Add(10 * time.Minute) } })
		b.retried(t, 6)
	})

	t.Run("KnowsWhatDestinationsHaveHeardOf", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		exec(t, b.control, `
			WITH d AS (
				INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed) VALUES ($1, 'crm', 'webhook', ''), ($1, 'app', 'webhook', '')
				RETURNING id, name
			), f AS (
				INSERT INTO authsync.destination_progress (destination_id, cursor) SELECT d.id, CASE d.name WHEN 'crm' THEN 700 ELSE 5 END FROM d
			)
			INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at,
				state, finished_at)
			SELECT $1, d.id, 900, 'user', 'u', 'u', 'user:u', 'user.updated', '{}', now(), 'delivered', now() FROM d WHERE d.name = 'app'`, b.projectID)
		told, err := b.ledger.Lost(t.Context(), b.projectID, mirror.Progress{Epoch: epoch, AppliedTo: 10}, mirror.Progress{Epoch: epoch, AppliedAt: at})
		require.NoError(t, err)
		require.EqualValues(t, 900, told)
	})

	t.Run("GoesByTheMirrorThatIsFurther", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, p := range []mirror.Progress{{Epoch: epoch, AppliedTo: 10, ChangeID: 7}, {Epoch: epoch, AppliedTo: 9}, {Epoch: uuid.New(), AppliedTo: 99}} {
			known, err := b.ledger.Exchange(t.Context(), b.projectID, p)
			require.NoError(t, err)
			require.Equal(t, mirror.Progress{Epoch: epoch, AppliedTo: 10, ChangeID: 7}, known)
		}
	})
}

// TestWhatAppliedEventsCost counts: a call writes one row of the mirror more, whatever the number of its events.
func TestWhatAppliedEventsCost(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 1)
	b.applied(t)
	blocked, err := b.project.Begin(t.Context())
	require.NoError(t, err)
	_, err = blocked.Exec(t.Context(), `SELECT capydb_auth.lock_mirror()`)
	require.NoError(t, err)
	b.deliver(t, 2, 200)
	require.NoError(t, blocked.Rollback(t.Context()))
	b.applied(t)
	applied := value[int64](t, b.project, `SELECT applied_to FROM capydb_auth.mirror_progress`)
	require.Less(t, applied, int64(100))
	require.Equal(t, applied, value[int64](t, b.control, `SELECT applied_to FROM authsync.mirror_progress`), "as soon as the outcomes are on record")
	require.Equal(t, value[int64](t, b.project, newestChange), value[int64](t, b.control, `SELECT change_id FROM authsync.mirror_progress`))
}
