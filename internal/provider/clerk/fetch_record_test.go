package clerk_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// What the lists have is found alone, in the same form; what they do not have is gone.
func TestRecordReadsWhatTheListsHave(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3)
	server.Organizations.Change(2, func(of *demoprovider.Organization) {
		for user := range 40 { // more than fit into a page
			of.Members = append(of.Members, demoprovider.Member{User: user + 3, Role: "member"})
		}
	})
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	objects := map[record.Type][]string{}
	for _, of := range []record.Type{record.Organization, record.Membership, record.Invitation} {
		objects[of] = read.Of(of)
	}
	last := len(objects[record.Membership]) - 1
	userapitest.RequireRecords(t, c.Open(c.Clock.Deps()), c.Clock.Now, map[userapi.RecordRef]string{
		userapitest.Ref(record.Organization, demoprovider.ClerkOrganizationID(1), ""):           objects[record.Organization][1],
		userapitest.Ref(record.Organization, demoprovider.ClerkOrganizationID(999), ""):         "",
		userapitest.Ref(record.Membership, membership(1, 1), ""):                                objects[record.Membership][1],
		userapitest.Ref(record.Membership, membership(2, 42), ""):                               objects[record.Membership][last],
		userapitest.Ref(record.Membership, membership(999, 1), ""):                              "",
		userapitest.Ref(record.Membership, membership(1, 2), ""):                                "",
		userapitest.Ref(record.Membership, membership(1, 99), ""):                               "", // there is no such user
		userapitest.Ref(record.Invitation, "orginv_2_0", demoprovider.ClerkOrganizationID(2)):   objects[record.Invitation][2],
		userapitest.Ref(record.Invitation, "orginv_2_9", demoprovider.ClerkOrganizationID(2)):   "",
		userapitest.Ref(record.Invitation, "orginv_2_0", demoprovider.ClerkOrganizationID(999)): "",
	})
}

// What cannot be read alone is not gone.
func TestRecordProvesNothingByFailing(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3)
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	_, err := source.Record(t.Context(), userapitest.Ref(record.Invitation, "orginv_2_0", ""))
	require.True(t, fault.Is(err, fault.Unsupported), "%v", err)
	require.ErrorContains(t, err, "which organization it belongs to")

	for _, entry := range []string{`{"id": null}`, `{"id": "orgmem_1", "organization": {"id": "org_1"}, "public_user_data": {"user_id": "user_1"}}`} {
		server.Records.Entry = entry
		_, err = source.Record(t.Context(), userapitest.Ref(record.Membership, membership(1, 1), ""))
		require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
		require.ErrorContains(t, err, "drops the parameter user_id")
	}
}

// Organizations that were turned off are no refusal of the key, although Clerk answers 403 to both; nor is a
// refusal that is about one record.
func TestRecordOfAnInstanceWithoutOrganizations(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3)
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	for _, r := range []userapi.RecordRef{
		userapitest.Ref(record.Organization, demoprovider.ClerkOrganizationID(1), ""), userapitest.Ref(record.Membership, membership(1, 1), ""),
		userapitest.Ref(record.Invitation, "orginv_2_0", demoprovider.ClerkOrganizationID(2)),
	} {
		server.NoOrganizations = true
		_, err := source.Record(t.Context(), r)
		require.True(t, fault.Is(err, fault.Unsupported), "%+v: %v", r, err)
		require.ErrorContains(t, err, "organizations are turned off in this Clerk instance")

		server.NoOrganizations = false
		server.Fail(demoprovider.Fault{Status: http.StatusForbidden, Body: `{"errors":[{"code":"authorization_invalid","message":"You are not authorized"}]}`})
		_, err = source.Record(t.Context(), r)
		require.True(t, fault.Is(err, fault.ProviderError), "%+v: %v", r, err)
		require.ErrorContains(t, err, "You are not authorized")
	}
	server.Key = "sk_test_another"
	_, err := source.Record(t.Context(), userapitest.Ref(record.Organization, demoprovider.ClerkOrganizationID(1), ""))
	require.True(t, fault.Is(err, fault.CredentialsRefused), "%v", err)
}

func membership(organization, user int) string {
	return fmt.Sprint(demoprovider.ClerkOrganizationID(organization), "/", demoprovider.ClerkID(user))
}
