package delivery_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// failingFor fails the changes of one user.
func failingFor(user string, result destination.Result) func(context.Context, []destination.Message) []destination.Result {
	return func(_ context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i, m := range messages {
			if m.UserID == user {
				results[i] = result
			}
		}
		return results
	}
}

func (s *sink) users() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]string, len(s.arrived))
	for i, m := range s.arrived {
		users[i] = m.UserID
	}
	return strings.Join(users, " ")
}

func TestFailingUserHoldsBackOnlyItself(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	s := &sink{answer: failingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Response: "oops", Reason: "it failed", After: time.Hour})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "bad", "bad", "good", "good")
	b.eventually(t, id, "blocked 1, delivered 2, retrying 1")
	require.Equal(t, "good good", s.users())
	require.Equal(t, "500 oops it failed 1", b.one(t, `
		SELECT concat_ws(' ', last_status, last_response, reason, attempts) FROM authsync.deliveries WHERE state = 'retrying'`))
	require.Equal(t, "retrying scheduled 1", b.one(t, `
		SELECT concat_ws(' ', state, job_state, blocked_deliveries) FROM authsync.delivery_failures`))

	s.set(nil)
	var deliveryID int64
	require.NoError(t, b.control.QueryRow(t.Context(), `SELECT id FROM authsync.deliveries WHERE state = 'retrying'`).Scan(&deliveryID))
	require.NoError(t, b.outbox.Retry(t.Context(), b.projectID, deliveryID))
	b.eventually(t, id, "delivered 4")
	require.Equal(t, "good good bad bad", s.users())
}

func TestRetriesShowTheirErrorsAndEndAsFailed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: failingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "bad")
	failed := func() string {
		return b.one(t, `SELECT count(*)::text FROM authsync.deliveries WHERE state = 'failed'`)
	}
	for end := time.Now().Add(waittest.Bound); failed() == "0"; { // others get through, so the destination is not what fails
		if time.Now().After(end) {
			b.logTables(t)
			require.FailNow(t, "the delivery that fails does not end")
		}
		delivered := b.states(t, id)
		b.change(t, "good")
		waittest.Until(t, func() bool { return b.states(t, id) != delivered })
	}
	b.until(t, "15 discarded 14 the destination answered 500: see the reason in authsync.deliveries", func() string {
		return b.one(t, `
			SELECT concat_ws(' ', d.attempts, j.state, cardinality(j.errors), j.errors[14] ->> 'error')
			FROM authsync.deliveries AS d JOIN authsync.river_job AS j ON j.id = d.job_id
			WHERE d.state = 'failed'`)
	})

	// What River UI does when somebody retries the job.
	s.set(nil)
	require.Equal(t, 1, jobstest.RetryIn(t, b.control, []rivertype.JobState{rivertype.JobStateDiscarded}))
	b.until(t, "0", failed)
	b.until(t, "bad", func() string {
		return b.one(t, `SELECT user_id FROM authsync.deliveries WHERE change_id = 1 AND state = 'delivered'`)
	})
}

func TestHopelessDeliveryFailsAtOnceAndTheNextGoes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: always(destination.Result{Outcome: destination.GiveUp, Status: 422, Reason: "the address is refused"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u1")
	b.eventually(t, id, "failed 2")
	require.Empty(t, b.one(t, `SELECT breaker_open_until::text FROM authsync.destination_progress`), "it answers")

	s.set(nil)
	done, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{State: delivery.StateFailed, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, delivery.Replayed{Matched: 2, DryRun: true}, done)
	require.Equal(t, "failed 2", b.states(t, id))
	done, err = b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{State: delivery.StateFailed})
	require.NoError(t, err)
	require.Equal(t, delivery.Replayed{Matched: 2, Requeued: 2}, done)
	b.eventually(t, id, "delivered 2")
	messages := s.messages()
	require.Less(t, messages[0].ChangeID, messages[1].ChangeID)
}

func TestLaterCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: always(destination.Result{Outcome: destination.Deferred, After: time.Second, Reason: "the minute's requests are used up"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1")
	waittest.Until(t, func() bool { return s.tried() >= 5 })
	b.until(t, "the minute's requests are used up", func() string {
		return b.one(t, `SELECT wait_reason FROM authsync.destination_health`)
	})
	require.Equal(t, "ready 0", b.one(t, `SELECT concat_ws(' ', state, attempts) FROM authsync.deliveries`))
	s.set(nil)
	b.eventually(t, id, "delivered 1")
	require.Equal(t, "1", b.one(t, `SELECT attempts::text FROM authsync.deliveries`))
}

func TestPausedDestinationKeepsWhatComes(t *testing.T) {
	t.Parallel()
	for outcome, state := range map[destination.Outcome]string{destination.Pause: "paused", destination.Disable: "disabled"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			s := &sink{answer: always(destination.Result{Outcome: outcome, Status: 401, Reason: "the token is wrong: set another one"})}
			id := b.add(t, "sink", s)
			b.work(t)
			b.change(t, "u1")
			b.until(t, state+" system the token is wrong: set another one", func() string {
				return b.one(t, `SELECT concat_ws(' ', state, state_by, state_reason) FROM authsync.destinations`)
			})
			b.change(t, "u1", "u2")
			b.eventually(t, id, "blocked 1, ready 2")
			require.Equal(t, 1, s.tried())

			s.set(nil)
			require.NoError(t, b.outbox.Resume(t.Context(), id))
			b.eventually(t, id, "delivered 3")
			require.Empty(t, b.one(t, `SELECT state_reason FROM authsync.destinations`))
		})
	}
}

func TestPersonPauses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "sink", s)
	require.NoError(t, b.outbox.Pause(t.Context(), id, delivery.ByUser, delivery.StatePaused, "moving house"))
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, id, "ready 1")
	b.until(t, "2", func() string {
		return b.one(t, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id IS NULL`)
	})
	require.Zero(t, s.tried())
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 1")
}

func TestRetryingDeliveryWaitsForAPausedDestination(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: failingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "bad")
	b.eventually(t, id, "retrying 1")
	require.NoError(t, b.outbox.Pause(t.Context(), id, delivery.ByUser, delivery.StatePaused, ""))
	b.eventually(t, id, "ready 1")
	b.until(t, "", func() string {
		return b.one(t, `SELECT string_agg(kind, ',') FROM authsync.river_job WHERE kind LIKE 'deliver%' AND finalized_at IS NULL`)
	})
	s.set(nil)
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 1")
}

func TestStatesAreCoalesced(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{traits: destination.Capabilities{States: true, Batch: 10}}
	id := b.add(t, "sink", s)
	b.change(t, "u1", "u1", "u2", "u1")
	b.work(t)
	b.eventually(t, id, "coalesced 2, delivered 2")
	for _, m := range s.messages() {
		if m.UserID != "u1" {
			continue
		}
		require.EqualValues(t, 4, m.ChangeID, "the newest")
		require.Equal(t, destination.UserCreated, m.EventType)
		require.Nil(t, m.Before)
		require.Contains(t, string(m.User), `"n": 4`)
		require.Equal(t, []string{"id", "email", "raw"}, m.Changed)
	}
	require.Equal(t, "4", b.one(t, `
		SELECT string_agg(DISTINCT n.change_id::text, ',') FROM authsync.deliveries AS d JOIN authsync.deliveries AS n ON n.id = d.coalesced_into`))
}

// What failed is not lost: the next state that is sent spans it.
func TestStateSpansWhatFailedBefore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{traits: destination.Capabilities{States: true}, answer: always(destination.Result{Outcome: destination.GiveUp, Status: 400, Reason: "no"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, id, "failed 1")
	s.set(nil)
	b.change(t, "u1")
	b.eventually(t, id, "coalesced 1, delivered 1")
	require.Nil(t, s.messages()[0].Before)
	require.Equal(t, destination.UserCreated, s.messages()[0].EventType)
	require.EqualValues(t, 2, s.messages()[0].ChangeID)
}

func TestLinkIsRemembered(t *testing.T) {
	t.Parallel()
	b := setup(t)
	link := "contact-7"
	s := &sink{answer: always(destination.Result{ExternalID: &link})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, id, "delivered 1")
	s.set(nil)
	b.change(t, "u1")
	b.eventually(t, id, "delivered 2")
	require.Equal(t, link, s.messages()[1].ExternalID)
	none := ""
	s.set(always(destination.Result{ExternalID: &none}))
	b.change(t, "u1")
	b.eventually(t, id, "delivered 3")
	require.Equal(t, "0", b.one(t, `SELECT count(*)::text FROM authsync.external_ids`))
}

func TestWhatCannotBeChosenFails(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	condition := "error"
	id := b.addFrom(t, "sink", s, &condition, delivery.From{})
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, id, "failed 1")
	require.Contains(t, b.one(t, `SELECT reason FROM authsync.deliveries`), "cannot iterate over null")
}

func TestConfigurationThatMakesNoDestinationPausesIt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "sink", s)
	_, err := b.control.Exec(t.Context(), `UPDATE authsync.destinations SET options = '{"broken": 1}'`)
	require.NoError(t, err)
	b.work(t)
	b.change(t, "u1")
	b.until(t, "paused option broken is not allowed: remove it", func() string {
		return b.one(t, `SELECT concat_ws(' ', state, state_reason) FROM authsync.destinations`)
	})
	_, err = b.control.Exec(t.Context(), `UPDATE authsync.destinations SET options = '{}', updated_at = now()`)
	require.NoError(t, err)
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 1")
}

func TestCrashingDestinationFailsThatChangeAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: func(_ context.Context, messages []destination.Message) []destination.Result {
		if messages[0].UserID == "u1" {
			panic("a bug")
		}
		return make([]destination.Result, len(messages))
	}}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u2")
	b.eventually(t, id, "delivered 1, failed 1")
}

func TestProjectDatabaseAwayCostsNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "sink", s)
	b.setFeed(func() error { return &tenantdb.DelayError{After: time.Second, Err: errors.New("nobody listens")} })
	b.work(t)
	b.change(t, "u1")
	b.until(t, "the project's database cannot be used now: nobody listens", func() string {
		return b.one(t, `SELECT wait_reason FROM authsync.destination_health`)
	})
	b.setFeed(nil)
	b.eventually(t, id, "delivered 1")
	require.Equal(t, "1", b.one(t, `SELECT max(attempt)::text FROM authsync.river_job WHERE kind = 'relay_changes'`))
}

func TestRestoredDatabaseIsSaidAndGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u1", "u1")
	b.eventually(t, id, "delivered 3")

	_, err := b.project.Exec(t.Context(), `
		DELETE FROM capydb_auth.changes WHERE id > 1;
		SELECT setval(pg_get_serial_sequence('capydb_auth.changes', 'id'), 1)`)
	require.NoError(t, err)
	b.wake(t)
	b.until(t, "true", func() string {
		return b.one(t, `SELECT (state_reason LIKE '%restore from a backup%')::text FROM authsync.destination_health`)
	})
	b.change(t, "u1")
	b.eventually(t, id, "delivered 4")
	messages := s.messages()
	require.Greater(t, messages[3].ChangeID, messages[2].ChangeID, "no id comes again with another meaning")
}

func TestRemovedDestinationAndProjectLeaveNoJobBehind(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: failing()}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, id, "retrying 1")
	_, err := b.control.Exec(t.Context(), `SELECT authsync.remove_project($1)`, b.projectID)
	require.NoError(t, err)
	b.until(t, "", func() string {
		b.kick(t)
		return b.one(t, `SELECT string_agg(kind, ',') FROM authsync.river_job WHERE finalized_at IS NULL`)
	})
}

// A hung destination takes no more than its share of the time.
func TestHungDestinationDelaysNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	release := make(chan struct{})
	hung := &sink{traits: destination.Capabilities{Parallel: 4}, answer: func(ctx context.Context, messages []destination.Message) []destination.Result {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return failing()(ctx, messages)
	}}
	quick := &sink{}
	b.add(t, "hung", hung)
	quickID := b.add(t, "quick", quick)
	b.work(t)
	for i := range 3 {
		b.change(t, fmt.Sprint("u", i))
		b.eventually(t, quickID, fmt.Sprint("delivered ", i+1))
	}
	close(release)
}

// A run whose time is up gives way to others. That is no failure, after which the next would have to wait, longer each time.
func TestGivingWayIsNoFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.slice = 20 * time.Millisecond
	b.outbox = b.newOutbox(t)
	s := &sink{traits: destination.Capabilities{Parallel: 1}, answer: func(_ context.Context, messages []destination.Message) []destination.Result {
		<-time.After(2 * b.slice) // as long as a slow receiver takes
		return make([]destination.Result, len(messages))
	}}
	id := b.add(t, "sink", s)
	b.work(t)
	for n := range 5 {
		b.change(t, fmt.Sprint("u", n), fmt.Sprint("v", n), fmt.Sprint("w", n))
		b.eventually(t, id, fmt.Sprint("delivered ", 3*n+3))
	}
	require.Equal(t, "0", b.one(t, `SELECT count(*) FROM authsync.river_job WHERE metadata #>> '{output,consecutive_failures}' IS NOT NULL`))
	require.NotEqual(t, "0", b.one(t, `SELECT sum((metadata ->> 'snoozes')::int) FROM authsync.river_job`), "runs gave way")
}
