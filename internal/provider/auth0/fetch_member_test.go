package auth0

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
)

// The id of an organization is JSON in the object of a member, whatever characters it has.
func TestMemberOfAnOrganizationWithAnOddID(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"org_1", "org_\a", "org_\U000e0001", `org_"\`, "org_<ü>"} {
		member := memberOf(id, []byte(`{"user_id":"auth0|1"}`))
		e := New().DecodeRecord(record.Membership, member, provider.Import{RunID: "run", Kind: provider.KindBackfill}, provider.Options{})
		require.Equal(t, provider.Apply, e.Verdict, "%s: %s", member, e.Reason)
		require.Equal(t, id, e.OrganizationID)
	}
}
