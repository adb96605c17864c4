package delivery_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

const pausedForItsCondition = "paused system condition took longer than 100ms; change the condition, and resume the destination"

func (b *testBundle) killed() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kills
}

// stateOf shows a destination's state.
func (b *testBundle) stateOf(tb testing.TB, id uuid.UUID) string {
	tb.Helper()
	return b.one(tb, `SELECT concat_ws(' ', state, state_by, state_reason) FROM authsync.destinations WHERE id = $1`, id)
}

func (b *testBundle) setCondition(tb testing.TB, id uuid.UUID, condition *string) {
	tb.Helper()
	_, err := b.control.Exec(tb.Context(), `UPDATE authsync.destinations SET condition = $2, updated_at = now() WHERE id = $1`, id, condition)
	require.NoError(tb, err)
}

// relayedTo is the user of the last change that a destination has passed.
func (b *testBundle) relayedTo(tb testing.TB, id uuid.UUID) string {
	tb.Helper()
	at := b.one(tb, `SELECT cursor::text FROM authsync.destination_progress WHERE destination_id = $1`, id)
	var user string
	require.NoError(tb, b.project.QueryRow(tb.Context(), `SELECT user_id FROM capydb_auth.user_changes WHERE id = $1::bigint`, at).Scan(&user))
	return user
}

// bombed makes a destination with a condition that costs workers, and brings it to a halt. Each change is a page of
// its own, for what a condition has cost is counted over all of them.
func bombed(t *testing.T, b *testBundle, s *sink, condition string) (id uuid.UUID) {
	t.Helper()
	id = b.addFrom(t, "bomb", s, &condition, delivery.From{})
	for i := range jq.MaxKills {
		b.change(t, fmt.Sprint("bad", i))
		b.until(t, strconv.Itoa(i+1), func() string { return strconv.Itoa(b.killed()) })
	}
	b.until(t, pausedForItsCondition, func() string { return b.stateOf(t, id) })
	return id
}

func TestBombConditionPausesItsDestinationAndNoOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := &sink{}
	otherID := b.add(t, "other", other)
	b.work(t)
	id := bombed(t, b, &sink{}, "bomb ")
	require.Equal(t, "bad1", b.relayedTo(t, id), "the change at which it came to a halt is still to come")
	b.change(t, "u1", "u2", "u3")
	b.eventually(t, otherID, fmt.Sprint("delivered ", jq.MaxKills+3))
	b.change(t, "u4")
	b.eventually(t, otherID, fmt.Sprint("delivered ", jq.MaxKills+4))
	require.Equal(t, jq.MaxKills, b.killed(), "a paused destination costs no more workers")
	require.Equal(t, fmt.Sprint("failed ", jq.MaxKills-1), b.states(t, id))
	require.Equal(t, pausedForItsCondition, b.stateOf(t, id))
}

func TestChangesBeforeTheHaltAreMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	condition := "bomb bad"
	b.apply(t, "u1", "bad1", "u2", "bad2", "u3", "bad3", "u4")
	id := b.addFrom(t, "bomb", s, &condition, delivery.From{Beginning: true})
	b.work(t)
	b.until(t, pausedForItsCondition, func() string { return b.stateOf(t, id) })
	require.Equal(t, "failed 2, ready 3", b.states(t, id))
	require.Equal(t, "u3", b.relayedTo(t, id))
	b.setCondition(t, id, nil)
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 5, failed 2")
	require.Equal(t, "u1 u2 u3 bad3 u4", s.users())
}

func TestResumedWithAnotherConditionGetsAllChangesSince(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, other := &sink{}, &sink{}
	otherID := b.add(t, "other", other)
	b.work(t)
	id := bombed(t, b, s, "bomb ")
	want := []string{"bad2"}
	for i := range 20 {
		user := fmt.Sprint("u", i%3) // several of each user
		b.change(t, user)
		want = append(want, user)
	}
	b.eventually(t, otherID, "delivered 23")
	require.Empty(t, s.users())
	b.setCondition(t, id, nil)
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 21, failed 2")
	require.Equal(t, "active user", b.stateOf(t, id))
	require.Equal(t, strings.Join(want, " "), s.users(), "in order, and none is lost")
	require.Equal(t, jq.MaxKills, b.killed())
}

// As soon as the condition is another one, what was kept back is made, and waits until the destination is resumed.
func TestAnotherConditionIsRelayedWhilePaused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := &sink{}
	b.work(t)
	id := bombed(t, b, s, "bomb ")
	_, err := b.control.Exec(t.Context(), `UPDATE authsync.destinations SET condition = NULL, filter_halted = false WHERE id = $1`, id)
	require.NoError(t, err)
	b.change(t, "u1")
	b.eventually(t, id, "failed 2, ready 2")
	require.Equal(t, pausedForItsCondition, b.stateOf(t, id))
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 2, failed 2")
	require.Equal(t, "bad2 u1", s.users())
}

// Who resumes a destination as it is finds it paused again.
func TestResumedAsItIsHaltsAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work(t)
	id := bombed(t, b, &sink{}, "bomb ")
	b.change(t, "u1", "u2", "u3", "u4")
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.until(t, pausedForItsCondition, func() string { return b.stateOf(t, id) })
	require.Equal(t, 2*jq.MaxKills, b.killed())
	require.Equal(t, fmt.Sprint("failed ", 2*(jq.MaxKills-1)), b.states(t, id))
}

// Another condition has kills of its own, and a destination that was paused by a person stays so, and costs no more either.
func TestPausedByAPersonHaltsToo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	other := &sink{}
	otherID := b.add(t, "other", other)
	condition := "bomb b"
	id := b.addFrom(t, "bomb", &sink{}, &condition, delivery.From{})
	require.NoError(t, b.outbox.Pause(t.Context(), id, delivery.ByUser, delivery.StatePaused, "the CRM is being moved"))
	b.work(t)
	for i := range jq.MaxKills + 2 {
		if i == 1 {
			another := "bomb ba"
			b.setCondition(t, id, &another)
		}
		b.change(t, fmt.Sprint("bad", i))
		b.eventually(t, otherID, fmt.Sprint("delivered ", i+1))
		b.until(t, strconv.Itoa(min(i+1, jq.MaxKills+1)), func() string { return strconv.Itoa(b.killed()) })
	}
	b.change(t, "bad", "bad")
	b.eventually(t, otherID, fmt.Sprint("delivered ", jq.MaxKills+4))
	require.Equal(t, jq.MaxKills+1, b.killed())
	require.Equal(t, "paused user the CRM is being moved", b.stateOf(t, id))
	b.setCondition(t, id, nil)
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "delivered 4, failed 3")
}

func TestOrdinaryErrorsOfAConditionPauseNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	condition := "error"
	id := b.addFrom(t, "sink", &sink{}, &condition, delivery.From{})
	b.work(t)
	for i := range 2 * jq.MaxKills {
		b.change(t, fmt.Sprint("u", i))
		b.eventually(t, id, fmt.Sprint("failed ", i+1))
	}
	require.Equal(t, "active user", b.stateOf(t, id))
}

// A replay asks the condition about every change there is.
func TestReplayThatCostsWorkersEndsAndPauses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.apply(t, "u1", "u2", "bad1", "bad2", "bad3", "bad4", "u3")
	condition := "bomb bad"
	id := b.addFrom(t, "bomb", &sink{}, &condition, delivery.From{})
	_, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{From: delivery.From{Beginning: true}, DryRun: true})
	require.True(t, fault.Is(err, fault.WrongState))
	require.ErrorContains(t, err, "change the condition")
	require.Equal(t, "active user", b.stateOf(t, id), "a dry run changes nothing")
	done, err := b.outbox.Replay(t.Context(), b.projectID, id, delivery.Replay{From: delivery.From{Beginning: true}})
	require.True(t, fault.Is(err, fault.WrongState))
	require.EqualValues(t, 4, done.Requeued, "it says what is done")
	require.Equal(t, 2*jq.MaxKills, b.killed())
	require.Equal(t, pausedForItsCondition, b.stateOf(t, id))
	require.Equal(t, "failed 2, ready 2", b.states(t, id))
}

// Nobody pauses a destination for a condition that it no longer has.
func TestAConditionChangedMeanwhileIsNotHalted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	now := "true"
	id := b.addFrom(t, "sink", &sink{}, &now, delivery.From{})
	halt := func(fields []string, condition *string) string {
		return b.one(t, `
			SELECT concat_ws(' ', authsync.halt_filter(d.id, d.event_types, $2, $3, 'r', $4), (SELECT filter_halted FROM authsync.destinations AS n WHERE n.id = d.id))
			FROM authsync.destinations AS d WHERE d.id = $1`, id, fields, condition, time.Now())
	}
	old := "false"
	require.Equal(t, "f f", halt([]string{}, &old))
	require.Equal(t, "f f", halt([]string{}, nil))
	require.Equal(t, "f f", halt([]string{"email"}, &now))
	require.Equal(t, "active user", b.stateOf(t, id))
	require.Contains(t, halt([]string{}, &now), "t ")
	require.Equal(t, "paused system r", b.stateOf(t, id))
}
