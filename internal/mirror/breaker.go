package mirror

import (
	"sync"
	"time"
)

// How long a lane stays closed after its database was away: the first time, and
// at the most. Each failure doubles it.
const (
	firstBreak = time.Second
	maxBreak   = 30 * time.Second
	// probeTime is how long the one that tries the database again has for it,
	// before another one may.
	probeTime = 15 * time.Second
)

// breaker remembers that a database is away, so that the jobs of its project do
// not each wait for a connection.
//
//	closed ──failed──▶ open ──time is over──▶ half open: one may try ──succeeded──▶ closed
//	                     ▲                        │
//	                     └─────────failed─────────┘
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	until    time.Time
	err      error
}

// enter reports until when to stay away; the zero time lets the caller in. When
// the time is over it lets one caller in, and keeps the others away until that
// one has reported or probeTime has passed.
func (b *breaker) enter() (until time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 {
		return time.Time{}, nil
	}
	now := b.now()
	if now.Before(b.until) {
		return b.until, b.err
	}
	b.until = now.Add(probeTime)
	return time.Time{}, nil
}

// failed opens the breaker and says until when.
func (b *breaker) failed(err error) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.until = b.now().Add(min(firstBreak<<min(b.failures, 10), maxBreak))
	b.failures++
	b.err = err
	return b.until
}

// count counts the failures since the last success.
func (b *breaker) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failures
}

// last is the last failure, and until when it keeps everybody away.
func (b *breaker) last() (until time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.until, b.err
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.until, b.err = 0, time.Time{}, nil
}
