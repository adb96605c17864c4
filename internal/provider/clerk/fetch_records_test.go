package clerk_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// organizations is an instance with so many organizations, each with a member and an invitation.
func organizations(tb testing.TB, n int) (*demoprovider.Clerk, *userapitest.Case) {
	tb.Helper()
	server, c := fake(tb, 3)
	for i := range n {
		server.Organizations.Add(fmt.Sprint("Firm ", i), []demoprovider.Member{{User: i, Role: "admin"}}, demoprovider.Invitation{Email: "a@example.com", Role: "member"})
	}
	return server, c
}

// ids decodes the records and counts how often each was read.
func ids(t *testing.T, read userapitest.Records) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for _, r := range read.Read {
		e := clerk.New().DecodeRecord(r.Type, r.Object, provider.Import{RunID: "run", Kind: provider.KindBackfill, FetchedAt: r.FetchedAt, Whole: true}, provider.Options{})
		require.Equal(t, provider.Apply, e.Verdict, e.Reason)
		require.Equal(t, r.Type, e.Record().Type)
		require.Nil(t, e.Fields[record.DeletedAt])
		seen[string(r.Type)+" "+e.Record().ID]++
	}
	return seen
}

func TestRecordsReadsEachOnce(t *testing.T) {
	t.Parallel()
	const n = 1234
	_, c := organizations(t, n)
	var pages []int
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, func(_ int, p userapi.RecordPage) { pages = append(pages, len(p.Records)) })
	require.NoError(t, err)
	seen := ids(t, read)
	require.Len(t, seen, 3*n)
	require.Len(t, read.Read, 3*n, "none twice")
	require.Empty(t, read.Bad)
	require.Equal(t, []int{500, 490, 244, 0, 500, 490, 244, 0, 500, 490, 244, 0}, pages)
}

func TestRecordsOfAnInstanceWithoutAny(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 0)
	open := func() userapi.Source { return c.Open(c.Clock.Deps()) }
	read, err := userapitest.WalkRecords(t, open, nil)
	require.NoError(t, err)
	require.Equal(t, userapitest.Records{Pages: 3}, read)

	server.NoOrganizations = true
	read, err = userapitest.WalkRecords(t, open, nil)
	require.NoError(t, err)
	require.Empty(t, read.Read)
	require.Contains(t, read.Notes[0], "turned off")
	require.Equal(t, []record.Type{record.Organization, record.Membership, record.Invitation}, read.Unlisted)
}

// While the lists are read, organizations are deleted, which moves all behind them, and created.
func TestRecordsHidesNoneWhenRowsShift(t *testing.T) {
	t.Parallel()
	const n = 1234
	server, c := organizations(t, n)
	asked := 0
	server.Records.Asked = func(int) {
		if asked++; asked > 6 {
			return
		}
		for i := range 20 {
			server.Organizations.Remove(20*asked + i)
		}
		server.Organizations.Add("Late", []demoprovider.Member{{User: 1, Role: "admin"}})
	}
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	seen := ids(t, read)
	for i := 200; i < n+1; i++ {
		require.Equal(t, 1, seen["organization "+demoprovider.ClerkOrganizationID(i)], "organization %d", i)
	}
}

func TestRecordsOfMisbehavingLists(t *testing.T) {
	t.Parallel()
	const n = 600
	for name, tc := range map[string]struct {
		paging demoprovider.RecordPaging
		read   int // different records
		bad    int
		says   string // of each list that is not read to its end
	}{
		"OffsetIsIgnored":      {demoprovider.RecordPaging{IgnoreOffset: true}, 3 * 500, 3, "it gives what lies before it"},
		"OffsetIsIgnoredInOne": {demoprovider.RecordPaging{Of: "organizations", IgnoreOffset: true}, 500 + 2*n, 1, "list the organizations of Clerk, which counts 600: asked for"},
		"LimitIsCapped":        {demoprovider.RecordPaging{Most: 20}, 3 * n, 0, ""},
		"LimitIsLow":           {demoprovider.RecordPaging{Most: 7}, 3 * n, 0, ""},
		"EntriesAreTexts":      {demoprovider.RecordPaging{Entry: `"gotcha"`}, 0, 3 * n, "it is a text, not an object"},
		"EntriesHaveNoID":      {demoprovider.RecordPaging{Entry: `{"id": null}`}, 0, 3 * n, "the object has no id"},
		"OneAgainAndAgain":     {demoprovider.RecordPaging{Of: "organizations", Entry: `{"id": "org_1"}`}, 1 + 2*n, 1, "it ends at position 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := organizations(t, n)
			server.Records = tc.paging
			deps := c.Clock.Deps()
			deps.MaxPause = time.Hour
			source := c.Open(deps)
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return source }, nil)
			require.NoError(t, err)
			require.Len(t, ids(t, read), tc.read)
			require.Len(t, read.Bad, tc.bad)
			for _, bad := range read.Bad {
				require.Contains(t, bad.Reason, tc.says)
				require.Regexp(t, `^(organizations|memberships|invitations)\b`, bad.Place)
			}
		})
	}
}

// Other lists may be readable; with refused credentials none is.
func TestRecordsEndsWhereTheKeyIsRefused(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 600)
	server.Fail(demoprovider.Fault{Path: "/organization_memberships", Status: http.StatusUnauthorized, Body: `{"errors":[{"code":"authentication_invalid"}]}`})
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.True(t, fault.Is(err, fault.CredentialsRefused), "%v", err)
	require.Len(t, read.Read, 600)
}

func TestRecordsRefusesACursorOfAnother(t *testing.T) {
	t.Parallel()
	_, c := organizations(t, 1)
	source, _ := c.Open(c.Clock.Deps()).(userapi.RecordSource)
	for _, cursor := range []string{"x", `{"list":"teams"}`, `{"mode":"offset"}`, `{"list":"organizations","offset":-1}`} {
		_, err := source.Records(t.Context(), cursor)
		require.True(t, fault.Is(err, fault.ProviderError), "%s: %v", cursor, err)
	}
}

func TestDecodeRecord(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	decode := func(typ record.Type, object string) provider.Event {
		return clerk.New().DecodeRecord(typ, []byte(object), provider.Import{RunID: "run", Kind: provider.KindBackfill, FetchedAt: at, Whole: true}, provider.Options{})
	}
	e := decode(record.Membership, `{"id":"orgmem_1","role":"org:admin","permissions":[],"organization":{"id":"org_1"},"public_user_data":{"user_id":"user_1"},"updated_at":1760000000000}`)
	require.Equal(t, provider.Apply, e.Verdict, e.Reason)
	require.Equal(t, "org_1/user_1", e.Record().ID)
	require.Equal(t, "org:admin", *e.Fields[record.Role])
	require.Equal(t, time.UnixMilli(1760000000000).UTC(), e.At)
	require.False(t, e.AtIsReceipt)

	e = decode(record.Invitation, `{"id":"orginv_1","organization_id":"org_1","url":"https://example.com/t1cket","status":"pending"}`)
	require.Equal(t, provider.Apply, e.Verdict, e.Reason)
	require.NotContains(t, string(e.Raw), "t1cket")
	require.Equal(t, at, e.At)
	require.True(t, e.AtIsReceipt)

	require.Equal(t, provider.Fail, decode(record.Session, `{"id":"sess_1"}`).Verdict)
	e = decode(record.Organization, `[]`)
	require.Equal(t, provider.Fail, e.Verdict)
	require.Equal(t, "the organization is an array, not an object", e.Reason)
}
