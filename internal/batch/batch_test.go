package batch_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/batch"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stepped is a group whose flushes the test lets through one by one.
type stepped struct {
	*batch.Group[int, int]

	flushes chan []int // the items of each flush, as it begins
	finish  chan error // ends a flush: with its items doubled, or with an error
	answers chan answer
}

type answer struct {
	item, value int
	err         error
}

func newStepped(t *testing.T, change func(*batch.Config[int, int])) *stepped {
	t.Helper()
	s := &stepped{flushes: make(chan []int, 100), finish: make(chan error), answers: make(chan answer, 100)}
	config := batch.Config[int, int]{
		Size: func(item int) int { return item },
		Flush: func(ctx context.Context, items []int, results []batch.Result[int]) error {
			s.flushes <- slices.Clone(items)
			select {
			case err := <-s.finish:
				for i, item := range items {
					results[i].Value = 2 * item
				}
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	if change != nil {
		change(&config)
	}
	s.Group = batch.New(config)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.Close(ctx)
	})
	return s
}

// hand hands in items one after the other and returns when all of them wait.
func (s *stepped) hand(ctx context.Context, t *testing.T, items ...int) {
	t.Helper()
	for _, item := range items {
		before, _ := s.Waiting()
		go func() {
			value, err := s.Do(ctx, item)
			s.answers <- answer{item, value, err}
		}()
		waittest.Until(t, func() bool { n, _ := s.Waiting(); return n == before+1 })
	}
}

// occupy hands in an item and returns when it is in flight.
func (s *stepped) occupy(t *testing.T, item int) {
	t.Helper()
	go func() {
		value, err := s.Do(context.Background(), item)
		s.answers <- answer{item, value, err}
	}()
	require.Equal(t, []int{item}, <-s.flushes)
}

func TestItemsThatArriveDuringAFlushShareTheNext(t *testing.T) {
	t.Parallel()
	s := newStepped(t, nil)
	s.occupy(t, 1)
	s.hand(t.Context(), t, 2, 3, 4)

	s.finish <- nil
	require.Equal(t, answer{1, 2, nil}, <-s.answers)
	require.Equal(t, []int{2, 3, 4}, <-s.flushes)
	s.finish <- nil
	require.ElementsMatch(t, []answer{{2, 4, nil}, {3, 6, nil}, {4, 8, nil}}, []answer{<-s.answers, <-s.answers, <-s.answers})
}

func TestFlushTakesNoMoreThanItsBounds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		items, bytes int
		want         [][]int
	}{
		"Items":              {items: 2, want: [][]int{{10, 20}, {30, 40}}},
		"Bytes":              {bytes: 60, want: [][]int{{10, 20, 30}, {40}}},
		"HeavyItemGoesAlone": {bytes: 15, want: [][]int{{10}, {20}, {30}, {40}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStepped(t, func(c *batch.Config[int, int]) { c.MaxItems, c.MaxBytes = tc.items, tc.bytes })
			s.occupy(t, 1)
			s.hand(t.Context(), t, 10, 20, 30, 40)
			for _, want := range tc.want {
				s.finish <- nil
				require.Equal(t, want, <-s.flushes)
			}
		})
	}
}

func TestSeveralFlushesRunAtOnceUpToTheBound(t *testing.T) {
	t.Parallel()
	s := newStepped(t, func(c *batch.Config[int, int]) { c.MaxInFlight = 2 })
	s.occupy(t, 1)
	s.occupy(t, 2)
	s.hand(t.Context(), t, 3, 4)
	s.finish <- nil
	require.Equal(t, []int{3, 4}, <-s.flushes)
}

func TestFullGroupRefuses(t *testing.T) {
	t.Parallel()

	t.Run("ByCount", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, func(c *batch.Config[int, int]) { c.MaxWaiting = 2 })
		s.occupy(t, 1)
		s.hand(t.Context(), t, 2, 3)
		_, err := s.Do(t.Context(), 4)
		require.ErrorIs(t, err, batch.ErrFull)
	})

	t.Run("ByBytes", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, func(c *batch.Config[int, int]) { c.MaxWaitingBytes = 50 })
		s.occupy(t, 1)
		s.hand(t.Context(), t, 20, 30)
		_, err := s.Do(t.Context(), 1)
		require.ErrorIs(t, err, batch.ErrFull)
		n, bytes := s.Waiting()
		require.Equal(t, []int{2, 50}, []int{n, bytes})
	})

	t.Run("ButTakesAHeavyItemWhenNoOtherWaits", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, func(c *batch.Config[int, int]) { c.MaxWaitingBytes = 50 })
		s.occupy(t, 1)
		s.hand(t.Context(), t, 60)
		s.finish <- nil
		require.Equal(t, []int{60}, <-s.flushes)
	})
}

func TestContextThatEnds(t *testing.T) {
	t.Parallel()

	t.Run("BeforeTheCallTakesNothing", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Do(ctx, 1)
		require.ErrorIs(t, err, context.Canceled)
		require.Empty(t, s.flushes)
	})

	t.Run("WhileWaitingRemovesTheItem", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, func(c *batch.Config[int, int]) { c.MaxWaiting = 3 })
		cause := errors.New("the caller left")
		ctx, cancel := context.WithCancelCause(t.Context())
		s.occupy(t, 1)
		s.hand(t.Context(), t, 2)
		s.hand(ctx, t, 3)
		s.hand(t.Context(), t, 4)
		cancel(cause)
		require.Equal(t, answer{3, 0, cause}, <-s.answers)

		s.hand(t.Context(), t, 5) // the place is free again
		s.finish <- nil
		require.Equal(t, []int{2, 4, 5}, <-s.flushes)
	})

	t.Run("InFlightReturnsAtOnceAndLeavesTheOthersTheirResult", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		s.occupy(t, 1)
		s.hand(ctx, t, 2)
		s.hand(t.Context(), t, 3)
		s.finish <- nil
		require.Equal(t, 1, (<-s.answers).item)
		require.Equal(t, []int{2, 3}, <-s.flushes)
		cancel()
		require.Equal(t, answer{2, 0, context.Canceled}, <-s.answers)
		s.finish <- nil
		require.Equal(t, answer{3, 6, nil}, <-s.answers)
	})
}

func TestFlushThatFails(t *testing.T) {
	t.Parallel()

	t.Run("GivesItsErrorToAllOfItsItemsAndNoOthers", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, nil)
		broken := errors.New("broken")
		s.occupy(t, 1)
		s.hand(t.Context(), t, 2)
		s.finish <- broken
		require.Equal(t, answer{1, 0, broken}, <-s.answers)
		s.finish <- nil
		require.Equal(t, answer{2, 4, nil}, <-s.answers)
	})

	t.Run("CanFailOneItemAlone", func(t *testing.T) {
		t.Parallel()
		odd := errors.New("odd")
		g := batch.New(batch.Config[int, string]{
			Flush: func(_ context.Context, items []int, results []batch.Result[string]) error {
				for i, item := range items {
					if item%2 == 1 {
						results[i].Err = odd
					}
				}
				return nil
			},
		})
		_, err := g.Do(t.Context(), 1)
		require.ErrorIs(t, err, odd)
		_, err = g.Do(t.Context(), 2)
		require.NoError(t, err)
	})

	for name, die := range map[string]func(){"Panic": func() { panic("boom") }, "Goexit": runtime.Goexit} {
		t.Run(name+"BecomesAnErrorAndTheGroupGoesOn", func(t *testing.T) {
			t.Parallel()
			g := batch.New(batch.Config[bool, int]{
				Flush: func(_ context.Context, items []bool, results []batch.Result[int]) error {
					results[0].Value = 7
					if items[0] {
						die()
					}
					return nil
				},
			})
			value, err := g.Do(t.Context(), true)
			var panicked *batch.PanicError
			require.ErrorAs(t, err, &panicked)
			require.Zero(t, value)
			value, err = g.Do(t.Context(), false)
			require.NoError(t, err)
			require.Equal(t, 7, value)
			require.NoError(t, g.Close(t.Context()))
		})
	}
}

func TestClose(t *testing.T) {
	t.Parallel()

	t.Run("DrainsWhatWasTakenAndRefusesTheRest", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, nil)
		s.occupy(t, 1)
		s.hand(t.Context(), t, 2)
		closed := make(chan error)
		go func() { closed <- s.Close(t.Context()) }()
		waittest.Until(t, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			defer cancel()
			_, err := s.Do(ctx, 3)
			return errors.Is(err, batch.ErrClosed)
		})

		s.finish <- nil
		require.Equal(t, []int{2}, <-s.flushes)
		require.Empty(t, closed)
		s.finish <- nil
		require.NoError(t, <-closed)
		require.ElementsMatch(t, []answer{{1, 2, nil}, {2, 4, nil}}, []answer{<-s.answers, <-s.answers})
		require.NoError(t, s.Close(t.Context()))
	})

	t.Run("GivesUpWhenItsContextEnds", func(t *testing.T) {
		t.Parallel()
		s := newStepped(t, nil)
		s.occupy(t, 1)
		s.hand(t.Context(), t, 2)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, s.Close(ctx), context.Canceled)
		require.ElementsMatch(t, []answer{{1, 0, context.Canceled}, {2, 0, batch.ErrClosed}}, []answer{<-s.answers, <-s.answers})
	})
}

// Whatever callers, bounds and impatience: every item is flushed at most once,
// whoever gets a result gets that of its own item, and bounds hold.
func TestEveryItemHasOneResult(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		maxItems := rapid.IntRange(0, 5).Draw(rt, "max items")
		inFlight := rapid.IntRange(1, 3).Draw(rt, "in flight")
		callers := rapid.IntRange(1, 60).Draw(rt, "callers")
		impatient := rapid.IntRange(1, 5).Draw(rt, "impatient")

		var mu sync.Mutex
		flushed := map[int]int{}
		var running, most, largest atomic.Int64
		g := batch.New(batch.Config[int, int]{
			MaxItems:    maxItems,
			MaxInFlight: inFlight,
			Flush: func(_ context.Context, items []int, results []batch.Result[int]) error {
				most.Store(max(most.Load(), running.Add(1)))
				defer running.Add(-1)
				largest.Store(max(largest.Load(), int64(len(items))))
				runtime.Gosched()
				mu.Lock()
				defer mu.Unlock()
				for i, item := range items {
					flushed[item]++
					results[i].Value = item
				}
				return nil
			},
		})

		answers := make([]answer, callers)
		var wait sync.WaitGroup
		for i := range callers {
			wait.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if i%impatient == 1 {
					go cancel()
				}
				value, err := g.Do(ctx, i)
				answers[i] = answer{i, value, err}
			})
		}
		wait.Wait()
		require.NoError(rt, g.Close(context.Background()))

		for i, a := range answers {
			require.LessOrEqual(rt, flushed[i], 1)
			if a.err != nil {
				require.ErrorIs(rt, a.err, context.Canceled)
				continue
			}
			require.Equal(rt, i, a.value)
			require.Equal(rt, 1, flushed[i])
		}
		require.LessOrEqual(rt, most.Load(), int64(inFlight))
		if maxItems > 0 {
			require.LessOrEqual(rt, largest.Load(), int64(maxItems))
		}
		n, bytes := g.Waiting()
		require.Zero(rt, n+bytes)
	})
}

func BenchmarkDo(b *testing.B) {
	g := batch.New(batch.Config[int, int]{
		Flush: func(context.Context, []int, []batch.Result[int]) error { return nil },
	})
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			_, _ = g.Do(context.Background(), 1)
		}
	})
}
