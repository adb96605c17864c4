package sender_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func TestDeliveriesWaitForAWorker(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	answer := func(_ context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i := range results {
			err := &jq.UnavailableError{Err: errors.New("start a worker: resource temporarily unavailable")}
			results[i] = destination.Unmade(destination.ExpressionError(err, err.Error()), err.Error())
		}
		return results
	}
	s := &deliverytest.Sink{Answer: answer}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u2", "u3", "u4", "u5", "u6")
	for tried := 0; tried < 40; {
		b.Until(t, "true", func() string {
			if s.Tried() > tried {
				return "true"
			}
			return ""
		})
		tried = s.Tried()
	}
	require.Equal(t, "ready 6", b.States(t, id))
	require.Equal(t, "0", b.One(t, `SELECT max(attempts + deferrals)::text FROM authsync.deliveries`))
	require.Empty(t, b.One(t, `SELECT breaker_open_until::text FROM authsync.destination_progress`), "the breaker stays closed")
	s.Set(nil)
	b.Eventually(t, id, "delivered 6")
}
