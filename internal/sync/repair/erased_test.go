package repair_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

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
