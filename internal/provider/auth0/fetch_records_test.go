package auth0_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// organizations is a tenant with so many organizations, of which each has so many members and
// invitations.
func organizations(tb testing.TB, n, members, invitations int) (*demoprovider.Auth0, *userapitest.Case) {
	tb.Helper()
	server, c := fake(tb, 3)
	server.Scope = "read:users " + demoprovider.Auth0OrganizationScopes
	for i := range n {
		var m []demoprovider.Member
		for user := range members {
			m = append(m, demoprovider.Member{User: user, Role: "admin"})
		}
		var invited []demoprovider.Invitation
		for number := range invitations {
			invited = append(invited, demoprovider.Invitation{Number: number, Email: "a@example.com", Role: "admin"})
		}
		server.Organizations.Add(fmt.Sprint("Firm ", i), m, invited...)
	}
	return server, c
}

func decodeRecord(t *testing.T, r userapi.Record) provider.Event {
	t.Helper()
	e := auth0.New().DecodeRecord(r.Type, r.Object, provider.Import{RunID: "run", Kind: provider.KindBackfill, FetchedAt: r.FetchedAt, Whole: true}, provider.Options{})
	require.Equal(t, provider.Apply, e.Verdict, e.Reason)
	require.Equal(t, r.Type, e.Record().Type)
	require.True(t, e.AtIsReceipt, "Auth0 gives none of them a clock")
	require.Contains(t, e.Fields, record.DeletedAt)
	require.Nil(t, e.Fields[record.DeletedAt])
	return e
}

// ids counts how often each record was read.
func ids(t *testing.T, read userapitest.Records) map[string]int {
	t.Helper()
	seen := map[string]int{}
	for _, r := range read.Read {
		e := decodeRecord(t, r)
		seen[string(r.Type)+" "+e.Record().ID]++
	}
	return seen
}

func TestRecordsReadsEachOnce(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ organizations, members, invitations int }{
		"Few": {3, 4, 1}, "None": {0, 0, 0}, "Empty": {2, 0, 0}, "ExactlyOnePage": {100, 1, 50}, "Many": {230, 3, 2}, "ManyMembersAndInvitations": {2, 250, 120},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := organizations(t, tc.organizations, tc.members, tc.invitations)
			// Each page is read by another process.
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
			require.NoError(t, err)
			require.Empty(t, read.Bad)
			want := tc.organizations * (1 + tc.members + tc.invitations)
			require.Len(t, ids(t, read), want)
			require.Len(t, read.Read, want, "none twice")
			if tc.organizations == 0 {
				require.Empty(t, read.Notes)
				return
			}
			require.Len(t, read.Notes, 1)
			require.Contains(t, read.Notes[0], fmt.Sprintf("for %d organizations that is at least %d calls",
				tc.organizations, 2*tc.organizations+(tc.organizations+99)/100))
			require.GreaterOrEqual(t, server.Requests("/organizations"), 2*tc.organizations)
		})
	}
}

func TestRecordsHaveRolesByName(t *testing.T) {
	t.Parallel()
	_, c := organizations(t, 1, 1, 1)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
	require.NoError(t, err)
	for _, r := range read.Read {
		e := decodeRecord(t, r)
		switch r.Type {
		case record.Organization:
			require.Equal(t, []string{"Firm 0", "firm-0"}, []string{*e.Fields[record.Name], *e.Fields[record.Slug]})
		case record.Membership:
			require.Equal(t, demoprovider.Auth0OrganizationID(0)+"/"+demoprovider.Auth0ID(0), e.Record().ID)
			require.Equal(t, `{"admin"}`, *e.Fields[record.Roles])
			require.NotContains(t, e.Fields, record.Role)
		default:
			require.Equal(t, "a@example.com", *e.Fields[record.Email])
			require.NotContains(t, string(e.Raw), "t1cket")
		}
	}
	none := decodeRecord(t, userapi.Record{Type: record.Membership, Object: []byte(`{"organization":{"id":"org_1"},"user":{"user_id":"auth0|1","roles":[]}}`)})
	require.Equal(t, "{}", *none.Fields[record.Roles], "none is a set, too")
	unknown := decodeRecord(t, userapi.Record{Type: record.Membership, Object: []byte(`{"organization":{"id":"org_1"},"user":{"user_id":"auth0|1"}}`)})
	require.NotContains(t, unknown.Fields, record.Roles)
}

func TestRecordsNamesTheMissingPermission(t *testing.T) {
	t.Parallel()
	for missing, kept := range map[string]string{
		"read:organizations":              "",
		"read:organization_members":       "organization invitation",
		"read:organization_member_roles":  "organization membership invitation",
		"read:organization_invitations":   "organization membership",
		"read:organization_members|_invi": "organization",
	} {
		t.Run(missing, func(t *testing.T) {
			t.Parallel()
			server, c := organizations(t, 3, 2, 2)
			var scopes []string
			for scope := range strings.FieldsSeq(server.Scope) {
				lacks := scope == missing || missing == "read:organization_members|_invi" && (scope == "read:organization_members" || scope == "read:organization_invitations")
				if !lacks {
					scopes = append(scopes, scope)
				}
			}
			server.Scope = strings.Join(scopes, " ")
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
			require.NoError(t, err)
			require.Empty(t, read.Bad)
			named, _, _ := strings.Cut(missing, "|")
			notes := strings.Join(read.Notes, "\n")
			require.Contains(t, notes, "lacks the permission "+named+" ")
			require.Contains(t, notes, "Auth0 says: Insufficient scope, expected any of: "+named)
			types := []string{}
			for _, d := range record.Types() {
				if len(read.Of(d.Type)) > 0 {
					types = append(types, string(d.Type))
				}
			}
			require.Equal(t, kept, strings.Join(types, " "))
			for _, d := range record.Listed() {
				require.Equal(t, !slices.Contains(types, string(d.Type)), slices.Contains(read.Unlisted, d.Type), "what was not read proves nothing: %s", d.Type)
			}
			for _, member := range read.Of(record.Membership) {
				require.Equal(t, named != "read:organization_member_roles", strings.Contains(member, `"roles"`), member)
			}
		})
	}
}

// A checkpoint lives for a day: what was left longer is read anew.
func TestRecordsSurvivesAnExpiredCheckpoint(t *testing.T) {
	t.Parallel()
	for name, expired := range map[string][]string{"Once": {"chk_100"}, "Twice": {"chk_100", "chk_200"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := organizations(t, 230, 0, 0)
			server.Expired = expired
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
			require.NoError(t, err)
			require.Len(t, ids(t, read), 230)
			require.Contains(t, read.Notes[0], "read anew")
		})
	}
	t.Run("OfMembers", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 1, 230, 0)
		server.Expired = []string{"chk_100"}
		read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.NoError(t, err)
		require.Len(t, ids(t, read), 231)
	})
	t.Run("Always", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 230, 0, 0)
		for range 10 {
			server.Expired = append(server.Expired, "chk_100")
		}
		_, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
		require.ErrorContains(t, err, "none of its checkpoints")
	})
}

// Invitations that are accepted meanwhile leave the list, and organizations may go, too.
func TestRecordsHidesNoneWhenRowsShift(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 3, 1, 120)
	gone := 0
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, func(int, userapi.RecordPage) {
		server.Organizations.Change(0, func(of *demoprovider.Organization) {
			if gone < 20 {
				of.Invitations = of.Invitations[5:]
				gone += 5
			}
		})
		if gone == 20 {
			server.Organizations.Remove(2)
		}
	})
	require.NoError(t, err)
	require.Empty(t, read.Bad)
	seen := ids(t, read)
	for number := 20; number < 120; number++ {
		require.NotZero(t, seen[fmt.Sprintf("invitation uinv_0_%d", number)], "invitation %d", number)
		require.Equal(t, 1, seen[fmt.Sprintf("invitation uinv_1_%d", number)], "invitation %d", number)
	}
}

func TestRecordsOfMisbehavingLists(t *testing.T) {
	t.Parallel()
	t.Run("CheckpointIsIgnored", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 230, 0, 0)
		server.Records = demoprovider.RecordPaging{IgnoreOffset: true}
		_, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
		require.ErrorContains(t, err, "behind entry 100 it gives entries again")
	})
	t.Run("CheckpointAndPageOfOneOrganizationAreIgnored", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 3, 230, 230)
		server.Records = demoprovider.RecordPaging{IgnoreOffset: true}
		read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.NoError(t, err)
		require.Len(t, read.Bad, 6, "a list of each organization, twice")
		require.Len(t, read.Unlisted, 6)
		require.Contains(t, read.Bad[0].Reason, "list the members of Auth0")
		require.Contains(t, read.Bad[1].Reason, "list the invitations of Auth0")
		require.Len(t, ids(t, read), 3*(1+100+50))
	})
	for name, tc := range map[string]struct{ most, members, invitations int }{
		"LimitIsCapped": {7, 12, 9}, "LimitIsCappedAtTheEnd": {7, 7, 7}, "LimitIsCappedByHalf": {25, 30, 120}, "LimitIsOne": {1, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, c := organizations(t, 20, tc.members, tc.invitations)
			server.Records = demoprovider.RecordPaging{Most: tc.most}
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
			require.NoError(t, err)
			require.Empty(t, read.Bad)
			require.Len(t, ids(t, read), 20*(1+tc.members+tc.invitations))
		})
	}
	t.Run("LimitIsTooLow", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 2, 1, 3)
		server.Records = demoprovider.RecordPaging{Of: "invitations", Most: 1}
		read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.NoError(t, err)
		require.Len(t, read.Bad, 2, "what is not read is told")
		require.Contains(t, read.Bad[0].Reason, "list the invitations of Auth0")
	})
	t.Run("LimitIsIgnored", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 120, 1, 1)
		server.Records = demoprovider.RecordPaging{Of: "organizations", All: true}
		_, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
		require.ErrorContains(t, err, "120 entries where at most 100 were asked for")
	})
	t.Run("EntriesWithoutAnIDHaveNoEnd", func(t *testing.T) {
		t.Parallel()
		for list, entries := range map[string]string{"organizations": "7", "members": `{"user_id":""}`} {
			server, c := organizations(t, 3, 230, 0)
			if list == "organizations" {
				server, c = organizations(t, 230, 0, 0)
			}
			server.Records = demoprovider.RecordPaging{Of: list, Entry: entries, IgnoreOffset: true}
			read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
			says := "list the " + list + " of Auth0: it gives entries without an id"
			if list == "organizations" {
				require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
				require.ErrorContains(t, err, says)
				continue
			}
			require.NoError(t, err)
			require.Len(t, read.Bad, 3)
			require.Contains(t, read.Bad[0].Reason, says)
			require.Len(t, ids(t, read), 3)
		}
	})
	t.Run("EntriesAreNumbers", func(t *testing.T) {
		t.Parallel()
		server, c := organizations(t, 3, 2, 2)
		server.Records = demoprovider.RecordPaging{Entry: "7"}
		read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
		require.NoError(t, err)
		require.Empty(t, read.Read)
		require.Equal(t, userapi.Bad{Place: "organizations, entry 1", Reason: "it is a number, not an object"}, read.Bad[0])
	})
}

// What the place of the walk holds is stored with each page.
func TestRecordsRefusesAnOverlongCheckpoint(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 1, 0, 0)
	server.Fail(demoprovider.Fault{Path: "/organizations", Status: http.StatusOK, Body: `{"organizations":[{"id":"org_1"}],"next":"` + strings.Repeat("x", 5000) + `"}`})
	_, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, nil)
	require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
	require.ErrorContains(t, err, "checkpoint next is longer than 4096 bytes")
}

func TestRecordsTakesNoOverlongID(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 1, 1, 1)
	server.Records = demoprovider.RecordPaging{Of: "organizations", Entry: fmt.Sprintf(`{"id":"org_%s"}`, strings.Repeat("x", 5000))}
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return open(t, c) }, func(_ int, p userapi.RecordPage) {
		require.Less(t, len(p.Next), 5000)
	})
	require.NoError(t, err)
	require.Empty(t, read.Read)
	require.Equal(t, []userapi.Bad{{Place: "organizations, entry 1", Reason: "the object's id is 5004 bytes long: at most 1024 are taken"}}, read.Bad)
}

func TestRecordsOnTheFreePlan(t *testing.T) {
	t.Parallel()
	server, c := organizations(t, 40, 1, 0)
	server.Rate, server.Burst = 2, 2
	deps := c.Clock.Deps()
	deps.MaxPause = time.Hour
	source := c.Open(deps)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return source }, nil)
	require.NoError(t, err)
	require.Len(t, ids(t, read), 80)
	require.Less(t, server.Limited(), 5, "the rate that Auth0 tells of is kept")
	require.Greater(t, c.Clock.Slept(), 30*time.Second)
}
