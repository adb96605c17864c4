package sender_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// idOf is the delivery of a change.
func idOf(t *testing.T, b *deliverytest.Bundle, changeID int64) (id int64) {
	t.Helper()
	require.NoError(t, b.Control.QueryRow(t.Context(), `SELECT id FROM authsync.deliveries WHERE change_id = $1`, changeID).Scan(&id))
	return id
}

// attemptsOf are the attempts of a user's delivery of a change, newest first: number, outcome, status and reason.
func attemptsOf(t *testing.T, b *deliverytest.Bundle, changeID int64) (log []string, all []admin.Attempt) {
	t.Helper()
	d, err := b.Admin.FindDelivery(t.Context(), b.ProjectID, idOf(t, b, changeID))
	require.NoError(t, err)
	for _, a := range d.AttemptLog {
		says := []string{strconv.FormatInt(a.Number, 10), a.Outcome}
		if a.Status != nil {
			says = append(says, strconv.Itoa(*a.Status))
		}
		if a.Reason != nil {
			says = append(says, *a.Reason)
		}
		log = append(log, strings.Join(says, " "))
	}
	return log, d.AttemptLog
}

// takeUp requeues the delivery of a change as a person does.
func takeUp(t *testing.T, b *deliverytest.Bundle, id uuid.UUID, changeID int64) {
	t.Helper()
	_, err := b.Control.Exec(t.Context(), `SELECT authsync.requeue_deliveries($1, $2)`, id, []int64{idOf(t, b, changeID)})
	require.NoError(t, err)
}

func TestEachAttemptIsLoggedUntilItGetsThrough(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	answers := []destination.Result{
		{Outcome: destination.Deferred, Status: 429, Reason: "slow down"},
		{Outcome: destination.Retry, Reason: "no answer"},
		{Outcome: destination.Deferred, Reason: "our limit is used up"}, // not sent
		{Outcome: destination.GiveUp, Status: 422, Reason: strings.Repeat("é", 600), Response: strings.Repeat("ü", 1500)},
		{Outcome: destination.Delivered, Status: 200, Response: "thanks"},
	}
	tried := 0 // one attempt at a time: it is of one user
	id := b.Add(t, "sink", &deliverytest.Sink{Answer: func(context.Context, []destination.Message) []destination.Result {
		tried++
		return answers[tried-1 : tried]
	}})
	begun := b.Now()
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 1")
	takeUp(t, b, id, 1)
	b.Eventually(t, id, "delivered 1")
	log, all := attemptsOf(t, b, 1)
	require.Equal(t, []string{
		"4 delivered 200", "3 failed 422 " + strings.Repeat("é", 500), "2 retried no answer", "1 deferred 429 slow down",
	}, log)
	require.Equal(t, strings.Repeat("ü", 1000), *all[1].Response)
	for i, a := range all {
		require.NotNil(t, a.DurationMS)
		require.False(t, a.AttemptedAt.Before(begun.Truncate(time.Microsecond)))
		require.True(t, i == 0 || !a.AttemptedAt.After(*all[i-1].AttemptedAt))
	}
}

// What gets through at its first attempt has no log, and still shows this attempt, after a replay, too.
func TestFirstAttemptThatSucceedsIsNotLogged(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.Always(destination.Result{Outcome: destination.Delivered, Status: 202})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 1")
	require.Equal(t, "true", b.One(t, `SELECT (attempt_log IS NULL)::text FROM authsync.deliveries`))
	log, all := attemptsOf(t, b, 1)
	require.Equal(t, []string{"1 delivered 202"}, log)
	require.Nil(t, all[0].DurationMS)

	s.Set(deliverytest.Always(destination.Result{Outcome: destination.GiveUp, Status: 400, Reason: "no"}))
	takeUp(t, b, id, 1)
	b.Eventually(t, id, "failed 1")
	log, _ = attemptsOf(t, b, 1)
	require.Equal(t, []string{"2 failed 400 no", "1 delivered 202"}, log)
}

// A newer delivery that carries on with what failed has its attempts, too.
func TestCoalescedDeliveryGoesOnWithTheLog(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	refused := deliverytest.Always(destination.Result{Outcome: destination.Retry, Status: 500})
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true}, Answer: refused}
	id := b.Add(t, "sink", s)
	b.SetPause(time.Hour)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "retrying 1")
	b.Change(t, "u1")
	b.Eventually(t, id, "blocked 1, retrying 1")
	s.Set(nil)
	b.SetPause(0)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "coalesced 1, delivered 1")
	log, _ := attemptsOf(t, b, 2)
	require.Equal(t, []string{"2 delivered", "1 retried 500"}, log)
	log, _ = attemptsOf(t, b, 1)
	require.Equal(t, []string{"1 retried 500"}, log)
}

// A result that is recorded twice, or after the delivery was changed, is logged once, or not at all.
func TestLateResultIsNotLogged(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{})
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	b.Work(t)
	b.Change(t, "u1", "u2")
	b.Eventually(t, id, "ready 2")
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, idOf(t, b, 2)))
	for range 2 {
		for change := range int64(2) {
			_, err := b.Control.Exec(t.Context(), `
				SELECT authsync.record_deliveries($1, jsonb_build_array(jsonb_build_object('id', $2::bigint, 'state', 'ready', 'attempts', 0,
					'coalesced', '[]'::jsonb, 'outcome', 'retry', 'send', 1, 'status', 500, 'keeps_external_id', true)),
					now(), 100, '1 minute', '1 minute', '1 day')`, id, idOf(t, b, change+1))
			require.NoError(t, err)
		}
	}
	log, _ := attemptsOf(t, b, 1)
	require.Equal(t, []string{"1 retried 500"}, log)
	log, _ = attemptsOf(t, b, 2)
	require.Empty(t, log)
}
