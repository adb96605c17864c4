package userapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/provider"
)

func TestNoWindowHoldsMoreThanTheRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		rate := Rate{Requests: rapid.IntRange(1, 200).Draw(rt, "requests"), Window: time.Duration(rapid.IntRange(1, 60).Draw(rt, "seconds")) * time.Second}
		l := newLimiter(rate)
		now := time.Unix(1_700_000_000, 0)
		var sent []time.Time
		for _, idle := range rapid.SliceOfN(rapid.Int64Range(0, int64(rate.Window)/10), 1, 600).Draw(rt, "idle") {
			now = now.Add(time.Duration(idle))
			now = now.Add(l.reserve(now, time.Hour))
			sent = append(sent, now)
		}
		for i := rate.Requests; i < len(sent); i++ {
			require.GreaterOrEqual(rt, sent[i].Sub(sent[i-rate.Requests]), rate.Window, "request %d", i)
		}
	})
}

func TestTooLongAWaitReservesNothing(t *testing.T) {
	t.Parallel()
	l := newLimiter(Rate{Requests: 1, Window: 8 * time.Second})
	now := time.Unix(1_700_000_000, 0)
	require.Zero(t, l.reserve(now, time.Second))
	for range 3 {
		require.Equal(t, 10*time.Second, l.reserve(now, time.Second))
	}
	l.block(now, time.Minute)
	l.block(now, time.Second)
	require.Equal(t, time.Minute, l.reserve(now, time.Second), "the longest block counts")
}

func TestAccountsHaveLimitsOfTheirOwn(t *testing.T) {
	t.Parallel()
	limits, rate := NewLimits(), Rate{Requests: 1, Window: time.Second}
	one := limits.of("one", rate)
	require.Same(t, one, limits.of("one", rate))
	require.NotSame(t, one, limits.of("two", rate))
	var none *Limits
	require.NotSame(t, none.of(provider.Secret("one"), rate), none.of("one", rate))
}
