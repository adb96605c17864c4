package receiver

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

const mega = 1 << 20

// held takes memory without waiting, and fails the test if there is none.
func held(t *testing.T, b *budget, project uuid.UUID, address netip.Addr, size int64) *claim {
	t.Helper()
	c := &claim{project: project, address: address, size: size}
	require.True(t, b.take(expired(t), c), "%d bytes", size)
	return c
}

func refused(t *testing.T, b *budget, project uuid.UUID, address netip.Addr, size int64) {
	t.Helper()
	require.False(t, b.take(expired(t), &claim{project: project, address: address, size: size}), "%d bytes", size)
}

// expired is a context with which nobody waits.
func expired(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

func TestMemoryIsShared(t *testing.T) {
	t.Parallel()
	none := netip.Addr{}
	one, other := uuid.New(), uuid.New()

	t.Run("AProjectGetsAQuarter", func(t *testing.T) {
		t.Parallel()
		b := newBudget(64*mega, mega)
		for range 14 { // of the 56 MiB that are for any body
			held(t, b, one, none, mega)
		}
		refused(t, b, one, none, mega)
		held(t, b, other, none, mega)
	})

	t.Run("AnAddressGetsAnEighthInWhateverProject", func(t *testing.T) {
		t.Parallel()
		b := newBudget(64*mega, mega)
		attacker, neighbour := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
		for range 7 {
			held(t, b, uuid.New(), attacker, mega)
		}
		refused(t, b, uuid.New(), attacker, mega)
		held(t, b, one, neighbour, mega)
		held(t, b, one, none, mega)
	})

	t.Run("SmallBodiesHaveAReserveWithinTheSameProject", func(t *testing.T) {
		t.Parallel()
		b := newBudget(64*mega, mega)
		for range 14 {
			held(t, b, one, none, mega)
		}
		for range 2 * mega / small / 2 {
			held(t, b, one, none, small)
		}
		refused(t, b, one, none, small+2)
	})

	t.Run("SmallBodiesHaveAReserveWhenAllElseIsTaken", func(t *testing.T) {
		t.Parallel()
		b := newBudget(64*mega, mega)
		for range 56 {
			held(t, b, uuid.New(), none, mega)
		}
		refused(t, b, one, none, mega)
		held(t, b, one, none, 4<<10)
	})

	t.Run("TheReserveIsSharedToo", func(t *testing.T) {
		t.Parallel()
		b := newBudget(8*mega, mega)
		for range 7 {
			held(t, b, uuid.New(), none, mega)
		}
		for range mega / small / 4 { // a quarter of 1 MiB
			held(t, b, one, none, small)
		}
		refused(t, b, one, none, small)
		held(t, b, other, none, small)
	})

	t.Run("TheLargestBodyAlwaysFitsOnce", func(t *testing.T) {
		t.Parallel()
		b := newBudget(mega, 4*mega)
		address := netip.MustParseAddr("192.0.2.1")
		c := held(t, b, one, address, 4*mega+1)
		refused(t, b, other, none, 4*mega)
		b.release(c)
		held(t, b, other, address, 4*mega)
	})

	t.Run("ABodyOfUnknownSizeGrowsWhileThereIsRoom", func(t *testing.T) {
		t.Parallel()
		b := newBudget(8*mega, mega)
		c := held(t, b, one, none, 4<<10)
		require.True(t, b.grow(c, mega))
		require.False(t, b.grow(c, 8*mega))
		require.EqualValues(t, mega, c.size)
		b.release(c)
		requireEmpty(t, b)
	})
}

func requireEmpty(t require.TestingT, b *budget) {
	require.Zero(t, b.general.held)
	require.Zero(t, b.reserve.held)
	require.Empty(t, b.general.addresses)
	require.Empty(t, b.reserve.addresses)
	require.Empty(t, b.projects)
	require.Zero(t, b.waiting.Len())
}

func TestWhoHoldsLeastIsServedFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(64*mega, mega)
		greedy, modest := uuid.New(), uuid.New()
		var full []*claim
		for range 42 {
			full = append(full, held(t, b, uuid.New(), netip.Addr{}, mega))
		}
		for range 14 {
			full = append(full, held(t, b, greedy, netip.Addr{}, mega))
		}
		var mu sync.Mutex
		var order []uuid.UUID
		var wait sync.WaitGroup
		ask := func(project uuid.UUID) {
			wait.Go(func() {
				c := &claim{project: project, size: mega}
				if !b.take(t.Context(), c) {
					return
				}
				mu.Lock()
				order = append(order, project)
				mu.Unlock()
				// Whoever is served gives way to the next in a second.
				<-time.After(time.Second)
				b.release(c)
			})
			synctest.Wait()
		}
		for range 5 {
			ask(greedy)
		}
		ask(modest)
		b.release(full[0])
		synctest.Wait()
		mu.Lock()
		require.Equal(t, []uuid.UUID{modest}, order, "it came last and holds nothing")
		mu.Unlock()
		for _, c := range full[1:] {
			b.release(c)
		}
		wait.Wait()
		require.Len(t, order, 6, "nobody is forgotten")
		requireEmpty(t, b)
	})
}

func TestNobodyWaitsLongerThanItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(8*mega, mega)
		project := uuid.New()
		first := held(t, b, project, netip.Addr{}, mega)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		require.False(t, b.take(ctx, &claim{project: project, size: mega}))
		b.release(first)
		requireEmpty(t, b)
	})
}

func TestQueueOfAProjectIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(8*mega, mega)
		project := uuid.New()
		first := held(t, b, project, netip.Addr{}, mega)
		var wait sync.WaitGroup
		for range maxQueue {
			wait.Go(func() {
				c := &claim{project: project, size: mega}
				if b.take(t.Context(), c) {
					b.release(c)
				}
			})
		}
		synctest.Wait()
		require.False(t, b.take(t.Context(), &claim{project: project, size: mega}), "at once")
		b.release(first)
		wait.Wait()
		requireEmpty(t, b)
	})
}

// TestBudgetNeverGivesMoreThanThereIs: whatever is taken, grown and given back, no bound
// is exceeded, what was given back can be taken again, and nothing is left in the end.
func TestBudgetNeverGivesMoreThanThereIs(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		b := newBudget(8*mega, mega)
		projects := []uuid.UUID{uuid.New(), uuid.New(), uuid.New()}
		addresses := []netip.Addr{{}, netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		var holding []*claim
		rt.Repeat(map[string]func(*rapid.T){
			"take": func(rt *rapid.T) {
				c := &claim{
					project: rapid.SampledFrom(projects).Draw(rt, "project"), address: rapid.SampledFrom(addresses).Draw(rt, "address"),
					size: rapid.Int64Range(1, mega+1).Draw(rt, "size"),
				}
				if b.take(ctx, c) {
					holding = append(holding, c)
				}
			},
			"grow": func(rt *rapid.T) {
				if len(holding) > 0 {
					c := rapid.SampledFrom(holding).Draw(rt, "claim")
					b.grow(c, min(2*c.size, mega+1))
				}
			},
			"release": func(rt *rapid.T) {
				if len(holding) > 0 {
					n := rapid.IntRange(0, len(holding)-1).Draw(rt, "claim")
					b.release(holding[n])
					holding = append(holding[:n], holding[n+1:]...)
				}
			},
			"": func(rt *rapid.T) {
				sums := map[*pool]int64{}
				for _, c := range holding {
					sums[c.from] += c.size
				}
				for _, p := range []*pool{&b.general, &b.reserve} {
					require.Equal(rt, sums[p], p.held)
					require.LessOrEqual(rt, p.held, p.size)
					for _, n := range p.addresses {
						require.LessOrEqual(rt, n, p.perAddress)
					}
				}
				for _, h := range b.projects {
					require.LessOrEqual(rt, h.general, b.general.perProject)
					require.LessOrEqual(rt, h.reserve, b.reserve.perProject)
				}
			},
		})
		for _, c := range holding {
			b.release(c)
		}
		requireEmpty(rt, b)
	})
}
