package sender_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// However often its job handed it back in between, a delivery has fifteen attempts.
func TestThereAreFifteenAttemptsOverAllJobs(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	at := map[int]func() error{
		3: func() error {
			return b.Admin.Pause(context.Background(), id, admin.ByUser, delivery.StatePaused, "moving house")
		},
		9: func() error {
			_, err := b.Control.Exec(context.Background(),
				`UPDATE authsync.destination_progress SET breaker_open_until = now() + interval '15 minutes', breaker_trips = 1`)
			return err
		},
	}
	var mu sync.Mutex
	attempts := 0
	s.Set(func(context.Context, []destination.Message) []destination.Result {
		mu.Lock()
		defer mu.Unlock()
		attempts++
		if meanwhile := at[attempts]; meanwhile != nil {
			if err := meanwhile(); err != nil {
				return []destination.Result{{Outcome: destination.GiveUp, Reason: err.Error()}}
			}
		}
		return []destination.Result{failed()}
	})
	b.Work(t)
	b.Change(t, "u1")
	for _, handedBack := range []string{"ready 3", "ready 9"} {
		b.Until(t, handedBack, func() string { return b.Of(t, "u1", "state, attempts") })
		require.NoError(t, b.Admin.Resume(t.Context(), id))
	}
	b.Until(t, "failed 15 it failed", func() string { return b.Of(t, "u1", "state, attempts, reason") })
	require.Equal(t, 15, s.Tried())
	b.Until(t, "completed 2, completed 5, discarded 5", func() string { // the first of each round is the destination's
		return b.One(t, `
			SELECT string_agg(state || ' ' || coalesce(cardinality(errors), 0), ', ' ORDER BY id)
			FROM authsync.river_job WHERE kind = 'retry_delivery'`)
	})
	log, _ := attemptsOf(t, b, 1)
	require.Len(t, log, 10, "of each delivery the last ten attempts are kept")
	require.Equal(t, []string{"15 failed 500 it failed", "14 retried 500 it failed"}, log[:2])
	require.Equal(t, "6 retried 500 it failed", log[9])
}

// hanging never answers; the first attempt fails at once.
func hanging(taken chan<- int) func(context.Context, []destination.Message) []destination.Result {
	return func(ctx context.Context, messages []destination.Message) []destination.Result {
		taken <- messages[0].Attempt
		if messages[0].Attempt > 1 {
			<-ctx.Done()
			return []destination.Result{{Outcome: destination.Retry, Reason: "there was no answer"}}
		}
		return []destination.Result{failed()}
	}
}

// An attempt that took all the time that its job has is one that failed.
func TestAttemptThatUsesUpItsTimeHasFailed(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Cut = 2 * time.Second
	taken := make(chan int, 10)
	b.Add(t, "sink", &deliverytest.Sink{Answer: hanging(taken)})
	b.Work(t)
	b.Change(t, "u1")
	require.Equal(t, 1, <-taken)
	require.Equal(t, 2, <-taken)
	b.SetPause(time.Hour)
	b.Until(t, "retrying 2 there was no answer", func() string { return b.Of(t, "u1", "state, attempts, reason") })
	b.Until(t, "retryable 1", func() string {
		return b.One(t, `SELECT concat_ws(' ', state, cardinality(errors)) FROM authsync.river_job WHERE kind = 'retry_delivery'`)
	})
}

// In the destination's job it may have begun late, and had less: it comes again.
func TestAttemptThatTheDestinationsJobCutsOffCostsNothing(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Cut = 2 * time.Second
	s := &deliverytest.Sink{Answer: takenAndSilent(make(chan destination.Message, 100))}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	waittest.Until(t, func() bool { return s.Tried() >= 3 })
	require.Equal(t, "ready 0", b.Of(t, "u1", "state, attempts"))
	s.Set(nil)
	b.Eventually(t, id, "delivered 1")
}

// One that was cut off because we are being stopped has not: whoever goes on sends it again.
func TestAttemptThatWasStoppedCostsNothing(t *testing.T) {
	t.Parallel()
	for name, own := range map[string]bool{"ByItsOwnJob": true, "ByTheDestinations": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			taken := make(chan int, 10)
			s := &deliverytest.Sink{Answer: hanging(taken), Can: destination.Capabilities{States: true}}
			id := b.Add(t, "sink", s)
			if !own { // a state that may have arrived before is no first attempt
				require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
			}
			stop := b.Work(t)
			b.Change(t, "u1")
			want := "ready 0"
			if own {
				want = "retrying 1"
				require.Equal(t, 1, <-taken)
			} else {
				b.Eventually(t, id, "ready 1")
				_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET begun = true`)
				require.NoError(t, err)
				require.NoError(t, b.Admin.Resume(t.Context(), id))
			}
			require.Equal(t, 2, <-taken)
			stop()
			require.Equal(t, want, b.Of(t, "u1", "state, attempts"))
			s.Set(nil)
			b.Work(t)
			b.Eventually(t, id, "delivered 1")
		})
	}
}

// What failed as one state goes on as one: taken up again and united with newer changes, it says
// from the first of all what differs, and each of its deliveries tells where it went.
func TestFailedStateIsUnitedAgain(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	refused := deliverytest.Always(destination.Result{Outcome: destination.GiveUp, Status: 400, Reason: "no"})
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true}, Answer: refused}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 1")
	b.Change(t, "u1")
	b.Eventually(t, id, "coalesced 1, failed 1")
	deliveries := func() string { // each: its change, state, first change, and the change that it went with
		return b.One(t, `
			SELECT string_agg(concat_ws(' ', d.change_id, d.state, coalesce(d.first_change_id::text, '-'), coalesce(m.change_id::text, '-')),
				', ' ORDER BY d.change_id)
			FROM authsync.deliveries AS d LEFT JOIN authsync.deliveries AS m ON m.id = d.coalesced_into`)
	}
	require.Equal(t, "1 coalesced - 2, 2 failed 1 -", deliveries())

	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{State: delivery.StateFailed})
	require.NoError(t, err)
	require.EqualValues(t, 1, done.Requeued)
	b.Change(t, "u1", "u1")
	b.Eventually(t, id, "blocked 2, coalesced 1, ready 1")
	require.Equal(t, "1 coalesced - 2, 2 ready 1 -, 3 blocked - -, 4 blocked - -", deliveries())
	s.Set(nil)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "coalesced 3, delivered 1")
	require.Equal(t, "1 coalesced - 2, 2 coalesced 1 4, 3 coalesced - 4, 4 delivered 1 -", deliveries())
	require.Len(t, s.Messages(), 1)
	m := s.Messages()[0]
	require.Equal(t, destination.UserCreated, m.EventType)
	require.Nil(t, m.Before, "nothing of the user has arrived yet")
	require.EqualValues(t, 4, m.ChangeID)
	require.Greater(t, m.Attempt, 1, "some of it may have")
}
