package tenantdb

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// The pause between two probes of an unavailable database is a share of the outage so far, so that its end is noticed after a
// share of its length.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 4 * time.Second // with jitter below the 5 s between two probes
	pauseShare = 16
	// probeTime bounds one probe.
	probeTime = ConnectTimeout
)

// breaker remembers that a database is unavailable, so that the jobs of its project do not each wait for a connection.
//
//	closed ──failed──▶ open ──pause over──▶ probing: one probes, the others wait ──answered──▶ closed
//	                     ▲                        │
//	                     └─────────failed─────────┘
//
// An answer closes the breaker, but only a call that succeeds ends the outage: if calls keep failing, the pauses keep growing.
type breaker struct {
	now func() time.Time

	mu      sync.Mutex
	since   time.Time // when the outage began; zero: there is none
	until   time.Time // zero: closed
	err     error
	probing chan struct{} // closed when the probe has ended; nil: there is none
}

// allow reports until when the breaker is open; the zero time allows the call. When the pause is over, the first caller
// probes, and the others wait for the result.
func (b *breaker) allow(ctx context.Context, probe func(context.Context) error) (until time.Time, err error) {
	for {
		b.mu.Lock()
		if b.until.IsZero() || b.now().Before(b.until) {
			defer b.mu.Unlock()
			return b.until, b.err
		}
		running := b.probing
		if running == nil {
			running = make(chan struct{})
			b.probing = running
			go b.probe(context.WithoutCancel(ctx), probe)
		}
		b.mu.Unlock()
		select {
		case <-running:
		case <-ctx.Done():
			return time.Time{}, context.Cause(ctx)
		}
	}
}

// probe asks whether the database is available again. It belongs to no caller: those that wait for it may give up.
func (b *breaker) probe(ctx context.Context, probe func(context.Context) error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, ErrNoAnswer)
	defer cancel()
	err := probe(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.probing)
	b.probing = nil
	if err != nil {
		b.open(err)
		return
	}
	b.until, b.err = time.Time{}, nil
}

// failed opens the breaker, and says until when.
func (b *breaker) failed(err error) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open(err)
}

func (b *breaker) open(err error) time.Time {
	now := b.now()
	if b.since.IsZero() {
		b.since = now
	}
	pause := min(max(now.Sub(b.since)/pauseShare, firstPause), maxPause)
	b.until, b.err = now.Add(pause+rand.N(pause/5)), err
	return b.until
}

// isOpen reports whether calls are refused now.
func (b *breaker) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.until.IsZero()
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.since, b.until, b.err = time.Time{}, time.Time{}, nil
}
