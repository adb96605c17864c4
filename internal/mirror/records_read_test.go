package mirror_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// about makes an event about a record of the type out of one about user u1, with the ids that update draws.
func about(t record.Type, e mirror.Event) mirror.Event {
	e.RecordType, e.Type = t, string(t)+".updated"
	e.OrganizationID, e.ObjectID = "org_1", "obj_1"
	return e
}

// TestRecordsAreReadWithTheirHistory reads a record of each type by its id, and in a list.
func TestRecordsAreReadWithTheirHistory(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	for _, d := range record.Types() {
		events := []mirror.Event{about(d.Type, update("a-"+string(d.Type), 1)), about(d.Type, update("b-"+string(d.Type), 2))}
		first, second := `{"n": 1}`, `{"n": 2}`
		events[0], events[1] = withRaw(events[0], first), withRaw(events[1], second)
		_, err := m.Apply(t.Context(), projectID(), events)
		require.NoError(t, err)

		ref := events[0].Record()
		h, err := m.RecordHistory(t.Context(), projectID(), ref, 0, 0)
		require.NoError(t, err, d.Type)
		var row map[string]any
		require.NoError(t, json.Unmarshal(h.Row, &row))
		require.Equal(t, map[string]any{"n": 2.0}, row["raw"])
		require.NotContains(t, row, "field_versions")
		require.Len(t, h.Sources, len(d.Columns))
		require.Len(t, h.Changes, 2)
		require.JSONEq(t, `{"raw": {"n": 1}}`, string(h.Changes[1].Before))
		require.Nil(t, h.ChangesBefore)

		listed, err := m.Records(t.Context(), projectID(), mirror.RecordFilter{Type: d.Type, Limit: 2})
		require.NoError(t, err)
		require.Len(t, listed, 1)
		require.Equal(t, ref.ID, listed[0].ID)
		require.NotContains(t, string(listed[0].Row), `"raw"`)
		listed, err = m.Records(t.Context(), projectID(), mirror.RecordFilter{Type: d.Type, After: ref.ID, Limit: 2})
		require.NoError(t, err)
		require.Empty(t, listed)

		ref.ID = "org_2/nobody"
		_, err = m.RecordHistory(t.Context(), projectID(), ref, 0, 0)
		require.ErrorIs(t, err, mirror.ErrNoRecord)
	}
	listed, err := m.Records(t.Context(), projectID(), mirror.RecordFilter{Type: record.Membership, OrganizationID: "org_1", UserID: "u1", Limit: 9})
	require.NoError(t, err)
	require.Len(t, listed, 1)
	_, err = m.RecordHistory(t.Context(), projectID(), record.Ref{Type: record.Membership, ID: "no slash"}, 0, 0)
	require.ErrorIs(t, err, mirror.ErrNoRecord)
}

// TestMembershipsFollowTheirOrganizationAndUser deletes and restores what a membership belongs to, before it and after.
func TestMembershipsFollowTheirOrganizationAndUser(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	apply := func(events ...mirror.Event) {
		t.Helper()
		results, err := m.Apply(t.Context(), projectID(), events)
		require.NoError(t, err)
		for _, r := range results {
			require.NoError(t, r.Err)
			require.Equal(t, mirror.Applied, r.Outcome, r.Reason)
		}
	}
	deleted := func() string {
		return one(t, pool, `SELECT coalesce(to_char(deleted_at AT TIME ZONE 'UTC', 'SS'), '-') FROM capydb_auth.memberships`)
	}
	organization := func(e mirror.Event) mirror.Event { return about(record.Organization, e) }
	membership := func(e mirror.Event) mirror.Event { return about(record.Membership, e) }

	apply(organization(deletion("e1", 5)))
	apply(membership(update("e2", 3)))
	require.Equal(t, "05", deleted(), "the organization was deleted before the membership came")
	require.Equal(t, "e1", one(t, pool, `SELECT event_id FROM capydb_auth.membership_sources WHERE column_name = 'deleted_at'`))
	apply(deletion("e3", 4))
	require.Equal(t, "04", deleted(), "whichever was first")
	apply(organization(update("e4", 6)))
	require.Equal(t, "04", deleted(), "the user is still deleted")
	apply(update("e5", 7))
	require.Equal(t, "-", deleted(), "both are back")
	apply(membership(deletion("e6", 8)))
	apply(organization(deletion("e7", 9)))
	require.Equal(t, "08", deleted())
	apply(organization(update("e8", 10)))
	require.Equal(t, "08", deleted(), "it was deleted on its own")

	h, err := m.RecordHistory(t.Context(), projectID(), record.Ref{Type: record.Membership, ID: "org_1/u1"}, 0, 0)
	require.NoError(t, err)
	var kinds []string
	for _, c := range h.Changes {
		kinds = append(kinds, c.EventID+" "+c.Kind)
	}
	require.Equal(t, []string{"e2 deleted", "e3 updated", "e5 restored", "e6 deleted"}, kinds)
}

// TestRolesOneByOne is a member at a provider that reports roles one by one, and whose list of members has them all.
func TestRolesOneByOne(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	role := func(id string, second int, added, removed string) mirror.Event {
		e := about(record.Membership, update(id, second))
		e.Fields, e.RoleAdded, e.RoleRemoved = provider.Fields{}, added, removed
		return e
	}
	roles := func() string {
		return one(t, pool, `SELECT coalesce(array_to_string(roles, ','), 'NULL') FROM capydb_auth.memberships`)
	}
	apply(t, pool, []mirror.Event{role("e1", 5, "admin", "")})
	require.Equal(t, "admin", roles(), "the assignment came before the membership")
	require.Equal(t, []string{"applied", "applied"}, apply(t, pool, []mirror.Event{about(record.Membership, update("e2", 1)), role("e3", 7, "billing", "")}))
	require.Equal(t, "admin,billing", roles())
	require.Equal(t, []string{"stale"}, apply(t, pool, []mirror.Event{role("e4", 4, "", "admin")}), "it was assigned again later")

	// What authsync reads itself has no clock but that of the request.
	list := about(record.Membership, update("reconcile:1", 6, "roles", *record.Array([]string{"admin", "viewer"})))
	list.AtIsReceipt, list.NoLedger = true, true
	apply(t, pool, []mirror.Event{list})
	require.Equal(t, "admin,billing,viewer", roles(), "billing was assigned after the list was read")
	require.Equal(t, []string{"stale"}, apply(t, pool, []mirror.Event{role("e5", 5, "", "viewer")}))
	apply(t, pool, []mirror.Event{role("e6", 8, "", "viewer"), role("e7", 9, "", "billing")})
	require.Equal(t, "admin", roles())
	apply(t, pool, []mirror.Event{about(record.Membership, deletion("e8", 10)), role("e9", 11, "", "admin")})
	require.Empty(t, roles())
	require.Equal(t, "true", one(t, pool, `SELECT (deleted_at IS NOT NULL)::text FROM capydb_auth.memberships`), "losing a role revives no membership")
}

// A provider that clears the whole set clears what an older set had, though a single role was reported later.
func TestAClearedSetOfRolesIsEmptyBesideALaterRole(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	removed := about(record.Membership, update("e1", 9))
	removed.Fields, removed.RoleRemoved = provider.Fields{}, "billing"
	cleared := about(record.Membership, update("e3", 5))
	cleared.Fields[record.Roles] = nil
	apply(t, pool, []mirror.Event{removed})
	apply(t, pool, []mirror.Event{about(record.Membership, update("e2", 1, "roles", *record.Array([]string{"admin"})))})
	require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{cleared}))
	require.Equal(t, "{}", one(t, pool, `SELECT roles::text FROM capydb_auth.memberships`))
}

// TestOneEventIDAboutSeveralRecords is a sender that gives one id to what happened to several records: the ledger tells
// them apart by type and id.
func TestOneEventIDAboutSeveralRecords(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	batch := func() (events []mirror.Event) {
		for _, user := range []string{"u1", "u2"} {
			for _, d := range record.Types() {
				if d.Type == record.Organization && user == "u2" {
					continue
				}
				e := about(d.Type, update("e1", 1))
				e.UserID, e.ObjectID, e.InboxID = user, "obj_"+user, int64(len(events))
				events = append(events, e)
			}
		}
		return events
	}
	for _, e := range batch() {
		require.Equal(t, []string{"applied"}, apply(t, pool, []mirror.Event{e}))
	}
	again := batch()
	for i := range again {
		again[i].InboxID = 99
	}
	for _, outcome := range apply(t, pool, again) {
		require.Equal(t, "duplicate", outcome)
	}
}
