package admin_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestDeliveriesAreListedByPages(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("u2", destination.Result{Outcome: destination.GiveUp, Status: 422, Response: "no", Reason: "refused"})}
	id := b.Add(t, "sink", s)
	other := b.Add(t, "other", &deliverytest.Sink{})
	b.Work(t)
	b.Change(t, "u1", "u2", "u3", "u1")
	b.Eventually(t, id, "delivered 3, failed 1")
	b.Eventually(t, other, "delivered 4")

	var seen []int64
	cursor := ""
	for {
		page, next, err := b.Admin.ListDeliveries(t.Context(), b.ProjectID, admin.ListFilter{DestinationID: id, Limit: 3, Cursor: cursor})
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
	failed, _, err := b.Admin.ListDeliveries(t.Context(), b.ProjectID, admin.ListFilter{State: delivery.StateFailed, UserID: "u2", EventType: "user.created"})
	require.NoError(t, err)
	require.Len(t, failed, 1)
	found, err := b.Admin.FindDelivery(t.Context(), b.ProjectID, failed[0].ID)
	require.NoError(t, err)
	require.Equal(t, failed[0], found.Delivery)
	require.Equal(t, destination.MessageID(id, 2), found.MessageID)
	require.Equal(t, 422, *found.LastStatus)
	require.Equal(t, "no", *found.LastResponse)
	require.Equal(t, "refused", *found.Reason)
	_, err = b.Admin.FindDelivery(t.Context(), uuid.New(), failed[0].ID)
	require.ErrorIs(t, err, admin.ErrNoDelivery, "of another project")
	_, _, err = b.Admin.ListDeliveries(t.Context(), b.ProjectID, admin.ListFilter{Cursor: "x"})
	require.ErrorIs(t, err, fault.ErrBadCursor)

	health, err := b.Admin.Health(t.Context(), b.ProjectID)
	require.NoError(t, err)
	require.EqualValues(t, 1, health[id].Failed)
	require.NotNil(t, health[id].LastSuccessAt)
	require.Zero(t, health[other].Failed)
}

func TestCancelledDeliveryLetsTheNextGo(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u1")
	b.Eventually(t, id, "blocked 1, retrying 1")
	s.Set(nil)
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, 1))
	b.Eventually(t, id, "cancelled 1, delivered 1")
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, 1), "again")
	require.ErrorIs(t, b.Admin.Cancel(t.Context(), uuid.New(), 1), admin.ErrNoDelivery)
	err := b.Admin.Cancel(t.Context(), b.ProjectID, 2)
	require.True(t, fault.Is(err, fault.WrongState), err)
	require.ErrorContains(t, err, "it is delivered already")

	require.NoError(t, b.Admin.Retry(t.Context(), b.ProjectID, 1), "what was cancelled can be sent after all")
	b.Eventually(t, id, "delivered 2")
	require.ErrorIs(t, b.Admin.Retry(t.Context(), uuid.New(), 1), admin.ErrNoDelivery)
}

func TestWhatWaitsIsNotRetried(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u1")
	b.Eventually(t, id, "blocked 1, retrying 1")
	err := b.Admin.Retry(t.Context(), b.ProjectID, 2)
	require.True(t, fault.Is(err, fault.WrongState), err)
	require.ErrorContains(t, err, "an earlier delivery of the same user")
}

func TestReplayChoosesByFilter(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u2", "u1", "u3")
	b.Eventually(t, id, "delivered 4")
	for _, c := range []struct {
		replay admin.Replay
		want   int64
	}{
		{admin.Replay{}, 4},
		{admin.Replay{UserID: "u1"}, 2},
		{admin.Replay{EventType: destination.UserCreated}, 3},
		{admin.Replay{State: delivery.StateFailed}, 0},
		{admin.Replay{To: time.Now().Add(-time.Hour)}, 0},
		{admin.Replay{From: admin.From{Time: time.Now().Add(-time.Hour)}}, 4},
		{admin.Replay{From: admin.From{Time: time.Now().Add(time.Hour)}}, 0},
	} {
		c.replay.DryRun = true
		done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, c.replay)
		require.NoError(t, err)
		require.Equal(t, admin.Replayed{Matched: c.want, DryRun: true}, done, "%+v", c.replay)
	}
	_, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{State: "blocked"})
	require.True(t, fault.Is(err, fault.WrongState), err)

	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, admin.Replay{UserID: "u1"})
	require.NoError(t, err)
	require.Equal(t, admin.Replayed{Matched: 2, Requeued: 2}, done)
	waittest.Until(t, func() bool { return len(s.Messages()) == 6 })
	messages := s.Messages()
	require.Equal(t, []int64{1, 4}, []int64{messages[4].ChangeID, messages[5].ChangeID})
	require.Len(t, s.Got(), 4, "the ids are the same")
}

func TestReplayReachesBehindTheBeginning(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	users := make([]string, 700)
	for i := range users {
		users[i] = fmt.Sprint("u", i%50)
	}
	b.Apply(t, users...)
	s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 4}}
	condition := "u7-" // the e-mail of one user
	id := b.AddFrom(t, "sink", s, &condition, admin.From{})
	b.Work(t)
	b.Change(t, "u7")
	b.Eventually(t, id, "delivered 1")
	replay := admin.Replay{From: admin.From{Beginning: true}, DryRun: true}
	done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, replay)
	require.NoError(t, err)
	require.Equal(t, admin.Replayed{Matched: 15, DryRun: true}, done)
	replay.DryRun = false
	done, err = b.Admin.Replay(t.Context(), b.ProjectID, id, replay)
	require.NoError(t, err)
	require.Equal(t, admin.Replayed{Matched: 15, Requeued: 15}, done)
	b.Eventually(t, id, "delivered 15")
	last := int64(0)
	for _, m := range s.Messages()[1:] {
		require.Equal(t, "u7", m.RecordID)
		require.Greater(t, m.ChangeID, last)
		last = m.ChangeID
	}
}

func TestPreviewShowsTheRequest(t *testing.T) {
	t.Parallel()
	for _, states := range []bool{false, true} {
		t.Run(fmt.Sprint("states ", states), func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			condition := "u1"
			s := &deliverytest.Sink{Can: destination.Capabilities{States: states}}
			id := b.AddFrom(t, "sink", s, &condition, admin.From{})
			b.Apply(t, "u1", "u1", "u2")
			p, err := b.Admin.Preview(t.Context(), b.ProjectID, id, record.Ref{Type: record.User, ID: "u1"}, 0)
			require.NoError(t, err)
			require.True(t, p.Wanted)
			require.Equal(t, destination.MessageID(id, 3), p.MessageID)
			require.Len(t, p.Requests, 1)
			require.Contains(t, string(p.Requests[0].Body), `"n": 2`)
			p, err = b.Admin.Preview(t.Context(), b.ProjectID, id, record.Ref{}, 2)
			require.NoError(t, err)
			require.False(t, p.Wanted)
			_, err = b.Admin.Preview(t.Context(), b.ProjectID, id, record.Ref{Type: record.User, ID: "nobody"}, 0)
			require.ErrorIs(t, err, admin.ErrNoChange)
			require.Zero(t, s.Tried(), "nothing is sent")
		})
	}
}
