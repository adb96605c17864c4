// Package batch combines the items of many callers into one flush. Each caller hands in an item and
// waits; while a flush runs, arriving items accumulate, and the next flush takes them together.
// Nothing waits for a timer: a lone item is flushed immediately, and under load the groups grow
// with the cost of a flush. The inbox uses it to share one commit among concurrent messages, and
// appliers to share one call.
//
//	Do ──▶ waiting ──▶ in flight ──▶ result
//	  │       └─ context ended: removed, its item is never flushed
//	  ├─ ErrFull: too many or too large
//	  └─ ErrClosed
//
// A group without items has no goroutine.
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
	// ErrFull: the group's limits on waiting items are reached. The item was not accepted.
	ErrFull = errors.New("too many items are waiting")
	// ErrClosed: the group has been closed. The item was not flushed.
	ErrClosed = errors.New("the group is closed")
)

// PanicError is the error of every item of a flush that panicked or called runtime.Goexit.
type PanicError struct {
	Value any // the value passed to panic; nil after runtime.Goexit
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("the flush panicked: %v", e.Value) }

// Result is the result of a flush for one item.
type Result[R any] struct {
	Value R
	Err   error
}

// Config configures a group. A limit of zero means no limit, except for MaxInFlight.
type Config[T, R any] struct {
	// Flush processes items and fills in results, which has the same length: an entry left zero is
	// a success with R's zero value. A returned error is the result of every item instead. Neither
	// slice may be retained. The context has no deadline and ends only when Close gives up, because
	// the items belong to several callers.
	Flush func(ctx context.Context, items []T, results []Result[R]) error
	// Size returns the weight of an item in bytes; nil means that items have no weight.
	Size func(T) int
	// MaxItems and MaxBytes limit one flush. A heavier item is flushed alone.
	MaxItems, MaxBytes int
	// MaxInFlight is the number of concurrent flushes; 0 means 1. With 1, items are flushed in the
	// order in which they were handed in.
	MaxInFlight int
	// MaxWaiting and MaxWaitingBytes limit the waiting items, not counting those in flight; beyond
	// them Do returns ErrFull. A heavier item is accepted if no other waits.
	MaxWaiting, MaxWaitingBytes int
}

// Group gathers items into flushes. It is safe for concurrent use.
type Group[T, R any] struct {
	config Config[T, R]
	start  func() // runs one flush in its own goroutine
	cancel context.CancelFunc

	mu           sync.Mutex
	first, last  *entry[T, R] // waiting items, oldest first
	waiting      int
	waitingBytes int
	running      int
	closed       bool
	idle         chan struct{} // closed by the last flush of a closed group
}

// entry is one item. Group.mu guards next, previous and queued; result is written before done is
// closed.
type entry[T, R any] struct {
	item           T
	size           int
	next, previous *entry[T, R]
	queued         bool

	result Result[R]
	done   chan struct{}
}

// New creates a group. Close drains it.
func New[T, R any](config Config[T, R]) *Group[T, R] {
	config.MaxInFlight = max(config.MaxInFlight, 1)
	ctx, cancel := context.WithCancel(context.Background()) //nolint:gosec // Close calls cancel
	g := &Group[T, R]{config: config, cancel: cancel, idle: make(chan struct{})}
	g.start = func() { go g.run(ctx) }
	return g
}

// Do hands in an item and waits for its result. If ctx ends while the item waits, the item is
// removed and never flushed; if it ends while the item is in flight, Do returns immediately and the
// outcome is unknown to the caller. Both return the context's cause.
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
	case <-e.done: // both at once: prefer the result
		return e.result.Value, e.result.Err
	default:
		return none, context.Cause(ctx)
	}
}

// Waiting returns the number of waiting items and their bytes.
func (g *Group[T, R]) Waiting() (items, bytes int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting, g.waitingBytes
}

// Close rejects new items and waits until the accepted ones have been flushed. If ctx ends first,
// it cancels the context of the running flushes, fails the waiting items with ErrClosed, and
// returns the context's cause without waiting for the running flushes. Closing twice is harmless.
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

// remove removes an entry from the queue if it is there.
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

// run runs one flush and passes its slot on. A goroutine per flush, rather than a loop, keeps the
// slot whatever the flush does to its goroutine.
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
