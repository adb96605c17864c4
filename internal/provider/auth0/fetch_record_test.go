package auth0_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// What the lists have is found alone; what they do not have is gone. A membership is found with its
// roles, and without the profile of its member.
func TestRecordReadsWhatTheListsHave(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 250, 1, 1)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	for _, r := range read.Read {
		require.False(t, r.FetchedAt.After(c.Clock.Now().Add(-time.Minute)), "it may lag so far")
	}
	server.Records.Most = 70 // fewer than are asked for are no end
	userapitest.RequireRecords(t, c.Open(c.Clock.Deps()), c.Clock.Now, map[userapi.RecordRef]string{
		userapitest.Ref(record.Organization, demoprovider.Auth0OrganizationID(1), ""):       read.Of(record.Organization)[1],
		userapitest.Ref(record.Organization, demoprovider.Auth0OrganizationID(999), ""):     "",
		userapitest.Ref(record.Membership, membership(1, 0), ""):                            member(1),
		userapitest.Ref(record.Membership, membership(249, 0), ""):                          member(249),
		userapitest.Ref(record.Membership, membership(1, 1), ""):                            "",
		userapitest.Ref(record.Membership, membership(999, 0), ""):                          "",
		userapitest.Ref(record.Membership, membership(1, 99), ""):                           "", // there is no such user
		userapitest.Ref(record.Invitation, "uinv_2_0", demoprovider.Auth0OrganizationID(2)): read.Of(record.Invitation)[2],
		userapitest.Ref(record.Invitation, "uinv_2_9", demoprovider.Auth0OrganizationID(2)): "",
	})

	// Without the permission to read roles it is known to exist, and no more.
	server.Scope = "read:users read:organizations"
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	found, err := source.Record(t.Context(), userapitest.Ref(record.Membership, membership(1, 0), ""))
	require.NoError(t, err)
	require.Empty(t, found.Object)
	_, err = source.Record(t.Context(), userapitest.Ref(record.Membership, membership(1, 1), ""))
	require.ErrorIs(t, err, userapi.ErrGone)
}

// A list that may not have all roles of a member says nothing about any.
func TestRecordTakesNoPartOfTheRoles(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3, 1, 1)
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	for _, body := range []string{`{"roles":[{"id":"rol_1"}],"total":2}`, `{"roles":[],"total":1}`, `[{"name":"admin"}]`} {
		server.Fail(demoprovider.Fault{Path: "/roles", Status: http.StatusOK, Body: body})
		_, err := source.Record(t.Context(), userapitest.Ref(record.Membership, membership(1, 0), ""))
		require.True(t, fault.Is(err, fault.ProviderError), "%s: %v", body, err)
	}
}

// A permission that was taken away proves nothing, and concerns this record alone.
func TestRecordProvesNothingWithoutThePermission(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3, 1, 1)
	server.Scope = "read:users"
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	for _, r := range []userapi.RecordRef{
		userapitest.Ref(record.Organization, demoprovider.Auth0OrganizationID(1), ""), userapitest.Ref(record.Membership, membership(1, 0), ""),
		userapitest.Ref(record.Invitation, "uinv_2_0", demoprovider.Auth0OrganizationID(2)), userapitest.Ref(record.Invitation, "uinv_2_0", ""),
	} {
		_, err := source.Record(t.Context(), r)
		require.True(t, fault.Is(err, fault.Unsupported), "%+v: %v", r, err)
	}
}

// member is the membership of user 0 in an organization.
func member(organization int) string {
	return fmt.Sprintf(`{"organization":{"id":%q},"user":{"user_id":%q,"roles":[{"id":"rol_admin","name":"admin"}]}}`,
		demoprovider.Auth0OrganizationID(organization), demoprovider.Auth0ID(0))
}

func membership(organization, user int) string {
	return record.MembershipID(demoprovider.Auth0OrganizationID(organization), demoprovider.Auth0ID(user))
}
