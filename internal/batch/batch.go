// Package batch makes one flush out of many callers. Each caller hands in an
// item and waits; while a flush runs, the items that arrive gather, and the next
// flush takes them together. Nothing ever waits for a timer: a lone item is
// flushed at once, and under load the groups grow by themselves to what a flush
// costs.
//
// On the road of a webhook the inbox uses it to share one commit among
// concurrent deliveries, and whoever applies events to share one call.
//
//	Do ──▶ waiting ──▶ in flight ──▶ result
//	  │       └─ context ended: removed, its item is never flushed
//	  ├─ ErrFull: too many or too large
//	  └─ ErrClosed
//
// A group without items holds no goroutine.
package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
)

// Errors of Group.Do.
var (
	// ErrFull: as many items wait already as the group's bounds allow. The item was not taken.
	ErrFull = errors.New("too many items are waiting")
	// ErrClosed: the group has been closed. The item was not flushed.
	ErrClosed = errors.New("the group is closed")
)

// PanicError is the error of every item of a flush that panicked, or that ended
// its goroutine otherwise.
type PanicError struct {
	Value any // what was passed to panic; nil after runtime.Goexit
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the flush panicked: %v", e.Value) }

// Result is what a flush did with one item.
type Result[R any] struct {
	Value R
	Err   error
}

// Config says how a group flushes and how much it takes. Bounds that are zero are none, except MaxInFlight.
type Config[T, R any] struct {
	// Flush works on items and fills results, which has the same length and is
	// zero: an entry left alone is a success with R's zero value. An error
	// returned is the result of every item instead. Neither slice may be kept.
	// The context has no deadline and ends only when Close gives up: it
	// belongs to no caller, for the items are several callers'.
	Flush func(ctx context.Context, items []T, results []Result[R]) error
	// Size is the weight of an item in bytes; nil: no item weighs anything.
	Size func(T) int
	// MaxItems and MaxBytes bound one flush. A heavier item is flushed alone.
	MaxItems, MaxBytes int
	// MaxInFlight is how many flushes may run at the same time; 0 is 1. With 1,
	// flushes happen in the order in which items were handed in.
	MaxInFlight int
	// MaxWaiting and MaxWaitingBytes bound the items that wait, those in flight
	// not counted; beyond them Do returns ErrFull. A heavier item is taken if no other waits.
	MaxWaiting, MaxWaitingBytes int
}

// Group gathers items into flushes. It is safe for concurrent use.
type Group[T, R any] struct {
	config Config[T, R]
	start  func() // runs one flush in a goroutine of its own
	cancel context.CancelFunc

	mu           sync.Mutex
	first, last  *entry[T, R] // the items that wait, oldest first
	waiting      int
	waitingBytes int
	running      int
	closed       bool
	idle         chan struct{} // closed by the last flush of a closed group
}

// entry is one item on its way. next, previous and queued belong to Group.mu;
// result is written before done is closed.
type entry[T, R any] struct {
	item           T
	size           int
	next, previous *entry[T, R]
	queued         bool

	result Result[R]
	done   chan struct{}
}

// New makes a group. Close it to drain it.
func New[T, R any](config Config[T, R]) *Group[T, R] {
	config.MaxInFlight = max(config.MaxInFlight, 1)
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls cancel
	g := &Group[T, R]{config: config, cancel: cancel, idle: make(chan struct{})}
	g.start = func() { go g.run(ctx) }
	return g
}

// Do hands in an item and waits for its result. If ctx ends while the item
// waits, the item is removed and never flushed; if it ends while the item is in
// flight, Do returns at once and the item's fate is unknown to the caller. Both
// return the context's cause.
func (g *Group[T, R]) Do(ctx context.Context, item T) (R, error) {
	var none R
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	e, err := g.add(item)
	if err != nil {
		return none, err
	}
	select {
	case <-e.done:
		return e.result.Value, e.result.Err
	case <-ctx.Done():
	}

	g.mu.Lock()
	g.remove(e)
	g.mu.Unlock()
	select {
	case <-e.done: // both at once: a result that is there is worth more
		return e.result.Value, e.result.Err
	default:
		return none, context.Cause(ctx)
	}
}

// Waiting reports how many items wait for a flush, and their bytes.
func (g *Group[T, R]) Waiting() (items, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting, g.waitingBytes
}

// Close refuses new items and waits until those taken have been flushed. If ctx
// ends first, it cancels the context of the running flushes, gives ErrClosed to
// the items that still wait, and returns the context's cause without waiting
// for the running flushes. Closing twice is harmless.
func (g *Group[T, R]) Close(ctx context.Context) error {
	g.mu.Lock()
	if !g.closed {
		g.closed = true
		if g.running == 0 {
			close(g.idle)
		}
	}
	g.mu.Unlock()

	defer g.cancel()
	select {
	case <-g.idle:
		return nil
	case <-ctx.Done():
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	for g.first != nil {
		e := g.first
		g.remove(e)
		e.result.Err = ErrClosed
		close(e.done)
	}
	return context.Cause(ctx)
}

func (g *Group[T, R]) add(item T) (*entry[T, R], error) {
	e := &entry[T, R]{item: item, queued: true, done: make(chan struct{})}
	if g.config.Size != nil {
		e.size = g.config.Size(item)
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	switch c := &g.config; {
	case g.closed:
		return nil, ErrClosed
	case exceeds(g.waiting+1, c.MaxWaiting):
		return nil, ErrFull
	case g.waiting > 0 && exceeds(g.waitingBytes+e.size, c.MaxWaitingBytes):
		return nil, ErrFull
	}

	e.previous = g.last
	if g.last == nil {
		g.first = e
	} else {
		g.last.next = e
	}
	g.last = e
	g.waiting++
	g.waitingBytes += e.size
	if g.running < g.config.MaxInFlight {
		g.running++
		g.start()
	}
	return e, nil
}

// remove takes an entry out of the queue; one that is not in it is left alone.
func (g *Group[T, R]) remove(e *entry[T, R]) {
	if !e.queued {
		return
	}
	if e.previous == nil {
		g.first = e.next
	} else {
		e.previous.next = e.next
	}
	if e.next == nil {
		g.last = e.previous
	} else {
		e.next.previous = e.previous
	}
	e.next, e.previous, e.queued = nil, nil, false
	g.waiting--
	g.waitingBytes -= e.size
}

// take removes the next flush's entries from the queue.
func (g *Group[T, R]) take() []*entry[T, R] {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.waiting
	if g.config.MaxItems > 0 {
		n = min(n, g.config.MaxItems)
	}
	taken := make([]*entry[T, R], 0, n)
	bytes := 0
	for len(taken) < n {
		e := g.first
		if len(taken) > 0 && exceeds(bytes+e.size, g.config.MaxBytes) {
			break
		}
		bytes += e.size
		g.remove(e)
		taken = append(taken, e)
	}
	return taken
}

// run makes one flush and hands its slot on. A goroutine a flush, rather than a
// loop, lets the slot survive whatever the flush does to its goroutine.
func (g *Group[T, R]) run(ctx context.Context) {
	defer g.next()
	if taken := g.take(); len(taken) > 0 {
		g.flush(ctx, taken)
	}
}

func (g *Group[T, R]) next() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first != nil {
		g.start()
		return
	}
	g.running--
	if g.closed && g.running == 0 {
		close(g.idle)
	}
}

func (g *Group[T, R]) flush(ctx context.Context, taken []*entry[T, R]) {
	items := make([]T, len(taken))
	for i, e := range taken {
		items[i] = e.item
	}
	results := make([]Result[R], len(taken))
	var err error
	returned := false
	defer func() {
		if !returned {
			err = &PanicError{Value: recover(), Stack: debug.Stack()}
		}
		for i, e := range taken {
			if e.result = results[i]; err != nil {
				e.result = Result[R]{Err: err}
			}
			close(e.done)
		}
	}()
	err = g.config.Flush(ctx, items, results)
	returned = true
}

func exceeds(n, bound int) bool { return bound > 0 && n > bound }
