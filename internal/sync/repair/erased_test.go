package repair_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// vault keeps what an erasure knows as it is. It has a key of digests once somebody is erased.
type vault struct{ isUsed atomic.Bool }

func (v *vault) EnsureErasureKey(context.Context, uuid.UUID) ([]byte, error) {
	v.isUsed.Store(true)
	return make([]byte, 32), nil
}

func (v *vault) ErasureKey(context.Context, uuid.UUID) ([]byte, error) {
	if !v.isUsed.Load() {
		return nil, nil
	}
	return make([]byte, 32), nil
}

func (*vault) SealErasure(_, _ uuid.UUID, plain []byte) ([]byte, error)  { return plain, nil }
func (*vault) OpenErasure(_, _ uuid.UUID, sealed []byte) ([]byte, error) { return sealed, nil }

// heldLedger calls b.beforeTombstones once, before the tombstones of a restored mirror are read.
type heldLedger struct {
	*repair.Ledger

	b *testBundle
}

func (l *heldLedger) Tombstones(ctx context.Context, projectID, after uuid.UUID) ([]mirror.Tombstone, uuid.UUID, error) {
	l.b.hold(ctx, &l.b.beforeTombstones)
	return l.Ledger.Tombstones(ctx, projectID, after)
}

// heldErasure calls b.beforeInvited once, before invitations are erased.
type heldErasure struct {
	*mirror.Mirrors

	b *testBundle
}

func (e *heldErasure) EraseInvitations(
	ctx context.Context, about mirror.Erasure, emails []string, after string, now time.Time,
) (mirror.ErasedInvitations, error) {
	e.b.hold(ctx, &e.b.beforeInvited)
	return e.Mirrors.EraseInvitations(ctx, about, emails, after, now)
}

// erase erases a user and returns the receipt.
func (b *testBundle) erase(t *testing.T, userID string) erasure.Erasure {
	t.Helper()
	e, _, err := b.erasures.Start(t.Context(), b.projectID, userID, "a key")
	require.NoError(t, err)
	return b.receipt(t, e.ID)
}

func (b *testBundle) receipt(t *testing.T, id uuid.UUID) (e erasure.Erasure) {
	t.Helper()
	waittest.Until(t, func() bool {
		var err error
		e, err = b.erasures.Find(t.Context(), b.projectID, id)
		require.NoError(t, err)
		return e.State == erasure.Done
	}, "the erasure is not done: %s", b.logged())
	return e
}

const user4 = `SELECT (SELECT count(*) FROM capydb_auth.users WHERE id = 'auth0|4') + (SELECT count(*) FROM capydb_auth.changes WHERE record_id = 'auth0|4')`

// The repair's job may begin before the process that has found the loss has set the tombstones again, or that process may die before:
// the job then sets them itself. Without them it would find nobody.
func TestARepairThatBeginsBeforeTheTombstonesAreSet(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 10)
	b.applied(t)
	copied := pgtest.Copy(t, b.project)
	b.erase(t, "auth0|4")
	require.Zero(t, value[int](t, b.project, user4))
	pgtest.Restore(t, b.project, copied)
	require.NotZero(t, value[int](t, b.project, user4))

	hook, reached, release := holding()
	b.set(func() { b.beforeTombstones = hook })
	checked := make(chan struct{})
	go func() {
		defer close(checked)
		_ = b.mirrors.Check(t.Context(), b.projectID)
	}()
	waittest.Receive(t, reached)
	waittest.Until(t, func() bool {
		return value[bool](t, b.control, `SELECT coalesce(bool_and(searched_table = ''), false) FROM authsync.mirror_repairs`)
	}, "the mirror is not searched: %s", b.logged())
	release()
	waittest.Receive(t, checked)
	b.retried(t, 1)
	require.Equal(t, 1, value[int](t, b.control, `SELECT returned_users FROM authsync.mirror_repairs`))
	require.Zero(t, value[int](t, b.project, user4))
}

// invite stores an invitation to an address, with its change.
func (b *testBundle) invite(t *testing.T, id, email string) {
	t.Helper()
	exec(t, b.project, `INSERT INTO capydb_auth.invitations (id, email, provider, last_event_processed) VALUES ($1, $2, 'auth0', now())`, id, email)
	exec(t, b.project, `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, after, provider, event_id, event_at)
		VALUES ('invitation', $1, 'created', '{email}', jsonb_build_object('id', $1::text, 'email', $2::text), 'auth0', 'evt_' || $1, now())`, id, email)
}

// A backup that was taken in the middle of an erasure has nothing of the user any more that would tell whose the invitations are; their
// own tombstones do, also where only changes are left of one.
func TestARestoredMirrorDoesNotBringBackInvitations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.deliver(t, 1, 10)
	b.invite(t, "inv_row", "u4@example.com")
	b.invite(t, "inv_change", "U4@example.com")
	b.invite(t, "inv_other", "u5@example.com")
	b.applied(t)
	copied := pgtest.Copy(t, b.project)
	receipt := b.erase(t, "auth0|4")
	require.EqualValues(t, 2, receipt.Counts["capydb_auth.invitations"])
	middle := pgtest.Open(t, pgtest.CopyURL(t, copied))
	exec(t, middle, `DELETE FROM capydb_auth.users WHERE id = 'auth0|4'`)
	exec(t, middle, `DELETE FROM capydb_auth.changes WHERE record_id = 'auth0|4'`)
	exec(t, middle, `DELETE FROM capydb_auth.invitations WHERE id = 'inv_change'`)
	middle.Close()
	pgtest.Restore(t, b.project, copied)

	// A destination that reads the restored changes before the loss is noticed knows the invitation.
	crm := &sink{}
	id := b.add(t, "crm", crm, admin.From{Beginning: true}, "invitation.created")
	exec(t, b.control, `
		INSERT INTO authsync.external_ids (destination_id, record_type, record_id, external_id)
		SELECT $1, 'invitation', i, 'there-' || i FROM unnest('{inv_row,inv_other}'::text[]) AS i`, id)
	b.settled(t, id)
	require.Len(t, crm.messages(), 3)

	b.check(t)
	b.retried(t, 1)
	require.Equal(t, "inv_other", value[string](t, b.project, `SELECT string_agg(id, ' ') FROM capydb_auth.invitations`))
	require.Equal(t, "inv_other", value[string](t, b.project, `SELECT string_agg(record_id, ' ') FROM capydb_auth.changes WHERE record_type = 'invitation'`))
	require.Equal(t, "erased erased inv_other",
		value[string](t, b.control, `SELECT string_agg(record_id, ' ' ORDER BY record_id) FROM authsync.deliveries WHERE destination_id = $1`, id))
	require.Equal(t, "inv_other", value[string](t, b.control, `SELECT string_agg(record_id, ' ') FROM authsync.external_ids`))
	repairs, err := repair.Of(t.Context(), b.control, b.projectID, 1)
	require.NoError(t, err)
	require.Zero(t, repairs[0].ReturnedUsers)
	require.Contains(t, repairs[0].Stage(), "; 2 invitations that had been erased were removed again")
}

// An erasure that is at work when the mirror is restored begins anew, and ends with its receipt: nothing is left of the person, and
// destinations hear of it once.
func TestErasuresAtWorkBeginAnew(t *testing.T) {
	t.Parallel()
	phase := func(b *testBundle) string { return value[string](t, b.control, `SELECT phase FROM authsync.erasures`) }
	for name, isAmid := range map[string]bool{"WhileRowsAreRemoved": true, "WhileADestinationIsPaused": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			crm := &sink{}
			id := b.add(t, "crm", crm, admin.From{})
			b.deliver(t, 1, 10)
			b.applied(t)
			b.invite(t, "inv_4", "u4@example.com")
			b.settled(t, id)
			copied := pgtest.Copy(t, b.project)
			require.NoError(t, b.deliveries.Admin.Pause(t.Context(), id, "user", "paused", ""))
			hook, reached, release := holding()
			if isAmid {
				b.set(func() { b.beforeInvited = hook })
			}
			e, _, err := b.erasures.Start(t.Context(), b.projectID, "auth0|4", "a key")
			require.NoError(t, err)
			if isAmid {
				waittest.Receive(t, reached)
			} else {
				waittest.Until(t, func() bool { return phase(b) == "destinations" }, "the erasure does not come to destinations: %s", b.logged())
			}
			require.Zero(t, value[int](t, b.project, `SELECT count(*) FROM capydb_auth.users WHERE id = 'auth0|4'`))

			pgtest.Restore(t, b.project, copied)
			require.NotZero(t, value[int](t, b.project, user4))
			b.check(t)
			if isAmid {
				waittest.Until(t, func() bool {
					return value[bool](t, b.control, `SELECT coalesce(bool_and(searched_table = ''), false) FROM authsync.mirror_repairs`)
				}, "the mirror is not searched: %s", b.logged())
				require.Equal(t, "mark", phase(b))
				release()
			}
			b.retried(t, 1)
			require.Zero(t, value[int](t, b.project, `SELECT count(*) FROM capydb_auth.users WHERE id = 'auth0|4'`), "before anything is applied again")
			require.NoError(t, b.deliveries.Admin.Resume(t.Context(), id))
			receipt := b.receipt(t, e.ID)
			require.Equal(t, "delivered", receipt.Destinations[0].State)
			require.Equal(t, "user.created evt_4, user.erased erasure:"+e.ID.String(), crm.of("auth0|4"))
			require.Zero(t, value[int](t, b.project, user4))
			require.Zero(t, value[int](t, b.project, `
				SELECT (SELECT count(*) FROM capydb_auth.invitations) + (SELECT count(*) FROM capydb_auth.changes WHERE record_type = 'invitation')
				     + (SELECT count(*) FROM capydb_auth.processed_events WHERE record_id = 'auth0|4')`))
			require.Zero(t, value[int](t, b.control, `
				SELECT (SELECT count(*) FROM authsync.deliveries WHERE user_id = 'auth0|4') + (SELECT count(*) FROM authsync.event_outcomes WHERE user_id = 'auth0|4')
				     + (SELECT count(*) FROM authsync.inbox WHERE convert_from(body, 'UTF8') LIKE '%u4@example.com%')`))
			require.Equal(t, 1, value[int](t, b.control, `SELECT count(*) FROM authsync.erasures`), "no other one was begun")
		})
	}
}
