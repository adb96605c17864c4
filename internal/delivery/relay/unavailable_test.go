package relay_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// A process that can start no worker for an expression, because the machine has no room for another process, says nothing
// of a change: it waits, and costs nothing, and the other destinations of the project go on.
func TestChangesWaitForAWorker(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s, other, late := &deliverytest.Sink{}, &deliverytest.Sink{}, &deliverytest.Sink{}
	condition := "worker"
	b.Apply(t, "u1", "u2")
	id := b.AddFrom(t, "sink", s, &condition, admin.From{Beginning: true})
	otherID := b.AddFrom(t, "other", other, nil, admin.From{Beginning: true})
	lateID := b.Add(t, "late", late) // it stands elsewhere in the feed
	b.SetNoWorker(true)
	b.Work(t)
	b.Change(t, "u1", "u3")
	b.Eventually(t, otherID, "delivered 4")
	b.Eventually(t, lateID, "delivered 2")
	b.Until(t, "true", func() string {
		return b.One(t, `SELECT bool_or(metadata::text LIKE '%resource temporarily unavailable%')::text FROM authsync.river_job WHERE kind = 'relay_changes'`)
	})
	require.Empty(t, b.States(t, id))
	b.SetNoWorker(false)
	b.Eventually(t, id, "delivered 4")
	require.Len(t, s.Messages(), 4)
}
