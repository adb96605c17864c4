package delivery_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// One user's data that the other side refuses each time opens no breaker, however often it
// fails: each change of anybody else arrives at once, by its first attempt.
func TestPoisonUserDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.setClock(time.Now()) // it stands still: an open breaker stays open
	s := &sink{answer: failingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, strings.Fields(strings.Repeat("bad ", 8))...)
	for i := range 7 { // first attempts of different changes, without a success between them
		b.eventually(t, id, strings.Replace(fmt.Sprintf("blocked %d, cancelled %d, retrying 1", 7-i, i), "cancelled 0, ", "", 1))
		deliveryID, err := strconv.ParseInt(b.one(t, `SELECT id::text FROM authsync.deliveries WHERE state = 'retrying'`), 10, 64)
		require.NoError(t, err)
		require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, deliveryID))
	}
	b.until(t, "true", func() string { // and later ones of the same change
		b.kick(t)
		return b.one(t, `SELECT (max(attempts) > 7)::text FROM authsync.deliveries`)
	})
	require.Equal(t, "0", b.one(t, `SELECT concat_ws(' ', breaker_trips, breaker_open_until) FROM authsync.destination_progress`))
	b.change(t, "good")
	b.until(t, "delivered 1", func() string {
		return b.one(t, `SELECT concat_ws(' ', state, attempts) FROM authsync.deliveries WHERE user_id = 'good'`)
	})
}

// A user that fails alone for days does not have the destination disabled.
func TestPoisonUserDisablesNothing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun := time.Now()
	b.setClock(begun)
	s := &sink{answer: failing()}
	b.add(t, "sink", s)
	b.work(t)
	b.change(t, "bad", "bad")
	b.until(t, "true", func() string {
		return b.one(t, `SELECT (failing_since IS NOT NULL)::text FROM authsync.destination_progress`)
	})
	b.setClock(begun.Add(6 * 24 * time.Hour))
	before := s.tried()
	waittest.Until(t, func() bool {
		b.kick(t)
		return s.tried() >= before+3
	})
	require.Equal(t, "active", b.one(t, `SELECT state FROM authsync.destinations`))
}

// While the breaker is open, probes go round: what has not been tried comes first, then what
// was tried longest ago. So a poison user that is probed once keeps nobody out.
func TestProbesGoRound(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun := time.Now().UTC().Truncate(time.Microsecond)
	b.setClock(begun)
	s := &sink{answer: failing()}
	b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1", "u2", "u3", "u4", "u5")
	opened := func(times string) {
		b.until(t, times, func() string { return b.one(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	}
	opened("1")
	b.change(t, "bad")
	b.until(t, "1", func() string { return b.one(t, `SELECT count(*)::text FROM authsync.deliveries WHERE user_id = 'bad'`) })
	b.setClock(b.now().Add(20 * time.Minute))
	b.until(t, "true", func() string { // bad, which nobody has tried yet
		b.kick(t)
		return b.one(t, `SELECT (last_attempt_at IS NOT NULL)::text FROM authsync.deliveries WHERE user_id = 'bad'`)
	})
	opened("2")
	require.Equal(t, "0", b.one(t, `SELECT attempts::text FROM authsync.deliveries WHERE user_id = 'bad'`), "a probe costs none")

	// The other side is back, for all but one: no new change comes, and everybody else gets through.
	s.set(failingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"}))
	b.setClock(b.now().Add(20 * time.Minute))
	b.until(t, "5", func() string {
		b.kick(t)
		return b.one(t, `SELECT count(*)::text FROM authsync.deliveries WHERE state = 'delivered'`)
	})
	require.NotContains(t, s.users(), "bad")
	require.Empty(t, b.one(t, `SELECT breaker_open_until::text FROM authsync.destination_progress`), "it is closed")
}
