package sender_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestFailingUserHoldsBackOnlyItself(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Response: "oops", Reason: "it failed", After: time.Hour})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "bad", "bad", "good", "good")
	b.Eventually(t, id, "blocked 1, delivered 2, retrying 1")
	require.Equal(t, "good good", s.Users())
	require.Equal(t, "500 oops it failed 1", b.One(t, `
		SELECT concat_ws(' ', last_status, last_response, reason, attempts) FROM authsync.deliveries WHERE state = 'retrying'`))
	require.Equal(t, "retrying scheduled 1", b.One(t, `
		SELECT concat_ws(' ', state, job_state, blocked_deliveries) FROM authsync.delivery_failures`))

	s.Set(nil)
	var deliveryID int64
	require.NoError(t, b.Control.QueryRow(t.Context(), `SELECT id FROM authsync.deliveries WHERE state = 'retrying'`).Scan(&deliveryID))
	require.NoError(t, b.Admin.Retry(t.Context(), b.ProjectID, deliveryID))
	b.Eventually(t, id, "delivered 4")
	require.Equal(t, "good good bad bad", s.Users())
}

func TestRetriesShowTheirErrorsAndEndAsFailed(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "bad")
	failures := func() string {
		return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE state = 'failed'`)
	}
	for end := time.Now().Add(waittest.Bound); failures() == "0"; { // others get through, so the destination is not what fails
		if time.Now().After(end) {
			b.LogTables(t)
			require.FailNow(t, "the delivery that fails does not end")
		}
		delivered := b.States(t, id)
		b.Change(t, "good")
		waittest.Until(t, func() bool { return b.States(t, id) != delivered })
	}
	b.Until(t, "15 discarded 14 the destination answered 500: see the reason in authsync.deliveries", func() string {
		return b.One(t, `
			SELECT concat_ws(' ', d.attempts, j.state, cardinality(j.errors), j.errors[14] ->> 'error')
			FROM authsync.deliveries AS d JOIN authsync.river_job AS j ON j.id = d.job_id
			WHERE d.state = 'failed'`)
	})

	// What River UI does when somebody retries the job.
	s.Set(nil)
	require.Equal(t, 1, jobstest.RetryIn(t, b.Control, []rivertype.JobState{rivertype.JobStateDiscarded}))
	b.Until(t, "0", failures)
	b.Until(t, "bad", func() string {
		return b.One(t, `SELECT user_id FROM authsync.deliveries WHERE change_id = 1 AND state = 'delivered'`)
	})
}

func TestHopelessDeliveryFailsAtOnceAndTheNextGoes(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.Always(destination.Result{Outcome: destination.GiveUp, Status: 422, Reason: "the address is refused"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u1")
	b.Eventually(t, id, "failed 2")
	require.Empty(t, b.One(t, `SELECT breaker_open_until::text FROM authsync.destination_progress`), "it answers")

	s.Set(nil)
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{State: delivery.StateFailed, DryRun: true})
	require.NoError(t, err)
	require.Equal(t, admin.Replayed{Matched: 2, DryRun: true}, done)
	require.Equal(t, "failed 2", b.States(t, id))
	done, err = b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{State: delivery.StateFailed})
	require.NoError(t, err)
	require.Equal(t, admin.Replayed{Matched: 2, Requeued: 2}, done)
	b.Eventually(t, id, "delivered 2")
	messages := s.Messages()
	require.Less(t, messages[0].ChangeID, messages[1].ChangeID)
}

func TestLaterCostsNoAttempt(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.Always(destination.Result{Outcome: destination.Deferred, After: time.Second, Reason: "the minute's requests are used up"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	waittest.Until(t, func() bool { return s.Tried() >= 5 })
	b.Until(t, "the minute's requests are used up", func() string {
		return b.One(t, `SELECT wait_reason FROM authsync.destination_health`)
	})
	require.Equal(t, "ready 0", b.One(t, `SELECT concat_ws(' ', state, attempts) FROM authsync.deliveries`))
	s.Set(nil)
	b.Eventually(t, id, "delivered 1")
	require.Equal(t, "1", b.One(t, `SELECT attempts::text FROM authsync.deliveries`))
}

func TestPausedDestinationKeepsWhatComes(t *testing.T) {
	t.Parallel()
	for outcome, state := range map[destination.Outcome]string{destination.Pause: "paused", destination.Disable: "disabled"} {
		t.Run(state, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			s := &deliverytest.Sink{Answer: deliverytest.Always(destination.Result{Outcome: outcome, Status: 401, Reason: "the token is wrong: set another one"})}
			id := b.Add(t, "sink", s)
			b.Work(t)
			b.Change(t, "u1")
			b.Until(t, state+" system the token is wrong: set another one", func() string {
				return b.One(t, `SELECT concat_ws(' ', state, state_by, state_reason) FROM authsync.destinations`)
			})
			b.Change(t, "u1", "u2")
			b.Eventually(t, id, "blocked 1, ready 2")
			require.Equal(t, 1, s.Tried())

			s.Set(nil)
			require.NoError(t, b.Admin.Resume(t.Context(), id))
			b.Eventually(t, id, "delivered 3")
			require.Empty(t, b.One(t, `SELECT state_reason FROM authsync.destinations`))
		})
	}
}

func TestPersonPauses(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, "moving house"))
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "ready 1")
	b.Until(t, "2", func() string {
		return b.One(t, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id IS NULL`)
	})
	require.Zero(t, s.Tried())
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 1")
}

func TestRetryingDeliveryWaitsForAPausedDestination(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "bad")
	b.Eventually(t, id, "retrying 1")
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	b.Eventually(t, id, "ready 1")
	b.Until(t, "", func() string {
		return b.One(t, `SELECT string_agg(kind, ',') FROM authsync.river_job WHERE kind LIKE 'deliver%' AND finalized_at IS NULL`)
	})
	s.Set(nil)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 1")
}

func TestStatesAreCoalesced(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true, Batch: 10}}
	id := b.Add(t, "sink", s)
	b.Change(t, "u1", "u1", "u2", "u1")
	b.Work(t)
	b.Eventually(t, id, "coalesced 2, delivered 2")
	for _, m := range s.Messages() {
		if m.RecordID != "u1" {
			continue
		}
		require.EqualValues(t, 4, m.ChangeID, "the newest")
		require.Equal(t, destination.UserCreated, m.EventType)
		require.Nil(t, m.Before)
		require.Contains(t, string(m.Row), `"n": 4`)
		require.Equal(t, []string{"id", "email", "raw"}, m.Changed)
	}
	require.Equal(t, "4", b.One(t, `
		SELECT string_agg(DISTINCT n.change_id::text, ',') FROM authsync.deliveries AS d JOIN authsync.deliveries AS n ON n.id = d.coalesced_into`))
}

// What failed is not lost: the next state that is sent spans it.
func TestStateSpansWhatFailedBefore(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Can: destination.Capabilities{States: true}, Answer: deliverytest.Always(destination.Result{Outcome: destination.GiveUp, Status: 400, Reason: "no"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 1")
	s.Set(nil)
	b.Change(t, "u1")
	b.Eventually(t, id, "coalesced 1, delivered 1")
	require.Nil(t, s.Messages()[0].Before)
	require.Equal(t, destination.UserCreated, s.Messages()[0].EventType)
	require.EqualValues(t, 2, s.Messages()[0].ChangeID)
}

func TestLinkIsRemembered(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	link := "contact-7"
	s := &deliverytest.Sink{Answer: deliverytest.Always(destination.Result{ExternalID: &link})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 1")
	s.Set(nil)
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 2")
	require.Equal(t, link, s.Messages()[1].ExternalID)
	none := ""
	s.Set(deliverytest.Always(destination.Result{ExternalID: &none}))
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 3")
	require.Equal(t, "0", b.One(t, `SELECT count(*)::text FROM authsync.external_ids`))
}

func TestWhatCannotBeChosenFails(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	condition := "error"
	id := b.AddFrom(t, "sink", s, &condition, admin.From{})
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 1")
	require.Contains(t, b.One(t, `SELECT reason FROM authsync.deliveries`), "cannot iterate over null")
}

func TestConfigurationThatMakesNoDestinationPausesIt(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.destinations SET options = '{"broken": 1}'`)
	require.NoError(t, err)
	b.Work(t)
	b.Change(t, "u1")
	b.Until(t, "paused option broken is not allowed: remove it", func() string {
		return b.One(t, `SELECT concat_ws(' ', state, state_reason) FROM authsync.destinations`)
	})
	_, err = b.Control.Exec(t.Context(), `UPDATE authsync.destinations SET options = '{}', updated_at = now()`)
	require.NoError(t, err)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 1")
}

func TestCrashingDestinationFailsThatChangeAlone(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: func(_ context.Context, messages []destination.Message) []destination.Result {
		if messages[0].RecordID == "u1" {
			panic("a bug")
		}
		return make([]destination.Result, len(messages))
	}}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u2")
	b.Eventually(t, id, "delivered 1, failed 1")
}

func TestProjectDatabaseAwayCostsNothing(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	b.SetFeed(func() error { return &tenantdb.DelayError{After: time.Second, Err: errors.New("nobody listens")} })
	b.Work(t)
	b.Change(t, "u1")
	b.Until(t, "the project's database cannot be used now: nobody listens", func() string {
		return b.One(t, `SELECT wait_reason FROM authsync.destination_health`)
	})
	b.SetFeed(nil)
	b.Eventually(t, id, "delivered 1")
	require.Equal(t, "1", b.One(t, `SELECT max(attempt)::text FROM authsync.river_job WHERE kind = 'relay_changes'`))
}

func TestRestoredDatabaseIsSaidAndGoesOn(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u1", "u1")
	b.Eventually(t, id, "delivered 3")

	_, err := b.Project.Exec(t.Context(), `
		DELETE FROM capydb_auth.changes WHERE id > 1;
		SELECT setval(pg_get_serial_sequence('capydb_auth.changes', 'id'), 1)`)
	require.NoError(t, err)
	b.Wake(t)
	b.Until(t, "true", func() string {
		return b.One(t, `SELECT (state_reason LIKE '%restore from a backup%')::text FROM authsync.destination_health`)
	})
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 4")
	messages := s.Messages()
	require.Greater(t, messages[3].ChangeID, messages[2].ChangeID, "no id comes again with another meaning")
}

func TestRemovedDestinationAndProjectLeaveNoJobBehind(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "retrying 1")
	_, err := b.Control.Exec(t.Context(), `SELECT authsync.remove_project($1)`, b.ProjectID)
	require.NoError(t, err)
	b.Until(t, "", func() string {
		b.Kick(t)
		return b.One(t, `SELECT string_agg(kind, ',') FROM authsync.river_job WHERE finalized_at IS NULL`)
	})
}

// A hung destination takes no more than its share of the time.
func TestHungDestinationDelaysNoOther(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	release := make(chan struct{})
	hung := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 4}, Answer: func(ctx context.Context, messages []destination.Message) []destination.Result {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return deliverytest.Failing()(ctx, messages)
	}}
	quick := &deliverytest.Sink{}
	b.Add(t, "hung", hung)
	quickID := b.Add(t, "quick", quick)
	b.Work(t)
	for i := range 3 {
		b.Change(t, fmt.Sprint("u", i))
		b.Eventually(t, quickID, fmt.Sprint("delivered ", i+1))
	}
	close(release)
}

// A run whose time is up gives way to others. That is no failure, after which the next would have to wait, longer each time.
func TestGivingWayIsNoFailure(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Slice = 20 * time.Millisecond
	s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 1}, Answer: func(_ context.Context, messages []destination.Message) []destination.Result {
		<-time.After(2 * b.Slice) // as long as a slow receiver takes
		return make([]destination.Result, len(messages))
	}}
	id := b.Add(t, "sink", s)
	b.Work(t)
	for n := range 5 {
		b.Change(t, fmt.Sprint("u", n), fmt.Sprint("v", n), fmt.Sprint("w", n))
		b.Eventually(t, id, fmt.Sprint("delivered ", 3*n+3))
	}
	require.Equal(t, "0", b.One(t, `SELECT count(*) FROM authsync.river_job WHERE metadata #>> '{output,consecutive_failures}' IS NOT NULL`))
	require.NotEqual(t, "0", b.One(t, `SELECT sum((metadata ->> 'snoozes')::int) FROM authsync.river_job`), "runs gave way")
}
