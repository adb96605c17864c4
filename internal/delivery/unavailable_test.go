package delivery_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
)

// A process that can start no worker for an expression, because the machine has no room for another process, says nothing
// of a change: it waits, and costs nothing, and the other destinations of the project go on.
func TestChangesWaitForAWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, other, late := &sink{}, &sink{}, &sink{}
	condition := "worker"
	b.apply(t, "u1", "u2")
	id := b.addFrom(t, "sink", s, &condition, delivery.From{Beginning: true})
	otherID := b.addFrom(t, "other", other, nil, delivery.From{Beginning: true})
	lateID := b.add(t, "late", late) // it stands elsewhere in the feed
	b.setNoWorker(true)
	b.work(t)
	b.change(t, "u1", "u3")
	b.eventually(t, otherID, "delivered 4")
	b.eventually(t, lateID, "delivered 2")
	b.until(t, "true", func() string {
		return b.one(t, `SELECT bool_or(metadata::text LIKE '%resource temporarily unavailable%')::text FROM authsync.river_job WHERE kind = 'relay_changes'`)
	})
	require.Empty(t, b.states(t, id))
	b.setNoWorker(false)
	b.eventually(t, id, "delivered 4")
	require.Len(t, s.messages(), 4)
}

func TestDeliveriesWaitForAWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	answer := func(_ context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i := range results {
			err := &jq.UnavailableError{Err: errors.New("start a worker: resource temporarily unavailable")}
			results[i] = destination.Unmade(destination.ExpressionError(err, err.Error()), err.Error())
		}
		return results
	}
	s := &sink{answer: answer}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u2", "u3", "u4", "u5", "u6")
	for tried := 0; tried < 40; {
		b.until(t, "true", func() string {
			if s.tried() > tried {
				return "true"
			}
			return ""
		})
		tried = s.tried()
	}
	require.Equal(t, "ready 6", b.states(t, id))
	require.Equal(t, "0", b.one(t, `SELECT max(attempts + deferrals)::text FROM authsync.deliveries`))
	require.Empty(t, b.one(t, `SELECT breaker_open_until::text FROM authsync.destination_progress`), "the breaker stays closed")
	s.set(nil)
	b.eventually(t, id, "delivered 6")
}

// A replay says that it could not be done, and what was done; calling it again does the rest.
func TestReplayAndPreviewNeedAWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.apply(t, "u1", "u2")
	condition := "worker"
	id := b.addFrom(t, "sink", &sink{}, &condition, delivery.From{})
	b.setNoWorker(true)
	_, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{From: delivery.From{Beginning: true}})
	require.True(t, destination.Unavailable(err), "%v", err)
	_, err = b.outbox.Preview(t.Context(), b.projectID, id, "u1", 0)
	require.True(t, destination.Unavailable(err), "%v", err)
	require.Empty(t, b.states(t, id))
	b.setNoWorker(false)
	done, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{From: delivery.From{Beginning: true}})
	require.NoError(t, err)
	require.EqualValues(t, 2, done.Requeued)
}
