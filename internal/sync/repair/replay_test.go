package repair_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A person may have everything sent again.
func TestReplayAfterALoss(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "crm", s, admin.From{})
	b.deliver(t, 1, 10)
	b.applied(t)
	b.settled(t, id)
	anew(t, b, "")
	b.check(t)
	b.repaired(t, 1)
	b.settled(t, id)
	require.Len(t, s.told(), 10)
	done, err := b.deliveries.Admin.Replay(t.Context(), b.projectID, id, admin.Replay{From: admin.From{Beginning: true}, EventType: destination.UserCreated})
	require.NoError(t, err)
	require.NotZero(t, done.Requeued)
	waittest.Until(t, func() bool { return len(s.told()) == 20 }, "%v", s.told())
}

// So can what was delivered before the loss, by its deliveries: they are of the changes that the repair has made again.
func TestReplayOfDeliveriesAfterALoss(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]admin.Replay{"Deliveries": {}, "Changes": {From: admin.From{Beginning: true}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			s := &sink{}
			id := b.add(t, "crm", s, admin.From{})
			b.deliver(t, 1, 10)
			b.applied(t)
			b.settled(t, id)
			anew(t, b, "")
			b.check(t)
			b.repaired(t, 1)
			b.settled(t, id)
			onceEach(t, s, 10)
			before := s.told()
			done, err := b.deliveries.Admin.Replay(t.Context(), b.projectID, id, r)
			require.NoError(t, err)
			require.EqualValues(t, 10, done.Requeued)
			b.settled(t, id)
			require.Equal(t, "delivered 10", b.ends(t, id))
			require.ElementsMatch(t, append(before, before...), s.told())
		})
	}
}
