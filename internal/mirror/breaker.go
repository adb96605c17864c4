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
)

// breaker remembers that a database is away, so that the jobs of its project do
// not each wait for a connection, in a place that other projects' jobs need.
type breaker struct {
	now func() time.Time

	mu       sync.Mutex
	failures int
	until    time.Time
	err      error
}

// wait is how long the breaker stays open; 0 while it is closed. When the time
// is over whoever comes first tries the database.
func (b *breaker) wait() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if left := b.until.Sub(b.now()); left > 0 {
		return jitter(left)
	}
	return 0
}

// cause is the error that opened the breaker.
func (b *breaker) cause() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// failed opens the breaker and says for how long.
func (b *breaker) failed(err error) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := min(firstBreak<<min(b.failures, 10), maxBreak)
	b.failures++
	b.until = b.now().Add(d)
	b.err = err
	return jitter(d)
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures, b.until, b.err = 0, time.Time{}, nil
}
