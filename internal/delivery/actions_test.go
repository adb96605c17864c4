package delivery_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestDeliveriesAreListedByPages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: failingFor("u2", destination.Result{Outcome: destination.GiveUp, Status: 422, Response: "no", Reason: "refused"})}
	id := b.add(t, "sink", s)
	other := b.add(t, "other", &sink{})
	b.work(t)
	b.change(t, "u1", "u2", "u3", "u1")
	b.eventually(t, id, "delivered 3, failed 1")
	b.eventually(t, other, "delivered 4")

	var seen []int64
	cursor := ""
	for {
		page, next, err := b.outbox.ListDeliveries(t.Context(), b.projectID, delivery.ListFilter{DestinationID: id, Limit: 3, Cursor: cursor})
		require.NoError(t, err)
		for _, d := range page {
			require.Equal(t, "sink", d.Destination)
			seen = append(seen, d.ChangeID)
		}
		if next == "" {
			break
		}
		cursor = next
	}
	require.Equal(t, []int64{4, 3, 2, 1}, seen)
	failed, _, err := b.outbox.ListDeliveries(t.Context(), b.projectID, delivery.ListFilter{State: delivery.StateFailed, UserID: "u2", EventType: "user.created"})
	require.NoError(t, err)
	require.Len(t, failed, 1)
	found, err := b.outbox.FindDelivery(t.Context(), b.projectID, failed[0].ID)
	require.NoError(t, err)
	require.Equal(t, failed[0], found)
	require.Equal(t, destination.MessageID(id, 2), found.MessageID)
	require.Equal(t, 422, *found.LastStatus)
	require.Equal(t, "no", *found.LastResponse)
	require.Equal(t, "refused", *found.Reason)
	_, err = b.outbox.FindDelivery(t.Context(), uuid.New(), failed[0].ID)
	require.ErrorIs(t, err, delivery.ErrNoDelivery, "of another project")
	_, _, err = b.outbox.ListDeliveries(t.Context(), b.projectID, delivery.ListFilter{Cursor: "x"})
	require.ErrorIs(t, err, fault.ErrBadCursor)

	health, err := b.outbox.Health(t.Context(), b.projectID)
	require.NoError(t, err)
	require.EqualValues(t, 1, health[id].Failed)
	require.NotNil(t, health[id].LastSuccessAt)
	require.Zero(t, health[other].Failed)
}

func TestCancelledDeliveryLetsTheNextGo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	s := &sink{answer: failing()}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u1")
	b.eventually(t, id, "blocked 1, retrying 1")
	s.set(nil)
	require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, 1))
	b.eventually(t, id, "cancelled 1, delivered 1")
	require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, 1), "again")
	require.ErrorIs(t, b.outbox.Cancel(t.Context(), uuid.New(), 1), delivery.ErrNoDelivery)
	err := b.outbox.Cancel(t.Context(), b.projectID, 2)
	require.True(t, fault.Is(err, fault.WrongState), err)
	require.ErrorContains(t, err, "it is delivered already")

	require.NoError(t, b.outbox.Retry(t.Context(), b.projectID, 1), "what was cancelled can be sent after all")
	b.eventually(t, id, "delivered 2")
	require.ErrorIs(t, b.outbox.Retry(t.Context(), uuid.New(), 1), delivery.ErrNoDelivery)
}

func TestWhatWaitsIsNotRetried(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	s := &sink{answer: failing()}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u1")
	b.eventually(t, id, "blocked 1, retrying 1")
	err := b.outbox.Retry(t.Context(), b.projectID, 2)
	require.True(t, fault.Is(err, fault.WrongState), err)
	require.ErrorContains(t, err, "an earlier delivery of the same user")
}

func TestReplayChoosesByFilter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u2", "u1", "u3")
	b.eventually(t, id, "delivered 4")
	for _, c := range []struct {
		replay delivery.Replay
		want   int64
	}{
		{delivery.Replay{}, 4},
		{delivery.Replay{UserID: "u1"}, 2},
		{delivery.Replay{EventType: destination.UserCreated}, 3},
		{delivery.Replay{State: delivery.StateFailed}, 0},
		{delivery.Replay{To: time.Now().Add(-time.Hour)}, 0},
		{delivery.Replay{From: delivery.From{Time: time.Now().Add(-time.Hour)}}, 4},
		{delivery.Replay{From: delivery.From{Time: time.Now().Add(time.Hour)}}, 0},
	} {
		c.replay.DryRun = true
		done, err := b.outbox.Replay(t.Context(), b.projectID, id, c.replay)
		require.NoError(t, err)
		require.Equal(t, delivery.Replayed{Matched: c.want, DryRun: true}, done, "%+v", c.replay)
	}
	_, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{State: "blocked"})
	require.True(t, fault.Is(err, fault.WrongState), err)

	done, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{UserID: "u1"})
	require.NoError(t, err)
	require.Equal(t, delivery.Replayed{Matched: 2, Requeued: 2}, done)
	waittest.Until(t, func() bool { return len(s.messages()) == 6 })
	messages := s.messages()
	require.Equal(t, []int64{1, 4}, []int64{messages[4].ChangeID, messages[5].ChangeID})
	require.Len(t, s.got(), 4, "the ids are the same")
}

func TestReplayReachesBehindTheBeginning(t *testing.T) {
	t.Parallel()
	b := setup(t)
	users := make([]string, 700)
	for i := range users {
		users[i] = fmt.Sprint("u", i%50)
	}
	b.apply(t, users...)
	s := &sink{traits: destination.Capabilities{Parallel: 4}}
	condition := "u7-" // the e-mail of one user
	id := b.addFrom(t, "sink", s, &condition, delivery.From{})
	b.work(t)
	b.change(t, "u7")
	b.eventually(t, id, "delivered 1")
	replay := delivery.Replay{From: delivery.From{Beginning: true}, DryRun: true}
	done, err := b.outbox.Replay(t.Context(), b.projectID, id, replay)
	require.NoError(t, err)
	require.Equal(t, delivery.Replayed{Matched: 15, DryRun: true}, done)
	replay.DryRun = false
	done, err = b.outbox.Replay(t.Context(), b.projectID, id, replay)
	require.NoError(t, err)
	require.Equal(t, delivery.Replayed{Matched: 15, Requeued: 15}, done)
	b.eventually(t, id, "delivered 15")
	last := int64(0)
	for _, m := range s.messages()[1:] {
		require.Equal(t, "u7", m.UserID)
		require.Greater(t, m.ChangeID, last)
		last = m.ChangeID
	}
}

func TestPreviewShowsTheRequest(t *testing.T) {
	t.Parallel()
	for _, states := range []bool{false, true} {
		t.Run(fmt.Sprint("states ", states), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			condition := "u1"
			s := &sink{traits: destination.Capabilities{States: states}}
			id := b.addFrom(t, "sink", s, &condition, delivery.From{})
			b.apply(t, "u1", "u1", "u2")
			p, err := b.outbox.Preview(t.Context(), b.projectID, id, "u1", 0)
			require.NoError(t, err)
			require.True(t, p.Wanted)
			require.Equal(t, destination.MessageID(id, 3), p.MessageID)
			require.Len(t, p.Requests, 1)
			require.Contains(t, string(p.Requests[0].Body), `"n": 2`)
			p, err = b.outbox.Preview(t.Context(), b.projectID, id, "", 2)
			require.NoError(t, err)
			require.False(t, p.Wanted)
			_, err = b.outbox.Preview(t.Context(), b.projectID, id, "nobody", 0)
			require.ErrorIs(t, err, delivery.ErrNoChange)
			require.Zero(t, s.tried(), "nothing is sent")
		})
	}
}

// rescue runs the job that mends, once.
func (b *testBundle) rescue(t *testing.T) {
	t.Helper()
	workers, queues := river.NewWorkers(), map[string]river.QueueConfig{}
	o := b.newOutbox(t)
	o.Register(workers, queues)
	client, err := river.NewClient(riverpgxv5.New(b.control), &river.Config{
		Schema: inbox.RiverSchema, Workers: workers, Queues: map[string]river.QueueConfig{delivery.QueueRelay: queues[delivery.QueueRelay]},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	before := b.one(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'rescue_deliveries' AND state = 'completed'`)
	_, err = b.control.Exec(t.Context(), `SELECT authsync.rescue_requests(NULL)`) // as each process does each second
	require.NoError(t, err)
	_, err = client.Insert(t.Context(), delivery.Mend(), nil)
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	waittest.Until(t, func() bool {
		return b.one(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'rescue_deliveries' AND state = 'completed'`) != before
	})
	require.NoError(t, client.StopAndCancel(t.Context()))
}

// Whoever deletes jobs in River UI or SQL, half a minute later all is on its way again.
func TestDeletedJobsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	s := &sink{answer: failingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.add(t, "sink", s)
	stop := b.work(t)
	b.change(t, "bad", "bad")
	b.eventually(t, id, "blocked 1, retrying 1")
	stop()
	b.change(t, "good")
	_, err := b.control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
	require.NoError(t, err)
	b.setClock(time.Now().Add(2 * time.Hour)) // the time of the attempt has passed
	b.rescue(t)
	b.setClock(time.Time{})
	s.set(nil)
	b.work(t)
	b.eventually(t, id, "delivered 3")

	// A delivery that somebody deleted leaves those behind it held.
	stop = b.work(t)
	s.set(failing())
	b.change(t, "u9", "u9")
	b.eventually(t, id, "blocked 1, delivered 3, retrying 1")
	stop()
	_, err = b.control.Exec(t.Context(), `DELETE FROM authsync.deliveries WHERE state = 'retrying'`)
	require.NoError(t, err)
	b.rescue(t)
	s.set(nil)
	b.eventually(t, id, "delivered 4")
}

// A change of which nobody spoke, because the process died in between, is found.
func TestUnspokenChangeIsFound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1")
	b.eventually(t, id, "delivered 1")
	b.until(t, "2", func() string {
		return b.one(t, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id IS NULL`)
	})
	b.apply(t, "u1") // and no request
	b.rescue(t)
	require.Equal(t, "delivered 1", b.states(t, id), "it is looked at only now and then")
	b.setClock(time.Now().Add(6 * time.Minute))
	b.rescue(t)
	b.eventually(t, id, "delivered 2")
}

func TestOldDeliveriesAreRemovedButFailedOnesStay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{answer: failingFor("bad", destination.Result{Outcome: destination.GiveUp, Status: 422, Reason: "refused"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "bad", "good")
	b.eventually(t, id, "delivered 1, failed 1")
	for _, c := range []struct {
		before time.Time
		want   string
	}{{time.Now().Add(-time.Hour), "delivered 1, failed 1"}, {time.Now().Add(time.Hour), "failed 1"}} {
		_, err := b.control.Exec(t.Context(), `SELECT authsync.prune_deliveries($1, 100)`, c.before)
		require.NoError(t, err)
		require.Equal(t, c.want, b.states(t, id))
	}
}

// A page counts once, whoever brings it.
func TestPageIsRelayedOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.add(t, "sink", &sink{})
	page := func(from, to int) string {
		return b.one(t, `
			SELECT authsync.relay_page($1, $2, $3, jsonb_build_array(jsonb_build_object('change_id', $3::bigint, 'user_id', 'u1', 'event_type', 'user.updated',
				'changed', '["email"]'::jsonb, 'changed_at', now())), now())::text`, id, from, to)
	}
	require.Equal(t, "1", page(0, 5))
	require.Empty(t, page(0, 5), "another worker has been faster")
	require.Equal(t, "1", page(5, 6))
	require.Equal(t, "blocked 1, ready 1", b.states(t, id))
}

// Also if the one that is taken up again is the earlier of the two.
func TestOnlyOneOfAUserIsUnderWay(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := backlog(t, b.control, b.projectID, "one")
	states := func() string {
		return b.one(t, `SELECT string_agg(state, ', ' ORDER BY change_id) FROM authsync.deliveries WHERE destination_id = $1 AND user_id = 'user-1'`, id)
	}
	deliver := func() {
		_, err := b.control.Exec(t.Context(), recordCall, id, false, "delivered", 1)
		require.NoError(t, err)
	}
	require.Equal(t, "ready, blocked, blocked, blocked, blocked", states())
	deliver()
	require.Equal(t, "delivered, ready, blocked, blocked, blocked", states())
	_, err := b.control.Exec(t.Context(), `
		SELECT authsync.requeue_deliveries($1, ARRAY(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'delivered'))`, id)
	require.NoError(t, err)
	require.Equal(t, "blocked, ready, blocked, blocked, blocked", states())
	_, err = b.control.Exec(t.Context(), `
		SELECT authsync.cancel_delivery(project_id, id, now()) FROM authsync.deliveries WHERE destination_id = $1 AND user_id = 'user-1' AND state = 'ready'`, id)
	require.NoError(t, err)
	require.Equal(t, "ready, cancelled, blocked, blocked, blocked", states(), "the earliest comes next")
}
