package tenantdb

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

var errUnavailable = errors.New("no such host")

// fakeClock is moved by the test.
type fakeClock struct{ nanos atomic.Int64 }

func (c *fakeClock) now() time.Time       { return time.Unix(0, c.nanos.Load()) }
func (c *fakeClock) move(d time.Duration) { c.nanos.Add(int64(d)) }

func TestAnOutageIsNoticedToEndAfterAShareOfIt(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{0, time.Second, 10 * time.Second, time.Minute, time.Hour} {
		clock := &fakeClock{}
		clock.move(time.Hour)
		b := breaker{now: clock.now}
		begun := clock.now()
		back := begun.Add(outage)
		probe := func(context.Context) error {
			if clock.now().Before(back) {
				return errUnavailable
			}
			return nil
		}
		last := begun
		for until := b.failed(errUnavailable); ; {
			require.LessOrEqual(t, until.Sub(last), 5*time.Second, "between two probes")
			clock.move(until.Sub(clock.now()))
			last = until
			next, err := b.allow(t.Context(), probe)
			if err == nil {
				break
			}
			until = next
		}
		require.LessOrEqual(t, clock.now().Sub(back), 3*time.Second+outage/10, outage)
	}
}

func TestOthersWaitForTheProbesResult(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]error{"the database is available again": nil, "it is unavailable": errUnavailable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := &fakeClock{}
			clock.move(time.Hour)
			b := breaker{now: clock.now}
			until := b.failed(errUnavailable)
			_, err := b.allow(t.Context(), nil)
			require.ErrorIs(t, err, errUnavailable, "it is not time yet: nobody probes")
			clock.move(until.Sub(clock.now()))

			var probes atomic.Int64
			answer := make(chan error)
			probe := func(context.Context) error {
				probes.Add(1)
				return <-answer
			}
			const callers = 20
			results := make(chan error, callers)
			var started sync.WaitGroup
			for range callers {
				started.Add(1)
				go func() {
					started.Done()
					_, err := b.allow(t.Context(), probe)
					results <- err
				}()
			}
			started.Wait()
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			_, err = b.allow(ended, probe)
			require.ErrorIs(t, err, context.Canceled, "a caller may stop waiting")
			answer <- result
			for range callers {
				require.ErrorIs(t, waittest.Receive(t, results), result)
			}
			require.EqualValues(t, 1, probes.Load())
		})
	}
}

// The database answers, but calls go on failing: the outage is not over.
func TestAnAnswerAloneEndsNoOutage(t *testing.T) {
	t.Parallel()
	clock := &fakeClock{}
	clock.move(time.Hour)
	b := breaker{now: clock.now}
	answers := func(context.Context) error { return nil }
	b.failed(errUnavailable)
	clock.move(time.Minute)
	_, err := b.allow(t.Context(), answers)
	require.NoError(t, err)
	require.Greater(t, b.failed(errUnavailable).Sub(clock.now()), 3*time.Second, "not as at the beginning")
	clock.move(time.Minute)
	_, err = b.allow(t.Context(), answers)
	require.NoError(t, err)
	b.succeeded()
	require.Less(t, b.failed(errUnavailable).Sub(clock.now()), time.Second)
}
