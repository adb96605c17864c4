package mirror

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"
)

// How long to wait between two probes of a database that is away: a share of the time that it has been
// away, so that the return is noticed after a share of the outage.
const (
	firstPause = 250 * time.Millisecond
	maxPause   = 4 * time.Second // with jitter below the 5 s between two probes
	pauseShare = 16
	// probeTime bounds one probe.
	probeTime = connectTimeout
)

// breaker remembers that a database is away, so that the jobs of its project do
// not each wait for a connection.
//
//	closed ──failed──▶ open ──time is over──▶ probing: one asks, the others wait ──answered──▶ closed
//	                     ▲                        │
//	                     └─────────failed─────────┘
//
// An answer lets everybody in, but only a call that succeeds ends the outage: if calls go on
// failing, the pauses go on growing.
type breaker struct {
	now func() time.Time

	mu      sync.Mutex
	since   time.Time // when the outage began; zero: there is none
	until   time.Time // zero: closed
	err     error
	probing chan struct{} // closed when the probe has ended; nil: there is none
}

// enter reports until when to stay away; the zero time lets the caller in. When the time
// is over, the first caller probes, and those who come meanwhile wait for what it finds out.
func (b *breaker) enter(ctx context.Context, probe func(context.Context) error) (until time.Time, err error) {
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

// probe asks whether the database is back. It belongs to no caller: those who wait for it may leave.
func (b *breaker) probe(ctx context.Context, probe func(context.Context) error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTime, errNoAnswer)
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

// failed opens the breaker and says until when.
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

// isOpen reports whether calls are kept away now.
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
