package delivery_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/rapidtest"
)

// records are few records of all types that belong together, with ids that users and organizations share.
func records() []record.Ref {
	return []record.Ref{
		{Type: record.User, ID: "u1"},
		{Type: record.User, ID: "o1"},
		{Type: record.Organization, ID: "o1"},
		{Type: record.Organization, ID: "u1"},
		{Type: record.Membership, ID: "o1/u1"},
		{Type: record.Membership, ID: "u1/u1"},
		{Type: record.Membership, ID: "o1/o1"},
		{Type: record.Invitation, ID: "i1"},
		{Type: record.Session, ID: "s1"},
		{Type: record.Session, ID: "s2"},
	}
}

// drawEvents draws changes of records. Some are deletions, and some do not say what a record belongs to.
func drawEvents(rt rapidtest.T, b *deliverytest.Bundle) []mirror.Event {
	events := make([]mirror.Event, rapid.IntRange(1, 12).Draw(rt.T, "events"))
	for i := range events {
		ref := rapid.SampledFrom(records()).Draw(rt.T, "record")
		if rapid.IntRange(0, 3).Draw(rt.T, "deletes") == 0 {
			events[i] = b.Deletion(ref)
		} else {
			events[i] = b.Event(ref)
		}
		if ref.Type == record.Session && rapid.IntRange(0, 2).Draw(rt.T, "of nobody known") == 0 {
			events[i].UserID = ""
			delete(events[i].Fields, record.UserID)
		}
		if ref.Type == record.Invitation && rapid.Bool().Draw(rt.T, "to nothing known") {
			events[i].OrganizationID = ""
			delete(events[i].Fields, record.OrganizationID)
		}
	}
	return events
}

// made is what deliveries were made of a destination, by the change.
type made struct {
	ref      record.Ref
	orderKey string
}

// Whatever fails, and whichever worker dies when: a destination ends with the newest state of each record. Of the
// deliveries with an order key, and of those of a record, none is first sent after a newer one. A state says from
// which row it differs, and a deletion that a membership shares comes after that of its user.
func TestRecordsOfAllTypesArriveInOrder(t *testing.T) {
	t.Parallel()
	rapidtest.InParts(t, recordsArriveInOrder)
}

func recordsArriveInOrder(t *testing.T) {
	t.Helper()
	b := deliverytest.New(t)
	stop := start(t, b)
	rapid.Check(t, func(drawn *rapid.T) {
		rt := rapidtest.Loud(t, drawn)
		states := rapid.Bool().Draw(rt.T, "states")
		s := &deliverytest.Sink{Can: destination.Capabilities{
			States: states, Batch: rapid.IntRange(1, 4).Draw(rt.T, "batch"), Parallel: rapid.IntRange(1, 4).Draw(rt.T, "parallel"),
		}}
		s.Answer = unsteady(rapid.SampledFrom([]int{4, 10, 100}).Draw(rt.T, "odds"))
		id := b.AddFrom(t, "sink-"+uuid.NewString()[:8], s, nil, admin.From{})
		b.SetEventTypes(t, id, destination.EventTypes()...)
		for range rapid.IntRange(1, 5).Draw(rt.T, "batches") {
			b.ApplyEvents(t, drawEvents(rt, b)...)
			b.Wake(t)
			if rapid.IntRange(0, 2).Draw(rt.T, "dies") == 0 {
				stop = restart(t, b, stop)
			}
		}
		settle(t, b, rt, id)
		deliveries := deliveriesOf(t, rt, b, id)
		ids := make([]int64, 0, len(deliveries))
		for change := range deliveries {
			ids = append(ids, change)
		}
		slices.Sort(ids)
		changes, err := b.Mirrors.ChangesByID(t.Context(), b.ProjectID, ids)
		require.NoError(rt, err)
		newest, byUser := map[record.Ref]string{}, map[string]int64{}
		for _, c := range changes { // by id
			newest[record.Ref{Type: c.RecordType, ID: c.RecordID}] = string(c.Row)
			if c.RecordType == record.User {
				byUser[c.EventID] = c.ID
			}
		}
		first := map[string]int64{} // the newest change that has arrived, by order key and by record
		seen, holds := map[string]bool{}, map[record.Ref]string{}
		for _, m := range s.Messages() {
			ref := record.Ref{Type: m.RecordType, ID: m.RecordID}
			if held, told := holds[ref]; states && told && m.Attempt == 1 {
				require.Equal(rt, held, string(m.Before), "what differs says nothing to one who holds another row")
			}
			holds[ref] = string(m.Row)
			if seen[m.ID] {
				continue
			}
			seen[m.ID] = true
			require.Equal(rt, ref, deliveries[m.ChangeID].ref)
			for _, key := range []string{deliveries[m.ChangeID].orderKey, "record " + string(ref.Type) + " " + ref.ID} {
				require.Greater(rt, m.ChangeID, first[key], "out of order in %s", key)
				first[key] = m.ChangeID
			}
			if ofUser := byUser[m.EventID]; m.RecordType == record.Membership && ofUser > 0 {
				_, user, _ := record.SplitMembershipID(m.RecordID)
				require.GreaterOrEqual(rt, first["record user "+user], ofUser, "the deletion of %s comes before its user's", m.RecordID)
			}
		}
		if !states {
			require.Len(rt, seen, len(deliveries))
		}
		require.Equal(rt, newest, holds)
		_, err = b.Control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
		require.NoError(rt, err)
	})
}

func deliveriesOf(t *testing.T, rt rapidtest.T, b *deliverytest.Bundle, id uuid.UUID) map[int64]made {
	t.Helper()
	rows, err := b.Control.Query(t.Context(), `SELECT change_id, record_type, record_id, order_key FROM authsync.deliveries WHERE destination_id = $1`, id)
	require.NoError(rt, err)
	all := map[int64]made{}
	var change int64
	var m made
	_, err = pgx.ForEachRow(rows, []any{&change, &m.ref.Type, &m.ref.ID, &m.orderKey}, func() error {
		all[change] = m
		return nil
	})
	require.NoError(rt, err)
	return all
}

// Records of one user wait for each other, whatever their type; those of the organization of the same id do not.
func TestOrderKeysOfUsersAndOrganizationsDiffer(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{})
	b.SetEventTypes(t, id, destination.EventTypes()...)
	session, invitation := b.Event(record.Ref{Type: record.Session, ID: "x"}), b.Event(record.Ref{Type: record.Invitation, ID: "x"})
	session.UserID, invitation.OrganizationID = "", ""
	delete(session.Fields, record.UserID)
	delete(invitation.Fields, record.OrganizationID)
	b.ApplyEvents(t, b.Event(record.Ref{Type: record.User, ID: "x"}), b.Event(record.Ref{Type: record.Organization, ID: "x"}),
		b.Event(record.Ref{Type: record.Membership, ID: "a%2F/u1"}), session, invitation)
	b.ApplyEvents(t, b.Event(record.Ref{Type: record.Session, ID: "y"}), b.Event(record.Ref{Type: record.Invitation, ID: "y"}))
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.destinations SET state = 'paused' WHERE id = $1`, id)
	require.NoError(t, err)
	b.Wake(t)
	b.Work(t)
	b.Until(t, strings.Join([]string{
		"invitation x: invitation:x ready", "invitation y: organization:o1 ready", "membership a%2F/u1: user:u1 ready", "organization x: organization:x ready",
		"session x: session:x ready", "session y: user:u1 blocked", "user x: user:x ready",
	}, "\n"), func() string {
		return b.One(t, `
			SELECT string_agg(format('%s %s: %s %s', record_type, record_id, order_key, state), E'\n' ORDER BY record_type, record_id)
			FROM authsync.deliveries`)
	})
}
