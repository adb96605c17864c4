package tenantdb

import (
	"math/rand/v2"
	"time"
)

const (
	// shortDelay is the pause after a problem that passes quickly.
	shortDelay = 2 * time.Second
	// retryGap spreads out the jobs that were turned away: however many there are, they return one by one, so that a backlog
	// costs the same whatever its size.
	retryGap = 10 * time.Millisecond
)

// DelayError says that nothing is wrong with the events, but that they cannot be applied now. The caller retries after a
// while; it costs no attempt.
type DelayError struct {
	After time.Duration
	Err   error
}

func (e *DelayError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *DelayError) Unwrap() error { return e.Err }

// Delay makes a *DelayError of a problem that passes quickly. Its jitter keeps callers that were delayed together from
// returning together.
func Delay(err error) error {
	return &DelayError{After: shortDelay + rand.N(shortDelay/2), Err: err}
}

// DelayUntil makes a *DelayError of a problem that lasts at least until a time. Callers that are delayed return one after another.
func (db *DB) DelayUntil(until time.Time, err error) error {
	return &DelayError{After: db.retryAfter(until), Err: err}
}

// retryAfter gives a job that is turned away its time to return: not before until, and after those that were turned away earlier.
func (db *DB) retryAfter(until time.Time) time.Duration {
	db.retries.Lock()
	defer db.retries.Unlock()
	now := db.config.Now()
	for _, earliest := range []time.Time{now, until} {
		if db.retryAt.Before(earliest) {
			db.retryAt = earliest
		}
	}
	db.retryAt = db.retryAt.Add(retryGap)
	return db.retryAt.Sub(now)
}
