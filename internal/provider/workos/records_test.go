package workos_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/provider/workos"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// organizations is an environment with so many organizations, each with two members.
func organizations(tb testing.TB, n int) (*demoprovider.WorkOS, *userapitest.Case) {
	tb.Helper()
	server, c := fake(tb, 3)
	for i := range n {
		server.Organizations.Add(fmt.Sprint("Firm ", i), []demoprovider.Member{{User: i, Role: "admin"}, {User: i + 1, Role: "member"}})
	}
	return server, c
}

func decode(t *testing.T, r userapi.Record) provider.Event {
	t.Helper()
	e := workos.New().DecodeRecord(r.Type, r.Object, provider.Import{RunID: "run", Kind: provider.KindBackfill, FetchedAt: r.FetchedAt, Whole: true}, provider.Options{})
	require.Equal(t, provider.Apply, e.Verdict, e.Reason)
	return e
}

func TestRecordsReadsEachOnce(t *testing.T) {
	t.Parallel()
	const n = 230
	server, c := organizations(t, n)
	server.Organizations.Change(7, func(of *demoprovider.Organization) {
		for i := range 250 {
			of.Members = append(of.Members, demoprovider.Member{User: 1000 + i, Role: "member"})
		}
	})
	server.Inactive = map[[2]int]bool{{7, 1003}: true}
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	require.Empty(t, read.Bad)
	require.Empty(t, read.Unlisted)
	require.Zero(t, server.Limited(), "requests beyond the rate limit")
	seen, former := map[string]bool{}, 0
	for _, r := range read.Read {
		e := decode(t, r)
		key := string(e.Record().Type) + " " + e.Record().ID
		require.False(t, seen[key], key)
		seen[key] = true
		if e.Fields[record.DeletedAt] != nil {
			former++
			require.Equal(t, "organization membership", "organization "+string(r.Type))
			require.Contains(t, string(r.Object), demoprovider.WorkOSID(1003))
		}
	}
	require.Len(t, seen, n+2*n+250)
	require.Equal(t, 1, former, "a user whose membership was deactivated is no member")
}

// A list of one organization that makes no progress hides none of the others.
func TestOneListThatMisbehaves(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3)
	server.Records = demoprovider.RecordPaging{Of: "organization_memberships", IgnoreOffset: true, Most: 1}
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	require.Len(t, read.Of(record.Organization), 3)
	require.Len(t, read.Bad, 3)
	require.Contains(t, read.Bad[0].Reason, "read before")
	require.Equal(t, []record.Type{record.Membership, record.Membership, record.Membership}, read.Unlisted)
}

func TestSingleRecords(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 2)
	source := c.Open(c.Clock.Deps())
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return source }, nil)
	require.NoError(t, err)
	organization, membership := read.Of(record.Organization)[1], read.Of(record.Membership)[2]
	id, none := demoprovider.WorkOSOrganizationID(1), demoprovider.WorkOSOrganizationID(7)
	userapitest.RequireRecords(t, source, c.Clock.Now, map[userapi.RecordRef]string{
		userapitest.Ref(record.Organization, id, ""):                                                organization,
		userapitest.Ref(record.Organization, none, ""):                                              "",
		userapitest.Ref(record.Membership, record.MembershipID(id, demoprovider.WorkOSID(1)), ""):   membership,
		userapitest.Ref(record.Membership, record.MembershipID(id, demoprovider.WorkOSID(9)), ""):   "",
		userapitest.Ref(record.Membership, record.MembershipID(none, demoprovider.WorkOSID(1)), ""): "",
	})
	reader, _ := source.(userapi.RecordSource)
	_, err = reader.Record(t.Context(), userapitest.Ref(record.Invitation, "i", id))
	require.ErrorContains(t, err, "cannot be read alone")
	server.Records.Entry = strings.ReplaceAll(membership, demoprovider.WorkOSID(1), demoprovider.WorkOSID(2))
	_, err = reader.Record(t.Context(), userapitest.Ref(record.Membership, record.MembershipID(id, demoprovider.WorkOSID(1)), ""))
	require.ErrorContains(t, err, "and not that one")
}
