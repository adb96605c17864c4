package delivery_test

import (
	"context"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
)

// takenAndSilent takes messages and never says so, as one does whose answer meets a dead worker.
func takenAndSilent(taken chan<- destination.Message) func(context.Context, []destination.Message) []destination.Result {
	return func(ctx context.Context, messages []destination.Message) []destination.Result {
		for _, m := range messages {
			taken <- m
		}
		<-ctx.Done()
		return always(destination.Result{Outcome: destination.Retry, Reason: "no answer"})(ctx, messages)
	}
}

// The worker dies after a state was sent and before that is noted. The next state spans
// it and says that it does: only what differs would be too little, if the user changed back.
func TestStateThatMayHaveArrivedIsNoFirstAttempt(t *testing.T) {
	t.Parallel()
	for name, states := range map[string]bool{"States": true, "Events": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			taken := make(chan destination.Message, 1)
			s := &sink{traits: destination.Capabilities{States: states}, answer: takenAndSilent(taken)}
			id := b.add(t, "sink", s)
			kill := b.work(t)
			b.change(t, "u1")
			require.Equal(t, 1, (<-taken).Attempt)
			kill()
			b.eventually(t, id, "ready 1")
			require.Equal(t, "0", b.one(t, `SELECT attempts::text FROM authsync.deliveries`))

			s.set(nil)
			require.NoError(t, b.outbox.Pause(t.Context(), id, delivery.ByUser, delivery.StatePaused, ""))
			b.change(t, "u1")
			b.work(t)
			b.eventually(t, id, "blocked 1, ready 1")
			require.NoError(t, b.outbox.Resume(t.Context(), id))
			if !states { // each change is said as it was
				b.eventually(t, id, "delivered 2")
				require.Equal(t, 1, s.messages()[0].Attempt)
				return
			}
			b.eventually(t, id, "coalesced 1, delivered 1")
			require.Equal(t, 2, s.messages()[0].Attempt)
			require.Equal(t, "1", b.one(t, `SELECT attempts::text FROM authsync.deliveries WHERE state = 'delivered'`))
		})
	}
}

// What was sent stays sent: whoever is asked to come later, cancelled on the way, or
// replayed by a person says all. What is united with it says it, too.
func TestBegunSendingIsNeverTakenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = 0
	s := &sink{traits: destination.Capabilities{States: true}, answer: always(destination.Result{Outcome: destination.Deferred, Reason: "not now"})}
	id := b.add(t, "sink", s)
	b.change(t, "u1", "u1", "u1")
	stop := b.work(t)
	b.until(t, "true", func() string { return b.one(t, `SELECT every(begun)::text FROM authsync.deliveries`) })
	stop()

	var earliest int64
	require.NoError(t, b.control.QueryRow(t.Context(), `SELECT min(id) FROM authsync.deliveries`).Scan(&earliest))
	require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, earliest))
	s.set(nil)
	b.work(t)
	b.eventually(t, id, "cancelled 1, coalesced 1, delivered 1")
	require.Equal(t, 2, s.messages()[0].Attempt)

	_, err := b.control.Exec(t.Context(), `SELECT authsync.requeue_deliveries($1, ARRAY[$2::bigint])`, id, earliest)
	require.NoError(t, err)
	b.eventually(t, id, "coalesced 1, delivered 2")
	require.Equal(t, 2, s.messages()[1].Attempt)

	b.change(t, "u1")
	b.eventually(t, id, "coalesced 1, delivered 3")
	require.Equal(t, 1, s.messages()[2].Attempt, "what is delivered casts no doubt on the next")
}

// A contact that was found or made is remembered even if the rest of it failed.
func TestLinkOfAFailedAttemptIsRemembered(t *testing.T) {
	t.Parallel()
	for name, outcome := range map[string]destination.Outcome{"Retry": destination.Retry, "GiveUp": destination.GiveUp} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			link := "contact-7"
			s := &sink{traits: destination.Capabilities{States: true}, answer: always(destination.Result{Outcome: outcome, Status: 409, Reason: "the address is taken", ExternalID: &link})}
			id := b.add(t, "sink", s)
			b.work(t)
			b.change(t, "u1")
			b.until(t, link, func() string {
				return b.one(t, `SELECT external_id FROM authsync.external_ids WHERE destination_id = $1`, id)
			})
			s.set(nil)
			b.change(t, "u1")
			b.until(t, "1", func() string {
				return b.one(t, `SELECT count(*)::text FROM authsync.deliveries WHERE state = 'delivered' AND change_id = 2`)
			})
			require.Equal(t, link, s.messages()[0].ExternalID)
		})
	}
}

// A state that is sent goes no further than the deliveries that are made. If it ran ahead of
// them, a later one would be told to differ from a row that the other side no longer has.
func TestStateRunsNotAheadOfItsDeliveries(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{traits: destination.Capabilities{States: true}}
	id := b.add(t, "sink", s)
	require.NoError(t, b.outbox.Pause(t.Context(), id, delivery.ByUser, delivery.StatePaused, ""))
	b.change(t, "u1")
	b.work(t)
	b.eventually(t, id, "ready 1")
	b.until(t, "0", func() string { // it looks once more when it has gone idle
		return b.one(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'relay_changes' AND finalized_at IS NULL`)
	})
	b.apply(t, "u1") // the relay does not know yet
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 1")
	b.wake(t)
	b.eventually(t, id, "delivered 2")
	messages := s.messages()
	require.Contains(t, string(messages[0].User), `"n": 1`)
	require.Contains(t, string(messages[1].User), `"n": 2`)
	require.JSONEq(t, string(messages[0].User), string(messages[1].Before))

	// A past change that is replayed says what is known now.
	_, err := b.control.Exec(t.Context(), `
		SELECT authsync.requeue_deliveries($1, ARRAY(SELECT min(id) FROM authsync.deliveries))`, id)
	require.NoError(t, err)
	b.eventually(t, id, "delivered 2")
	b.until(t, "3", func() string { return strconv.Itoa(len(s.messages())) })
	require.Contains(t, string(s.messages()[2].User), `"n": 2`)
}
