package sender_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// One user's data that the other side refuses each time opens no breaker, however often it
// fails: each change of anybody else arrives at once, by its first attempt.
func TestPoisonUserDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.SetClock(time.Now()) // it stands still: an open breaker stays open
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, strings.Fields(strings.Repeat("bad ", 8))...)
	for i := range 7 { // first attempts of different changes, without a success between them
		b.Eventually(t, id, strings.Replace(fmt.Sprintf("blocked %d, cancelled %d, retrying 1", 7-i, i), "cancelled 0, ", "", 1))
		deliveryID, err := strconv.ParseInt(b.One(t, `SELECT id::text FROM authsync.deliveries WHERE state = 'retrying'`), 10, 64)
		require.NoError(t, err)
		require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, deliveryID))
	}
	b.Until(t, "true", func() string { // and later ones of the same change
		b.Kick(t)
		return b.One(t, `SELECT (max(attempts) > 7)::text FROM authsync.deliveries`)
	})
	require.Equal(t, "0", b.One(t, `SELECT concat_ws(' ', breaker_trips, breaker_open_until) FROM authsync.destination_progress`))
	b.Change(t, "good")
	b.Until(t, "delivered 1", func() string {
		return b.One(t, `SELECT concat_ws(' ', state, attempts) FROM authsync.deliveries WHERE user_id = 'good'`)
	})
}

// A user that fails alone for days does not have the destination disabled.
func TestPoisonUserDisablesNothing(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	begun := time.Now()
	b.SetClock(begun)
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "bad", "bad")
	b.Until(t, "true", func() string {
		return b.One(t, `SELECT (failing_since IS NOT NULL)::text FROM authsync.destination_progress`)
	})
	b.SetClock(begun.Add(6 * 24 * time.Hour))
	before := s.Tried()
	waittest.Until(t, func() bool {
		b.Kick(t)
		return s.Tried() >= before+3
	})
	require.Equal(t, "active", b.One(t, `SELECT state FROM authsync.destinations`))
}

// While the breaker is open, probes go round: what has not been tried comes first, then what
// was tried longest ago. So a poison user that is probed once keeps nobody out.
func TestProbesGoRound(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	begun := time.Now().UTC().Truncate(time.Microsecond)
	b.SetClock(begun)
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1", "u2", "u3", "u4", "u5")
	opened := func(times string) {
		b.Until(t, times, func() string { return b.One(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	}
	opened("1")
	b.Change(t, "bad")
	b.Until(t, "1", func() string { return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE user_id = 'bad'`) })
	b.SetClock(b.Now().Add(20 * time.Minute))
	b.Until(t, "true", func() string { // bad, which nobody has tried yet
		b.Kick(t)
		return b.One(t, `SELECT (last_attempt_at IS NOT NULL)::text FROM authsync.deliveries WHERE user_id = 'bad'`)
	})
	opened("2")
	require.Equal(t, "0", b.One(t, `SELECT attempts::text FROM authsync.deliveries WHERE user_id = 'bad'`), "a probe costs none")

	// The other side is back, for all but one: no new change comes, and everybody else gets through.
	s.Set(deliverytest.FailingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"}))
	b.SetClock(b.Now().Add(20 * time.Minute))
	b.Until(t, "5", func() string {
		b.Kick(t)
		return b.One(t, `SELECT count(*)::text FROM authsync.deliveries WHERE state = 'delivered'`)
	})
	require.NotContains(t, s.Users(), "bad")
	require.Empty(t, b.One(t, `SELECT breaker_open_until::text FROM authsync.destination_progress`), "it is closed")
}
