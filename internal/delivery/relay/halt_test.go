package relay_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

func setCondition(tb testing.TB, b *deliverytest.Bundle, id uuid.UUID, condition *string) {
	tb.Helper()
	_, err := b.Control.Exec(tb.Context(), `UPDATE authsync.destinations SET condition = $2, updated_at = now() WHERE id = $1`, id, condition)
	require.NoError(tb, err)
}

// relayedTo is the user of the last change that a destination has passed.
func relayedTo(tb testing.TB, b *deliverytest.Bundle, id uuid.UUID) string {
	tb.Helper()
	at := b.One(tb, `SELECT cursor::text FROM authsync.destination_progress WHERE destination_id = $1`, id)
	var user string
	require.NoError(tb, b.Project.QueryRow(tb.Context(), `SELECT user_id FROM capydb_auth.user_changes WHERE id = $1::bigint`, at).Scan(&user))
	return user
}

// bombed makes a destination with a condition that costs workers, and brings it to a halt. Each change is a page of
// its own, for what a condition has cost is counted over all of them.
func bombed(t *testing.T, b *deliverytest.Bundle, s *deliverytest.Sink, condition string) (id uuid.UUID) {
	t.Helper()
	id = b.AddFrom(t, "bomb", s, &condition, admin.From{})
	for i := range jq.MaxKills {
		b.Change(t, fmt.Sprint("bad", i))
		b.Until(t, strconv.Itoa(i+1), func() string { return strconv.Itoa(b.Killed()) })
	}
	b.Until(t, deliverytest.PausedForItsCondition, func() string { return b.StateOf(t, id) })
	return id
}

func TestBombConditionPausesItsDestinationAndNoOther(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	other := &deliverytest.Sink{}
	otherID := b.Add(t, "other", other)
	b.Work(t)
	id := bombed(t, b, &deliverytest.Sink{}, "bomb ")
	require.Equal(t, "bad1", relayedTo(t, b, id), "the change at which it came to a halt is still to come")
	b.Change(t, "u1", "u2", "u3")
	b.Eventually(t, otherID, fmt.Sprint("delivered ", jq.MaxKills+3))
	b.Change(t, "u4")
	b.Eventually(t, otherID, fmt.Sprint("delivered ", jq.MaxKills+4))
	require.Equal(t, jq.MaxKills, b.Killed(), "a paused destination costs no more workers")
	require.Equal(t, fmt.Sprint("failed ", jq.MaxKills-1), b.States(t, id))
	require.Equal(t, deliverytest.PausedForItsCondition, b.StateOf(t, id))
}

func TestChangesBeforeTheHaltAreMade(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	condition := "bomb bad"
	b.Apply(t, "u1", "bad1", "u2", "bad2", "u3", "bad3", "u4")
	id := b.AddFrom(t, "bomb", s, &condition, admin.From{Beginning: true})
	b.Work(t)
	b.Until(t, deliverytest.PausedForItsCondition, func() string { return b.StateOf(t, id) })
	require.Equal(t, "failed 2, ready 3", b.States(t, id))
	require.Equal(t, "u3", relayedTo(t, b, id))
	setCondition(t, b, id, nil)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 5, failed 2")
	require.Equal(t, "u1 u2 u3 bad3 u4", s.Users())
}

func TestResumedWithAnotherConditionGetsAllChangesSince(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s, other := &deliverytest.Sink{}, &deliverytest.Sink{}
	otherID := b.Add(t, "other", other)
	b.Work(t)
	id := bombed(t, b, s, "bomb ")
	want := []string{"bad2"}
	for i := range 20 {
		user := fmt.Sprint("u", i%3) // several of each user
		b.Change(t, user)
		want = append(want, user)
	}
	b.Eventually(t, otherID, "delivered 23")
	require.Empty(t, s.Users())
	setCondition(t, b, id, nil)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 21, failed 2")
	require.Equal(t, "active user", b.StateOf(t, id))
	require.Equal(t, strings.Join(want, " "), s.Users(), "in order, and none is lost")
	require.Equal(t, jq.MaxKills, b.Killed())
}

// As soon as the condition is another one, what was kept back is made, and waits until the destination is resumed.
func TestAnotherConditionIsRelayedWhilePaused(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	b.Work(t)
	id := bombed(t, b, s, "bomb ")
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.destinations SET condition = NULL, filter_halted = false WHERE id = $1`, id)
	require.NoError(t, err)
	b.Change(t, "u1")
	b.Eventually(t, id, "failed 2, ready 2")
	require.Equal(t, deliverytest.PausedForItsCondition, b.StateOf(t, id))
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 2, failed 2")
	require.Equal(t, "bad2 u1", s.Users())
}

// Who resumes a destination as it is finds it paused again.
func TestResumedAsItIsHaltsAgain(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Work(t)
	id := bombed(t, b, &deliverytest.Sink{}, "bomb ")
	b.Change(t, "u1", "u2", "u3", "u4")
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Until(t, deliverytest.PausedForItsCondition, func() string { return b.StateOf(t, id) })
	require.Equal(t, 2*jq.MaxKills, b.Killed())
	require.Equal(t, fmt.Sprint("failed ", 2*(jq.MaxKills-1)), b.States(t, id))
}

// Another condition has kills of its own, and a destination that was paused by a person stays so, and costs no more either.
func TestPausedByAPersonHaltsToo(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	other := &deliverytest.Sink{}
	otherID := b.Add(t, "other", other)
	condition := "bomb b"
	id := b.AddFrom(t, "bomb", &deliverytest.Sink{}, &condition, admin.From{})
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, "the CRM is being moved"))
	b.Work(t)
	for i := range jq.MaxKills + 2 {
		if i == 1 {
			another := "bomb ba"
			setCondition(t, b, id, &another)
		}
		b.Change(t, fmt.Sprint("bad", i))
		b.Eventually(t, otherID, fmt.Sprint("delivered ", i+1))
		b.Until(t, strconv.Itoa(min(i+1, jq.MaxKills+1)), func() string { return strconv.Itoa(b.Killed()) })
	}
	b.Change(t, "bad", "bad")
	b.Eventually(t, otherID, fmt.Sprint("delivered ", jq.MaxKills+4))
	require.Equal(t, jq.MaxKills+1, b.Killed())
	require.Equal(t, "paused user the CRM is being moved", b.StateOf(t, id))
	setCondition(t, b, id, nil)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "delivered 4, failed 3")
}

func TestOrdinaryErrorsOfAConditionPauseNothing(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	condition := "error"
	id := b.AddFrom(t, "sink", &deliverytest.Sink{}, &condition, admin.From{})
	b.Work(t)
	for i := range 2 * jq.MaxKills {
		b.Change(t, fmt.Sprint("u", i))
		b.Eventually(t, id, fmt.Sprint("failed ", i+1))
	}
	require.Equal(t, "active user", b.StateOf(t, id))
}

// Nobody pauses a destination for a condition that it no longer has.
func TestAConditionChangedMeanwhileIsNotHalted(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	now := "true"
	id := b.AddFrom(t, "sink", &deliverytest.Sink{}, &now, admin.From{})
	halt := func(fields []string, condition *string) string {
		return b.One(t, `
			SELECT concat_ws(' ', authsync.halt_filter(d.id, d.event_types, $2, $3, 'r', $4), (SELECT filter_halted FROM authsync.destinations AS n WHERE n.id = d.id))
			FROM authsync.destinations AS d WHERE d.id = $1`, id, fields, condition, time.Now())
	}
	old := "false"
	require.Equal(t, "f f", halt([]string{}, &old))
	require.Equal(t, "f f", halt([]string{}, nil))
	require.Equal(t, "f f", halt([]string{"email"}, &now))
	require.Equal(t, "active user", b.StateOf(t, id))
	require.Contains(t, halt([]string{}, &now), "t ")
	require.Equal(t, "paused system r", b.StateOf(t, id))
}
