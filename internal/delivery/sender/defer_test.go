package sender_test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// deferredResult is what an answer 429 with a Retry-After of an hour is made of.
func deferredResult() destination.Result {
	return destination.Result{Outcome: destination.Deferred, Status: 429, Response: "slow down", After: time.Hour, Reason: "it answered 429"}
}

// othersUntil lets changes of other users arrive until a delivery is in a state.
func othersUntil(t *testing.T, b *deliverytest.Bundle, user, columns, want string) {
	t.Helper()
	for end := time.Now().Add(waittest.Bound); b.Of(t, user, columns) != want; {
		if time.Now().After(end) {
			b.LogTables(t)
			require.Equal(t, want, b.Of(t, user, columns))
		}
		b.Change(t, "good-"+uuid.NewString())
		b.Until(t, "0", func() string { // each of them gets through, however often the one is deferred
			return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE user_id LIKE 'good%' AND state <> 'delivered'`)
		})
	}
}

// Of one user the other side says "later" each time. Soon that delays nobody else; it costs attempts
// when it is plain that nobody else is meant, and so comes to an end.
func TestUserThatAloneIsPutOffEndsAsFailed(t *testing.T) {
	t.Parallel()
	for _, parallel := range []int{4, 16} {
		t.Run(fmt.Sprint("Parallel", parallel), func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: parallel}}
			var told atomic.Bool
			s.Answer = func(ctx context.Context, messages []destination.Message) []destination.Result {
				if messages[0].Deferred {
					told.Store(true)
				}
				return deliverytest.FailingFor("bad", deferredResult())(ctx, messages)
			}
			b.Add(t, "sink", s)
			b.Work(t)
			b.Change(t, "bad")
			othersUntil(t, b, "bad", "state", "retrying")
			require.Equal(t, "0 429 slow down", b.Of(t, "bad", "attempts, last_status, last_response"))
			require.Equal(t, "it answered 429; others that were sent later got through", b.Of(t, "bad", "reason"))

			// It waits for as long as the other side says, and nobody waits with it.
			b.SetPause(time.Hour)
			b.Until(t, "true true", func() string {
				return b.One(t, `
					SELECT concat_ws(' ', every(d.next_attempt_at > i.soon)::text, every(j.scheduled_at > i.soon)::text)
					FROM authsync.deliveries AS d JOIN authsync.river_job AS j ON j.id = d.job_id
					CROSS JOIN (SELECT now() + interval '50 minutes' AS soon) AS i
					WHERE d.user_id = 'bad' AND j.state = 'scheduled'`)
			})
			b.Change(t, "good", "good", "good")
			b.Until(t, "3", func() string {
				return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE user_id = 'good' AND state = 'delivered'`)
			})
			b.SetPause(20 * time.Millisecond)
			b.Kick(t)

			othersUntil(t, b, "bad", "state, attempts", "failed 15")
			require.True(t, told.Load(), "the destination is not told that this one is deferred alone")
			require.Equal(t, "it answered 429; others that were sent later got through", b.Of(t, "bad", "reason"))
			b.Until(t, "discarded 15", func() string {
				return b.One(t, `
					SELECT concat_ws(' ', j.state, cardinality(j.errors))
					FROM authsync.deliveries AS d JOIN authsync.river_job AS j ON j.id = d.job_id WHERE d.user_id = 'bad'`)
			})
		})
	}
}

// As soon as it is known that one alone is deferred, the others need not wait for it.
func TestWhoIsPutOffAloneStopsNobody(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", deferredResult())}
	id := b.Add(t, "sink", s)
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	b.Work(t)
	b.Change(t, "bad")
	b.Eventually(t, id, "ready 1")
	_, err := b.Control.Exec(t.Context(), `
		UPDATE authsync.deliveries SET deferred_at = now() - interval '2 minutes';
		UPDATE authsync.destination_progress SET last_success_sent_at = now() - interval '1 minute'`)
	require.NoError(t, err)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Until(t, "retrying 0 1", func() string { return b.Of(t, "bad", "state, attempts, deferrals") })
	b.Change(t, "good")
	b.Eventually(t, id, "delivered 1, retrying 1")
}

// While nobody gets through, "later" is meant for all, however long that lasts.
func TestLaterForEverybodyCostsNobodyAnAttempt(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 4}}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "first")
	b.Eventually(t, id, "delivered 1")
	s.Set(deliverytest.Always(deferredResult()))
	users := make([]string, 4)
	for i := range users {
		users[i] = "u" + strconv.Itoa(i)
	}
	b.Change(t, users...)
	waittest.Until(t, func() bool { return s.Tried() > 70 }) // more than fifteen of each
	require.Equal(t, "0 0", b.One(t, `
		SELECT concat_ws(' ', sum(attempts), sum(deferrals)) FROM authsync.deliveries WHERE user_id LIKE 'u%'`))
	require.Equal(t, "delivered 1, ready 4", b.States(t, id))
	s.Set(nil)
	b.Eventually(t, id, "delivered 5")
	require.Equal(t, "5", b.One(t, `SELECT sum(attempts)::text FROM authsync.deliveries`))
}

// Whom our own limits hold back, or those of an account by the word of the other side, is not
// deferred alone, whoever gets through meanwhile.
func TestSharedLimitsCountForNobody(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]destination.Result{
		"NotSent":  {Outcome: destination.Deferred, After: time.Second, Shared: true, Reason: "10 requests in 10 s are used up"},
		"Answered": {Outcome: destination.Deferred, Status: 429, After: time.Second, Shared: true, Reason: "the portal's limit is reached"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			var mu sync.Mutex
			told := 0
			bad := deliverytest.FailingFor("bad", result)
			s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 4}}
			s.Answer = func(ctx context.Context, messages []destination.Message) []destination.Result {
				if messages[0].RecordID == "bad" {
					mu.Lock()
					defer mu.Unlock()
					told++
				}
				return bad(ctx, messages)
			}
			b.Add(t, "sink", s)
			b.Work(t)
			b.Change(t, "bad")
			times := func() string {
				mu.Lock()
				defer mu.Unlock()
				return strconv.FormatBool(told > 12)
			}
			b.Until(t, "true", func() string {
				b.Change(t, "good")
				return times()
			})
			require.Equal(t, "ready 0 0 "+result.Reason, b.Of(t, "bad", "state, attempts, deferrals, reason"))
			require.Equal(t, strconv.FormatBool(result.Status != 0), b.Of(t, "bad", "(last_attempt_at IS NOT NULL)::text"))
		})
	}
}

// A backlog meets a limit that we know nothing of: it goes at the pace of the other side.
func TestBacklogKeepsToALimitThatIsFoundByAnswers(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Minute
	const (
		limit, window = 20, 100 * time.Millisecond
		backlog       = 300
	)
	var mu sync.Mutex
	var taken []time.Time
	refused := 0
	s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 16}}
	s.Answer = func(context.Context, []destination.Message) []destination.Result {
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		if n := len(taken); n >= limit && now.Sub(taken[n-limit]) < window {
			refused++
			return []destination.Result{{Outcome: destination.Deferred, Status: 429, After: window, Reason: "it answered 429"}}
		}
		taken = append(taken, now)
		return make([]destination.Result, 1)
	}
	id := b.Add(t, "sink", s)
	users := make([]string, backlog)
	for i := range users {
		users[i] = "u" + strconv.Itoa(i)
	}
	b.Change(t, users...)
	b.Work(t)
	b.Eventually(t, id, fmt.Sprint("delivered ", backlog))
	require.Equal(t, strconv.Itoa(backlog), b.One(t, `SELECT sum(attempts)::text FROM authsync.deliveries`), "no attempt was used up")
	require.Positive(t, refused, "the limit was never met, so nothing was tested")
	require.Less(t, refused, backlog, "hardly more than are on their way each time are refused")
	own, err := strconv.Atoi(b.One(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'retry_delivery'`))
	require.NoError(t, err)
	require.Less(t, own, backlog/10, "nobody is deferred alone")
	t.Logf("%d in %s, %d answers 429, %d jobs of their own", backlog, taken[len(taken)-1].Sub(taken[0]), refused, own)
}

// As the probe of the breaker it says that somebody is there, which is what was asked.
func TestPutOffProbeClosesTheBreaker(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.Always(deferredResult())}
	id := b.Add(t, "sink", s)
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "ready 1")
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET deferrals = 9, deferred_at = now() - interval '1 hour'`)
	require.NoError(t, err)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	_, err = b.Control.Exec(t.Context(), `UPDATE authsync.destination_progress SET breaker_open_until = now(), breaker_trips = 1, last_success_sent_at = now()`)
	require.NoError(t, err)
	b.Until(t, "0", func() string {
		return b.One(t, `SELECT concat_ws(' ', breaker_trips, breaker_open_until) FROM authsync.destination_progress`)
	})
	require.Equal(t, "0", b.Of(t, "u1", "attempts"))
}

// Who has it tried again begins anew.
func TestPersonEndsThatItIsPutOff(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", failed())}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "bad")
	b.Eventually(t, id, "retrying 1")
	deliveryID, err := strconv.ParseInt(b.Of(t, "bad", "id"), 10, 64)
	require.NoError(t, err)
	for name, act := range map[string]func() error{
		"Retry":  func() error { return b.Admin.Retry(t.Context(), b.ProjectID, deliveryID) },
		"Resume": func() error { return b.Admin.Resume(t.Context(), id) },
		"Replay": func() error {
			if err := b.Admin.Cancel(t.Context(), b.ProjectID, deliveryID); err != nil {
				return err
			}
			_, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{UserID: "bad"})
			return err
		},
	} {
		before := s.Tried()
		_, err = b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET deferrals = 7, deferred_at = now()`)
		require.NoError(t, err)
		require.NoError(t, act(), name)
		b.Until(t, "retrying 0", func() string { return b.Of(t, "bad", "state, deferrals, deferred_at") })
		require.Greater(t, s.Tried(), before, name)
	}
}

// More users may be deferred than are sent at a time, and they come first: somebody else goes along
// with them, and shows whether all are meant.
func TestSomebodyElseGoesAlongWithWhoIsPutOff(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := deliverytest.Backlog(t, b.Control, b.ProjectID, "one")
	take := func(except string) string {
		return b.One(t, `
			SELECT string_agg(change_id::text, ' ' ORDER BY n)
			FROM authsync.take_deliveries($1, false, 4, ARRAY(SELECT id FROM authsync.deliveries WHERE change_id = ANY ($2::text::bigint[])), NULL, NULL)
			WITH ORDINALITY AS t (id, project_id, change_id, first_change_id, last_change_id, as_of, record_type, record_id, event_type, changed, changed_at,
				state, attempts, begun, coalesced, external_id, n)`, id, except)
	}
	require.Equal(t, "1 2 3 4", take("{}"))
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET deferred_at = now() WHERE change_id IN (1, 2, 3, 800)`)
	require.NoError(t, err)
	require.Equal(t, "1 799 2 3", take("{}"), "the newest that was not deferred")
	require.Equal(t, "3 798 4 5", take("{1,2,799}"))
	require.Equal(t, "4 5 6 7", take("{1,2,3}"), "nobody is deferred of these")
}
