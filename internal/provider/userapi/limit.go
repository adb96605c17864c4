package userapi

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// Limits holds the rate limits of the accounts read by the sources of a process, so that two
// sources of one account share a limit.
type Limits struct {
	mu       sync.Mutex
	limiters map[[sha256.Size]byte]*limiter
}

// NewLimits returns limits without accounts.
func NewLimits() *Limits { return &Limits{limiters: map[[sha256.Size]byte]*limiter{}} }

// of returns the limiter of the account that a secret opens. Nil limits return a new one.
func (l *Limits) of(account provider.Secret, rate Rate) *limiter {
	if l == nil {
		return newLimiter(rate)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	key := sha256.Sum256([]byte(account))
	if l.limiters[key] == nil {
		l.limiters[key] = newLimiter(rate)
	}
	return l.limiters[key]
}

// Rate is a provider's documented limit of requests in any window of that length. The zero value
// means no limit.
type Rate struct {
	Requests int
	Window   time.Duration
}

// limiter spaces requests so that a rate is never exceeded: a tenth of the requests may come at
// once, the others evenly at eight tenths of the rate. In any window this is nine tenths of the
// limit; the rest is left for the customer's own requests and for requests that overtake each
// other.
type limiter struct {
	mu       sync.Mutex
	interval time.Duration // between requests; 0 means no rate
	burst    time.Duration // how far requests may run ahead of their even spacing
	due      time.Time     // when the next request is due at even spacing
	blocked  time.Time     // no request before this
}

func newLimiter(r Rate) *limiter {
	if r.Requests <= 0 {
		return &limiter{}
	}
	interval := r.Window * 10 / 8 / time.Duration(r.Requests)
	return &limiter{interval: interval, burst: interval * time.Duration(max(r.Requests/10, 1)-1)}
}

// reserve returns how long to wait before the next request. If that exceeds longest, nothing is
// reserved.
func (l *limiter) reserve(now time.Time, longest time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	wait := max(l.blocked.Sub(now), 0)
	if l.interval > 0 {
		wait = max(wait, l.due.Add(-l.burst).Sub(now))
	}
	if wait > longest || l.interval == 0 {
		return wait
	}
	if sent := now.Add(wait); l.due.Before(sent) {
		l.due = sent
	}
	l.due = l.due.Add(l.interval)
	return wait
}

// block stops all requests for a while.
func (l *limiter) block(now time.Time, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := now.Add(d); until.After(l.blocked) {
		l.blocked = until
	}
}
