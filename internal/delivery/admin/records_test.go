package admin_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// Deliveries about records of all types are listed, replayed and previewed by the record, and those that belong to a
// user by the user.
func TestDeliveriesAreChosenByRecord(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	users := &deliverytest.Sink{Can: destination.Capabilities{RecordTypes: []record.Type{record.User}}}
	id, usersID := b.Add(t, "sink", s), b.Add(t, "users", users)
	b.SetEventTypes(t, id, destination.EventTypes()...)
	organization, membership := record.Ref{Type: record.Organization, ID: "o1"}, record.Ref{Type: record.Membership, ID: "o1/u1"}
	b.ApplyRecords(t, organization, membership, record.Ref{Type: record.User, ID: "u1"}, record.Ref{Type: record.Session, ID: "s1"},
		record.Ref{Type: record.Membership, ID: "o2/u1"}, record.Ref{Type: record.Invitation, ID: "i1"})
	b.ApplyRecords(t, membership)
	b.Wake(t)
	b.Work(t)
	b.Eventually(t, id, "delivered 7")
	b.Eventually(t, usersID, "delivered 1")

	list := func(f admin.ListFilter) []admin.Delivery {
		t.Helper()
		f.DestinationID = id
		all, _, err := b.Admin.ListDeliveries(t.Context(), b.ProjectID, f)
		require.NoError(t, err)
		return all
	}
	of := list(admin.ListFilter{RecordType: "organization", RecordID: "o1"})
	require.Len(t, of, 1)
	require.Equal(t, "organization.created", of[0].EventType)
	require.Nil(t, of[0].UserID, "it belongs to no user")
	of = list(admin.ListFilter{RecordType: "membership", RecordID: "o1/u1"})
	require.Len(t, of, 2)
	require.Equal(t, "u1", *of[0].UserID)
	require.Len(t, list(admin.ListFilter{UserID: "u1"}), 5)

	lateID := b.Add(t, "late", &deliverytest.Sink{})
	b.SetEventTypes(t, lateID, destination.EventTypes()...)
	for _, c := range []struct {
		replay admin.Replay
		want   int64
	}{
		{admin.Replay{RecordType: "membership", RecordID: "o1/u1"}, 2},
		{admin.Replay{RecordType: "user", RecordID: "o1"}, 0},
		{admin.Replay{UserID: "u1"}, 5},
		{admin.Replay{EventType: "invitation.created"}, 1},
	} {
		c.replay.DryRun = true
		done, err := b.Admin.Replay(t.Context(), b.ProjectID, id, c.replay)
		require.NoError(t, err)
		require.Equal(t, c.want, done.Matched, "deliveries of %+v", c.replay)
		c.replay.From.Beginning = true
		done, err = b.Admin.Replay(t.Context(), b.ProjectID, lateID, c.replay)
		require.NoError(t, err)
		require.Equal(t, c.want, done.Matched, "changes of %+v, of which it has no deliveries", c.replay)
	}

	p, err := b.Admin.Preview(t.Context(), b.ProjectID, id, membership, 0)
	require.NoError(t, err)
	require.True(t, p.Wanted)
	require.Contains(t, string(p.Requests[0].Body), `"organization_id": "o1"`)
	p, err = b.Admin.Preview(t.Context(), b.ProjectID, usersID, organization, 0)
	require.NoError(t, err)
	require.False(t, p.Wanted)
	require.Empty(t, p.Requests, "it makes no requests about organizations")

	_, err = b.Admin.Test(t.Context(), b.ProjectID, id, "session.deleted")
	require.NoError(t, err)
	sent := s.Messages()[7]
	require.Equal(t, record.Session, sent.RecordType)
	require.Equal(t, destination.TestRecord(record.Session).ID, sent.RecordID)
}
