package auth0_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// What the lists have is found alone; what they do not have is gone. A membership is found without
// its member.
func TestRecordReadsWhatTheListsHave(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 250, 1, 1)
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	for _, r := range read.Read {
		require.False(t, r.FetchedAt.After(c.Clock.Now().Add(-time.Minute)), "it may lag so far")
	}
	server.Records.Most = 70 // fewer than are asked for are no end
	for _, tc := range []struct {
		ref    userapi.RecordRef
		object string
		exists bool
	}{
		{ref(record.Organization, demoprovider.Auth0OrganizationID(1), ""), read.Of(record.Organization)[1], true},
		{ref(record.Organization, demoprovider.Auth0OrganizationID(999), ""), "", false},
		{ref(record.Membership, membership(1, 0), ""), "", true},
		{ref(record.Membership, membership(249, 0), ""), "", true},
		{ref(record.Membership, membership(1, 1), ""), "", false},
		{ref(record.Membership, membership(999, 0), ""), "", false},
		{ref(record.Membership, membership(1, 99), ""), "", false}, // there is no such user
		{ref(record.Invitation, "uinv_2_0", demoprovider.Auth0OrganizationID(2)), read.Of(record.Invitation)[2], true},
		{ref(record.Invitation, "uinv_2_9", demoprovider.Auth0OrganizationID(2)), "", false},
	} {
		found, err := source.Record(t.Context(), tc.ref)
		if !tc.exists {
			require.ErrorIs(t, err, userapi.ErrGone, "%+v", tc.ref)
			continue
		}
		require.NoError(t, err, "%+v", tc.ref)
		require.False(t, found.FetchedAt.After(c.Clock.Now().Add(-time.Minute)), "it may lag so far")
		if tc.object == "" {
			require.Empty(t, found.Object)
		} else {
			require.JSONEq(t, tc.object, string(found.Object))
		}
	}
}

// A permission that was taken away proves nothing, and concerns this record alone.
func TestRecordProvesNothingWithoutThePermission(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3, 1, 1)
	server.Scope = "read:users"
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	for _, r := range []userapi.RecordRef{
		ref(record.Organization, demoprovider.Auth0OrganizationID(1), ""), ref(record.Membership, membership(1, 0), ""),
		ref(record.Invitation, "uinv_2_0", demoprovider.Auth0OrganizationID(2)), ref(record.Invitation, "uinv_2_0", ""),
	} {
		_, err := source.Record(t.Context(), r)
		require.True(t, fault.Is(err, fault.ProviderError), "%+v: %v", r, err)
	}
}

func ref(t record.Type, id, organizationID string) userapi.RecordRef {
	return userapi.RecordRef{Ref: record.Ref{Type: t, ID: id}, OrganizationID: organizationID}
}

func membership(organization, user int) string {
	return record.MembershipID(demoprovider.Auth0OrganizationID(organization), demoprovider.Auth0ID(user))
}
