package relay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// organizations are changes of so many organizations.
func organizations(n int) []record.Ref {
	refs := make([]record.Ref, n)
	for i := range refs {
		refs[i] = record.Ref{Type: record.Organization, ID: fmt.Sprint("o", i)}
	}
	return refs
}

// A page of changes that a destination does not take is not the end of the feed.
func TestChangesOfOtherTypesDoNotEndTheFeed(t *testing.T) {
	t.Parallel()
	idle := func(b *deliverytest.Bundle) string {
		return b.One(t, `
			SELECT concat_ws(' ', (SELECT count(*) FROM authsync.job_requests WHERE job_id IS NOT NULL AND kind = 'relay_changes') + (`+deliverytest.Relaying+`),
				(SELECT cursor FROM authsync.destination_progress))`)
	}
	t.Run("BeforeAUser", func(t *testing.T) {
		t.Parallel()
		b := deliverytest.New(t)
		id := b.AddFrom(t, "sink", &deliverytest.Sink{}, nil, admin.From{Beginning: true})
		b.ApplyRecords(t, organizations(70)...) // more than a first page
		b.Change(t, "u1")
		b.Work(t)
		b.Eventually(t, id, "delivered 1")
		b.Until(t, "0 71", func() string { return idle(b) })
	})
	t.Run("Alone", func(t *testing.T) {
		t.Parallel()
		b := deliverytest.New(t)
		b.AddFrom(t, "sink", &deliverytest.Sink{}, nil, admin.From{Beginning: true})
		b.ApplyRecords(t, organizations(3)...)
		b.Wake(t)
		b.Work(t)
		b.Until(t, "0 3", func() string { return idle(b) })
	})
}

// A repaired mirror makes changes again. Their events are found by the record that each is about; that of a membership
// may be one about its user or its organization, whose deletion it shares.
func TestRepeatedChangesOfAllTypesAreFound(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{})
	_, err := b.Control.Exec(t.Context(), `
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, event_id, type, user_id, record_type, record_id, outcome, applied_at)
		SELECT row_number() OVER (), 0, now(), $1, event_id, 'x', user_id, record_type, record_id, 'applied', now() - interval '1 hour'
		FROM (VALUES
			('user', 'u1', NULL, NULL), ('organization', NULL, 'organization', 'o1'), ('membership', 'u1', 'membership', 'o1/u1'),
			('invitation', NULL, 'invitation', 'i1'), ('session', 'u1', 'session', 's1')
		) AS e (event_id, user_id, record_type, record_id)`, b.ProjectID)
	require.NoError(t, err)
	_, err = b.Control.Exec(t.Context(), `
		INSERT INTO authsync.deliveries (project_id, destination_id, change_id, record_type, record_id, user_id, order_key, event_type, changed, changed_at,
			event_id, state, finished_at)
		SELECT $1, $2, 5, 'membership', 'o1/u1', 'u1', 'user:u1', 'membership.deleted', '{deleted_at}', now(), 'user', 'delivered', now()`, b.ProjectID, id)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSpace(`
invitation i1 invitation: applied, known
membership o1/u1 membership: applied, known
membership o1/u1 organization: applied, known
membership o1/u1 user: applied, known, delivered
membership o2/u1 organization: -
organization o1 organization: applied, known
organization u1 user: -
session s1 session: applied, known
session s1 user: known
user o1 organization: -
user u1 session: known
user u1 user: applied, known`), b.One(t, `
		WITH change AS (
			SELECT row_number() OVER () AS n, c.*
			FROM (VALUES
				('user', 'u1', 'u1', NULL, 'user'), ('user', 'u1', 'u1', NULL, 'session'), ('user', 'o1', 'o1', NULL, 'organization'),
				('organization', 'o1', NULL, 'o1', 'organization'), ('organization', 'u1', NULL, 'u1', 'user'),
				('membership', 'o1/u1', 'u1', 'o1', 'membership'), ('membership', 'o1/u1', 'u1', 'o1', 'user'),
				('membership', 'o1/u1', 'u1', 'o1', 'organization'), ('membership', 'o2/u1', 'u1', 'o2', 'organization'),
				('invitation', 'i1', NULL, 'o1', 'invitation'), ('session', 's1', 'u1', NULL, 'session'), ('session', 's1', 'u1', NULL, 'user')
			) AS c (record_type, record_id, user_id, organization_id, event_id)
		)
		SELECT string_agg(format('%s %s %s: %s', c.record_type, c.record_id, c.event_id, coalesce(nullif(concat_ws(', ',
			CASE WHEN r.applied_at IS NOT NULL THEN 'applied' END, CASE WHEN r.is_known THEN 'known' END, r.delivery_state), ''), '-')),
			E'\n' ORDER BY c.record_type, c.record_id, c.event_id)
		FROM change AS c
		JOIN authsync.repeated_changes($1, 9, now(),
			ARRAY(SELECT n FROM change ORDER BY n), ARRAY(SELECT record_type FROM change ORDER BY n), ARRAY(SELECT record_id FROM change ORDER BY n),
			ARRAY(SELECT user_id FROM change ORDER BY n), ARRAY(SELECT organization_id FROM change ORDER BY n), ARRAY(SELECT event_id FROM change ORDER BY n),
			array_fill('auth0'::text, ARRAY[12]), array_fill(now(), ARRAY[12])) AS r ON r.change_id = c.n`, id))
}

// A run covers the types that it has read: all users, and others as its report says.
func TestARunCoversTheTypesThatItRead(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{})
	_, err := b.Control.Exec(t.Context(), `
		INSERT INTO authsync.sync_runs (project_id, provider, kind, state, report, started_at, finished_at)
		VALUES ($1, 'auth0', 'backfill', 'done', '{"bad": [], "records": {"organization": 2}}', now() - interval '1 hour', now() - interval '1 hour')`, b.ProjectID)
	require.NoError(t, err)
	require.Equal(t, "organization user", b.One(t, `
		SELECT string_agg(t.name, ' ' ORDER BY t.name)
		FROM unnest(ARRAY['user', 'organization', 'membership', 'invitation', 'session']) WITH ORDINALITY AS t (name, n)
		JOIN authsync.repeated_changes($1, 9, now() - interval '2 hours', '{1,2,3,4,5}', '{user,organization,membership,invitation,session}',
			'{u,o,m,i,s}', '{u,u,u,u,u}', '{o,o,o,o,o}', '{e,e,e,e,e}', array_fill('auth0'::text, ARRAY[5]), array_fill(now(), ARRAY[5])) AS r
			ON r.change_id = t.n
		WHERE r.is_complete`, id))
}
