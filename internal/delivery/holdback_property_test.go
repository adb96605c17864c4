package delivery_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/rapidtest"
)

// withholding is a destination with a holdback, with what it has been told and may be told.
type withholding struct {
	*deliverytest.Bundle

	id   uuid.UUID
	sink *deliverytest.Sink
	seen int                   // messages
	last map[record.Ref]string // the id of the newest message
	of   string                // what the ids of its records end with: others know those of other destinations
	deaf bool                  // it hears of no restoration, so it may think that a record is deleted
	// tells are the rows that it holds, and may the deleted records whose deletion it may hear of.
	tells map[record.Ref]json.RawMessage
	may   map[record.Ref]bool
}

// Whatever comes in which order, fails, is confirmed or is due, and whichever worker dies when: no deletion arrives before its
// holdback is over unless it is confirmed, and none at all of a record that was restored before. Nobody is told that a
// record is restored who was not told that it was deleted. What is told differs from what was told before, and in
// the end the destination holds what the mirror has.
func TestDeletionsAreHeldBack(t *testing.T) {
	t.Parallel()
	rapidtest.InParts(t, deletionsAreHeldBack)
}

func deletionsAreHeldBack(t *testing.T) {
	t.Helper()
	b := deliverytest.New(t)
	stop := start(t, b)
	rapid.Check(t, func(drawn *rapid.T) {
		rt := rapidtest.Loud(t, drawn)
		s := &deliverytest.Sink{Can: destination.Capabilities{
			States: rapid.Bool().Draw(rt.T, "states"), Batch: rapid.IntRange(1, 4).Draw(rt.T, "batch"), Parallel: rapid.IntRange(1, 4).Draw(rt.T, "parallel"),
		}}
		s.Answer = unsteady(rapid.SampledFrom([]int{4, 10, 100}).Draw(rt.T, "odds"))
		id := b.AddFrom(t, "sink-"+uuid.NewString()[:8], s, nil, admin.From{})
		types, deaf := destination.EventTypes(), rapid.IntRange(0, 3).Draw(rt.T, "hears of no restoration") == 0
		if deaf {
			types = slices.DeleteFunc(types, func(name string) bool { return name == "user.restored" || name == "membership.restored" })
		}
		b.SetEventTypes(t, id, types...)
		b.SetHoldback(t, id, 24*time.Hour)
		w := &withholding{Bundle: b, id: id, sink: s, of: id.String()[:8], deaf: deaf, tells: map[record.Ref]json.RawMessage{}, last: map[record.Ref]string{}, may: map[record.Ref]bool{}}
		before := w.cursor(t)
		for range rapid.IntRange(1, 5).Draw(rt.T, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt.T, "step") {
			case 0: // a day passes
				_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET held_from = held_from - interval '25 hours' WHERE state = 'held'`)
				require.NoError(rt, err)
				w.allow(t, "")
			case 1:
				if one := b.One(t, `SELECT id::text FROM authsync.deliveries WHERE destination_id = $1 AND state = 'held' ORDER BY change_id LIMIT 1`, id); one != "" {
					w.allow(t, one)
					var n int64
					_, err := fmt.Sscan(one, &n)
					require.NoError(rt, err)
					require.NoError(rt, b.Admin.Confirm(t.Context(), b.ProjectID, n))
				}
			default:
				w.apply(t, rt)
			}
			b.Wake(t)
			if rapid.IntRange(0, 3).Draw(rt.T, "dies") == 0 {
				stop = restart(t, b, stop)
			}
			settle(t, b, rt, id)
			w.check(rt)
		}
		_, err := b.Control.Exec(t.Context(), `UPDATE authsync.deliveries SET held_from = held_from - interval '25 hours' WHERE state = 'held'`)
		require.NoError(rt, err)
		w.allow(t, "")
		b.Wake(t)
		settle(t, b, rt, id)
		w.check(rt)
		w.checkMirror(t, rt, before)
		_, err = b.Control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
		require.NoError(rt, err)
	})
}

func (w *withholding) cursor(t *testing.T) int64 {
	t.Helper()
	cursor, err := w.Mirrors.ChangeCursor(t.Context(), w.ProjectID, time.Time{})
	require.NoError(t, err)
	return cursor
}

// apply applies a few events: changes that restore a deleted record, and deletions. Some change nothing else.
func (w *withholding) apply(t *testing.T, rt rapidtest.T) {
	t.Helper()
	user, other, organization := "u1-"+w.of, "u2-"+w.of, "o1-"+w.of
	refs := []record.Ref{
		{Type: record.User, ID: user},
		{Type: record.User, ID: other},
		{Type: record.Organization, ID: organization},
		{Type: record.Membership, ID: organization + "/" + user},
		{Type: record.Membership, ID: organization + "/" + other},
		{Type: record.Session, ID: "s1-" + w.of},
	}
	events := make([]mirror.Event, rapid.IntRange(1, 8).Draw(rt.T, "events"))
	for i := range events {
		ref := rapid.SampledFrom(refs).Draw(rt.T, "record")
		switch rapid.IntRange(0, 5).Draw(rt.T, "event") {
		case 0, 1:
			events[i] = w.Deletion(ref)
		case 2:
			events[i] = w.Event(ref)
			events[i].Raw = json.RawMessage(`{"n": 0}`)
		case 3: // a change of a deleted record
			events[i] = w.Event(ref)
			delete(events[i].Fields, record.DeletedAt)
		default:
			events[i] = w.Event(ref)
		}
		if ref.Type == record.Session {
			events[i].UserID, events[i].Fields[record.UserID] = user, &user
		}
	}
	w.ApplyEvents(t, events...)
}

// allow notes of which deletions the destination may hear: of those that are held, or of the record of one of them.
func (w *withholding) allow(t *testing.T, one string) {
	t.Helper()
	rows, err := w.Control.Query(t.Context(), `
		SELECT d.record_type, d.record_id
		FROM authsync.deliveries AS d
		WHERE d.destination_id = $1 AND d.state = 'held' AND ($2 = '' OR (d.record_type, d.record_id) IN (
			SELECT o.record_type, o.record_id FROM authsync.deliveries AS o WHERE o.id::text = $2))`, w.id, one)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() { //nolint:forbidigo // two columns
		var ref record.Ref
		require.NoError(t, rows.Scan(&ref.Type, &ref.ID))
		w.may[ref] = true
	}
	require.NoError(t, rows.Err())
}

// check looks at the messages that have come since the last time.
func (w *withholding) check(rt rapidtest.T) {
	all := w.sink.Messages()
	for _, m := range all[w.seen:] {
		ref := record.Ref{Type: m.RecordType, ID: m.RecordID}
		was, told := w.tells[ref]
		isDeleted, err := delivery.IsDeleted(ref.Type, m.Row)
		require.NoError(rt, err)
		if isDeleted {
			require.True(rt, w.may[ref], "%s of %v comes too early", m.EventType, ref)
		} else {
			delete(w.may, ref)
		}
		wasDeleted, err := delivery.IsDeleted(ref.Type, json.RawMessage(cmp.Or(string(was), "{}")))
		require.NoError(rt, err)
		// What a process sent that died before it could record it is sent again, as if for the first time.
		isRepeated := w.last[ref] == m.ID
		w.last[ref] = m.ID
		if told && m.Attempt == 1 && !isRepeated && (!w.deaf || !wasDeleted) {
			require.True(rt, wasDeleted || m.Kind() != record.Restored, "%v is restored that was not deleted", ref)
			require.Empty(rt, differences(rt, ref, was, m.Before), "%s of %v says what differs from %s, not from %s", m.EventType, ref, m.Before, was)
			// Where states coalesce, a record may have come back to what it was meanwhile.
			require.True(rt, len(m.Changed) > 0 || w.sink.Can.States, m.EventType)
		}
		w.tells[ref] = m.Row
	}
	w.seen = len(all)
}

func differences(rt rapidtest.T, ref record.Ref, was, is json.RawMessage) []string {
	_, changed, err := delivery.Compare(ref.Type, was, is)
	require.NoError(rt, err)
	return changed
}

// checkMirror compares what the destination holds with the mirror.
func (w *withholding) checkMirror(t *testing.T, rt rapidtest.T, after int64) {
	t.Helper()
	changes, err := w.Mirrors.ReadChanges(t.Context(), w.ProjectID, after, 10_000)
	require.NoError(rt, err)
	newest := map[record.Ref]json.RawMessage{}
	for _, c := range changes {
		newest[record.Ref{Type: c.RecordType, ID: c.RecordID}] = c.Row
	}
	for ref, row := range newest {
		was, told := w.tells[ref]
		if !told { // deleted and restored, and otherwise as it was before the destination came
			continue
		}
		if thinks, err := delivery.IsDeleted(ref.Type, was); w.deaf && thinks {
			require.NoError(rt, err)
			continue
		}
		require.Empty(rt, differences(rt, ref, was, row), "of %v, which is %s and not %s: %s", ref, row, was, w.One(t, `
			SELECT string_agg(concat_ws(' ', change_id, first_change_id, event_type, state, reason), E'\n' ORDER BY change_id)
			FROM authsync.deliveries WHERE destination_id = $1 AND record_id = $2`, w.id, ref.ID))
	}
}
