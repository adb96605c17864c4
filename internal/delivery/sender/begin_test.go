package sender_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// takenAndSilent takes messages and never says so, as one does whose answer meets a dead worker.
func takenAndSilent(taken chan<- destination.Message) func(context.Context, []destination.Message) []destination.Result {
	return func(ctx context.Context, messages []destination.Message) []destination.Result {
		for _, m := range messages {
			taken <- m
		}
		<-ctx.Done()
		return deliverytest.Always(destination.Result{Outcome: destination.Retry, Reason: "no answer"})(ctx, messages)
	}
}

// The worker dies after a state was sent and before that is noted. The next state spans
// it and says that it does: only what differs would be too little, if the user changed back.
func TestStateThatMayHaveArrivedIsNoFirstAttempt(t *testing.T) {
	t.Parallel()
	for name, states := range map[string]bool{"States": true, "Events": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			taken := make(chan destination.Message, 1)
			s := &deliverytest.Sink{Can: destination.Capabilities{States: states}, Answer: takenAndSilent(taken)}
			id := b.Add(t, "sink", s)
			kill := b.Work(t)
			b.Change(t, "u1")
			require.Equal(t, 1, (<-taken).Attempt)
			kill()
			b.Eventually(t, id, "ready 1")
			require.Equal(t, "0", b.One(t, `SELECT attempts::text FROM authsync.deliveries`))
			log, _ := attemptsOf(t, b, 1)
			if states {
				require.Equal(t, []string{"1 unknown"}, log)
			} else {
				require.Empty(t, log, "nobody knows that it was sent")
			}

			s.Set(nil)
			require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
			b.Change(t, "u1")
			b.Work(t)
			b.Eventually(t, id, "blocked 1, ready 1")
			require.NoError(t, b.Admin.Resume(t.Context(), id))
			if !states { // each change is said as it was
				b.Eventually(t, id, "delivered 2")
				require.Equal(t, 1, s.Messages()[0].Attempt)
				return
			}
			b.Eventually(t, id, "coalesced 1, delivered 1")
			require.Equal(t, 2, s.Messages()[0].Attempt)
			require.Equal(t, "1", b.One(t, `SELECT attempts::text FROM authsync.deliveries WHERE state = 'delivered'`))
		})
	}
}

// Each attempt whose process dies is shown, also one that is not the first: what began without an end is unknown.
func TestAnAttemptWithoutAnEndIsInTheLog(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = 0
	refused := deliverytest.Always(destination.Result{Outcome: destination.Retry, Status: 500})
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true}, Answer: refused}
	id := b.Add(t, "sink", s)
	b.SetPause(time.Hour)
	kill := b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "retrying 1")
	kill()

	taken := make(chan destination.Message, 1)
	for range 2 { // it dies in the middle of the second attempt, and of the third
		s.Set(takenAndSilent(taken))
		_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET state = 'ready', job_id = NULL, next_attempt_at = NULL`)
		require.NoError(t, err)
		require.NoError(t, b.Admin.Resume(t.Context(), id))
		kill = b.Work(t)
		<-taken
		kill()
	}
	log, all := attemptsOf(t, b, 1)
	require.Equal(t, []string{"3 unknown", "2 unknown", "1 retried 500"}, log)
	require.NotNil(t, all[0].AttemptedAt)
	require.Nil(t, all[0].Requests, "what it sent is not known")
	require.NotNil(t, all[2].Requests)

	s.Set(nil)
	b.Work(t)
	b.Eventually(t, id, "delivered 1")
	log, _ = attemptsOf(t, b, 1)
	require.Equal(t, []string{"4 delivered", "3 unknown", "2 unknown", "1 retried 500"}, log)
}

// What was sent stays sent: whoever is asked to come later, cancelled on the way, or
// replayed by a person says all. What is united with it says it, too.
func TestBegunSendingIsNeverTakenBack(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = 0
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true}, Answer: deliverytest.Always(destination.Result{Outcome: destination.Deferred, Reason: "not now"})}
	id := b.Add(t, "sink", s)
	b.Change(t, "u1", "u1", "u1")
	stop := b.Work(t)
	b.Until(t, "true", func() string { return b.One(t, `SELECT every(begun)::text FROM authsync.deliveries`) })
	stop()

	var earliest int64
	require.NoError(t, b.Control.QueryRow(t.Context(), `SELECT min(id) FROM authsync.deliveries`).Scan(&earliest))
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, earliest))
	s.Set(nil)
	b.Work(t)
	b.Eventually(t, id, "cancelled 1, coalesced 1, delivered 1")
	require.Equal(t, 2, s.Messages()[0].Attempt)

	_, err := b.Control.Exec(t.Context(), `SELECT authsync.requeue_deliveries($1, ARRAY[$2::bigint])`, id, earliest)
	require.NoError(t, err)
	b.Eventually(t, id, "coalesced 1, delivered 2")
	require.Equal(t, 2, s.Messages()[1].Attempt)

	b.Change(t, "u1")
	b.Eventually(t, id, "coalesced 1, delivered 3")
	require.Equal(t, 1, s.Messages()[2].Attempt, "what is delivered casts no doubt on the next")
}

// A contact that was found or made is remembered even if the rest of it failed.
func TestLinkOfAFailedAttemptIsRemembered(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]destination.Outcome{"Retry": destination.Retry, "GiveUp": destination.GiveUp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			link := "contact-7"
			s := &deliverytest.Sink{Can: destination.Capabilities{States: true}, Answer: deliverytest.Always(destination.Result{Outcome: outcome, Status: 409, Reason: "the address is taken", ExternalID: &link})}
			id := b.Add(t, "sink", s)
			b.Work(t)
			b.Change(t, "u1")
			b.Until(t, link, func() string {
				return b.One(t, `SELECT external_id FROM authsync.external_ids WHERE destination_id = $1`, id)
			})
			s.Set(nil)
			b.Change(t, "u1")
			b.Until(t, "1", func() string {
				return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE state = 'delivered' AND change_id = 2`)
			})
			require.Equal(t, link, s.Messages()[0].ExternalID)
		})
	}
}

// A state that is sent goes no further than the deliveries that are made. If it ran ahead of
// them, a later one would be told to differ from a row that the other side no longer has.
func TestStateRunsNotAheadOfItsDeliveries(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true}}
	id := b.Add(t, "sink", s)
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	b.Change(t, "u1")
	b.Work(t)
	b.Eventually(t, id, "ready 1")
	b.Until(t, "0", func() string { // it looks once more when it has gone idle
		return b.One(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'relay_changes' AND finalized_at IS NULL`)
	})
	b.Apply(t, "u1") // the relay does not know yet
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 1")
	b.Wake(t)
	b.Eventually(t, id, "delivered 2")
	messages := s.Messages()
	require.Contains(t, string(messages[0].Row), `"n": 1`)
	require.Contains(t, string(messages[1].Row), `"n": 2`)
	require.JSONEq(t, string(messages[0].Row), string(messages[1].Before))

	// A past change that is replayed says what is known now.
	_, err := b.Control.Exec(t.Context(), `
		SELECT authsync.requeue_deliveries($1, ARRAY(SELECT min(id) FROM authsync.deliveries))`, id)
	require.NoError(t, err)
	b.Eventually(t, id, "delivered 2")
	b.Until(t, "3", func() string { return strconv.Itoa(len(s.Messages())) })
	require.Contains(t, string(s.Messages()[2].Row), `"n": 2`)
}
