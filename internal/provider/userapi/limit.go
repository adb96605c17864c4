package userapi

import (
	"crypto/sha256"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/provider"
)

// Limits holds the rate limits of the accounts that the sources of one process
// read from, so that two sources of the same account share one.
type Limits struct {
	mu       sync.Mutex
	limiters map[[sha256.Size]byte]*limiter
}

// NewLimits returns limits without accounts.
func NewLimits() *Limits { return &Limits{limiters: map[[sha256.Size]byte]*limiter{}} }

// of returns the limiter of the account that a secret opens. Nil limits give a new one.
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

// Rate is a limit that a provider states: so many requests in any window of
// that length. The zero value is no limit.
type Rate struct {
	Requests int
	Window   time.Duration
}

// limiter spaces requests such that a stated rate is never exceeded: a tenth of
// the requests may come at once, the others evenly at eight tenths of the rate.
// In any window these are nine tenths of what is allowed; the rest is for the
// customer's own requests and for requests that overtake each other.
type limiter struct {
	mu       sync.Mutex
	interval time.Duration // between requests; 0: no rate is stated
	burst    time.Duration // how far requests may run ahead of their even spacing
	due      time.Time     // when the next request is due by even spacing
	blocked  time.Time     // no request before this
}

func newLimiter(r Rate) *limiter {
	if r.Requests <= 0 {
		return &limiter{}
	}
	interval := r.Window * 10 / 8 / time.Duration(r.Requests)
	return &limiter{interval: interval, burst: interval * time.Duration(max(r.Requests/10, 1)-1)}
}

// reserve returns how long to wait before the next request. If that is longer
// than longest, no place is reserved.
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

// block lets no request through for a while.
func (l *limiter) block(now time.Time, d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := now.Add(d); until.After(l.blocked) {
		l.blocked = until
	}
}
