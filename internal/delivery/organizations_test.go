package delivery_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// Destinations that ask for it get memberships with their organization, and users with the ids of theirs, as the mirror has
// them when they are sent. So does a preview.
func TestMessagesCarryOrganizations(t *testing.T) {
	t.Parallel()
	ref := func(t record.Type, id string) record.Ref { return record.Ref{Type: t, ID: id} }
	for _, c := range []destination.Capabilities{{Organizations: true}, {Organizations: true, States: true}, {}} {
		b := deliverytest.New(t)
		s := &deliverytest.Sink{Can: c}
		id := b.Add(t, "sink", s)
		b.SetEventTypes(t, id, destination.EventTypes()...)
		b.ApplyRecords(t, ref(record.Membership, "o1/u1"), ref(record.User, "u1"), ref(record.User, "u2"), ref(record.Organization, "o1"))
		b.ApplyRecords(t, ref(record.Membership, "o%2F2/u1"), ref(record.Membership, "o3/u1"))
		b.ApplyEvents(t, b.Deletion(ref(record.Membership, "o3/u1")), b.Deletion(ref(record.User, "u2")))
		settle := func() {
			t.Helper()
			b.Wake(t)
			var changes string
			require.NoError(t, b.Project.QueryRow(t.Context(), `SELECT count(*)::text FROM capydb_auth.changes`).Scan(&changes))
			b.Until(t, changes, func() string {
				return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE finished_at IS NOT NULL AND destination_id = $1`, id)
			})
		}
		b.Work(t)
		settle()

		seen := map[string]bool{}
		for _, m := range s.Messages() {
			seen[string(m.RecordType)+" "+m.RecordID] = true
			slices.Sort(m.OrganizationIDs)
			switch {
			case c.Organizations && m.RecordID == "u1":
				require.Equal(t, []string{"o/2", "o1"}, m.OrganizationIDs)
			default:
				require.Empty(t, m.OrganizationIDs)
			}
			if !c.Organizations || m.RecordID != "o1/u1" {
				require.Empty(t, m.Organization, "the mirror has no other")
				continue
			}
			var row struct {
				ID  string          `json:"id"`
				Raw json.RawMessage `json:"raw"`
			}
			require.NoError(t, json.Unmarshal(m.Organization, &row))
			require.Equal(t, "o1", row.ID)
			require.NotEmpty(t, row.Raw)
		}
		require.True(t, seen["membership o1/u1"] && seen["user u1"] && seen["membership o%2F2/u1"], seen)

		p, err := b.Admin.Preview(t.Context(), b.ProjectID, id, ref(record.Membership, "o1/u1"), 0)
		require.NoError(t, err)
		require.Equal(t, c.Organizations, p.Requests[0].Note != "")
		p, err = b.Admin.Preview(t.Context(), b.ProjectID, id, ref(record.User, "u1"), 0)
		require.NoError(t, err)
		require.Equal(t, c.Organizations, p.Requests[0].Note != "")

		// Of a deleted user, those that it ever belonged to.
		b.ApplyEvents(t, b.Deletion(ref(record.User, "u1")))
		settle()
		last := slices.IndexFunc(s.Messages(), func(m destination.Message) bool { return m.EventType == "user.deleted" && m.RecordID == "u1" })
		if c.Organizations {
			require.ElementsMatch(t, []string{"o/2", "o1", "o3"}, s.Messages()[last].OrganizationIDs)
		}
	}
}
