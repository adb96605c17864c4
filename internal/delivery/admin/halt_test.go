package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// A replay asks the condition about every change there is.
func TestReplayThatCostsWorkersEndsAndPauses(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Apply(t, "u1", "u2", "bad1", "bad2", "bad3", "bad4", "u3")
	condition := "bomb bad"
	id := b.AddFrom(t, "bomb", &deliverytest.Sink{}, &condition, admin.From{})
	_, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{From: admin.From{Beginning: true}, DryRun: true})
	require.True(t, fault.Is(err, fault.WrongState))
	require.ErrorContains(t, err, "change the condition")
	require.Equal(t, "active user", b.StateOf(t, id), "a dry run changes nothing")
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{From: admin.From{Beginning: true}})
	require.True(t, fault.Is(err, fault.WrongState))
	require.EqualValues(t, 4, done.Requeued, "it says what is done")
	require.Equal(t, 2*jq.MaxKills, b.Killed())
	require.Equal(t, deliverytest.PausedForItsCondition, b.StateOf(t, id))
	require.Equal(t, "failed 2, ready 2", b.States(t, id))
}

// A replay says that it could not be done, and what was done; calling it again does the rest.
func TestReplayAndPreviewNeedAWorker(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Apply(t, "u1", "u2")
	condition := "worker"
	id := b.AddFrom(t, "sink", &deliverytest.Sink{}, &condition, admin.From{})
	b.SetNoWorker(true)
	_, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{From: admin.From{Beginning: true}})
	require.True(t, destination.Unavailable(err), "%v", err)
	_, err = b.Admin.Preview(t.Context(), b.ProjectID, id, record.Ref{Type: record.User, ID: "u1"}, 0)
	require.True(t, destination.Unavailable(err), "%v", err)
	require.Empty(t, b.States(t, id))
	b.SetNoWorker(false)
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{From: admin.From{Beginning: true}})
	require.NoError(t, err)
	require.EqualValues(t, 2, done.Requeued)
}
