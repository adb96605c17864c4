package mirror_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// What a list is filtered by leads its order, so its pages go on where the one before ended.
func TestFilteredListsAreReadInPages(t *testing.T) {
	t.Parallel()
	pool := pgtest.Collated(t, "sv")
	m := newMirrors(t, pool)
	require.NoError(t, m.Install(t.Context(), pgtest.URL(t, pool), projectID(), false))
	var events []mirror.Event
	for i := range 5 {
		e := update(fmt.Sprint("user-", i), 1, "email", []string{"ada@example.com", "ADA@Example.com", "adam@example.com"}[i%3])
		e.UserID = fmt.Sprint("u", i)
		events = append(events, e)
		for _, organization := range []string{"o1", "o2"} {
			member := about(record.Membership, update(fmt.Sprint(organization, "-member-", i), 1))
			member.OrganizationID, member.UserID = organization, fmt.Sprint("u", i)
			invited := about(record.Invitation, update(fmt.Sprint(organization, "-invited-", i), 1, "email", []string{"ada@example.com", "b@example.com"}[i%2], "organization_id", organization))
			invited.OrganizationID, invited.ObjectID = organization, fmt.Sprint(organization, "-", i)
			events = append(events, member, invited)
		}
		signed := about(record.Session, update(fmt.Sprint("signed-", i), 1, "user_id", fmt.Sprint("u", i%2)))
		signed.ObjectID, signed.UserID = fmt.Sprint("s", i), fmt.Sprint("u", i%2)
		events = append(events, signed)
	}
	results, err := m.Apply(t.Context(), projectID(), events)
	require.NoError(t, err)
	for _, r := range results {
		require.NoError(t, r.Err)
		require.Equal(t, mirror.Applied, r.Outcome, r.Reason)
	}
	for want, f := range map[string]mirror.RecordFilter{
		"[u0 u1 u3 u4]":                   {Type: record.User, Email: "Ada@example.com"},
		"[]":                              {Type: record.User, Email: "ad"},
		"[o1/u0 o1/u1 o1/u2 o1/u3 o1/u4]": {Type: record.Membership, OrganizationID: "o1"},
		"[o1/u3 o2/u3]":                   {Type: record.Membership, UserID: "u3"},
		"[o2/u3]":                         {Type: record.Membership, UserID: "u3", OrganizationID: "o2"},
		"[o2-0 o2-1 o2-2 o2-3 o2-4]":      {Type: record.Invitation, OrganizationID: "o2"},
		"[o1-1 o1-3 o2-1 o2-3]":           {Type: record.Invitation, Email: "B@example.com"},
		"[o2-1 o2-3]":                     {Type: record.Invitation, Email: "b@example.com", OrganizationID: "o2"},
		"[s1 s3]":                         {Type: record.Session, UserID: "u1"},
	} {
		for _, size := range []int{1, 2, 100} {
			ids := []string{}
			for f.Limit = size; ; {
				page, err := m.Records(t.Context(), projectID(), f)
				require.NoError(t, err)
				for _, r := range page {
					ids = append(ids, r.ID)
				}
				if len(page) < size {
					break
				}
				f.After = page[size-1].ID
			}
			f.After = ""
			require.Equal(t, want, fmt.Sprint(ids), "%d in a page", size)
		}
	}
	users, err := m.List(t.Context(), projectID(), "ada@EXAMPLE.com", "u0", 2)
	require.NoError(t, err)
	require.Len(t, users, 2)
	require.Equal(t, "u1", users[0].ID)
	require.Equal(t, "u3", users[1].ID)
}
