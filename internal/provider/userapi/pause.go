package userapi

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/retryafter"
)

func randomJitter() float64 { return rand.Float64() }

// askedPause returns the pause that an answer requests: by Retry-After (seconds or a date), by
// Better Auth's X-Retry-After (seconds), or until X-RateLimit-Reset (Auth0; epoch seconds). Dates
// are relative to the answer's own Date, so that a wrong clock on either side does no harm.
func askedPause(h http.Header, now time.Time) (pause time.Duration, asked bool) {
	for _, name := range []string{"Retry-After", "X-Retry-After"} {
		if pause, asked := retryafter.Parse(h.Get(name), retryafter.ServerTime(h, now)); asked {
			return pause, true
		}
	}
	return untilReset(h, now)
}

// exhausted reports whether an answer used up the last request currently allowed, and for how long
// (X-RateLimit-Remaining, X-RateLimit-Reset).
func exhausted(h http.Header, now time.Time) (pause time.Duration, yes bool) {
	remaining, err := strconv.Atoi(strings.TrimSpace(h.Get("X-RateLimit-Remaining")))
	if err != nil || remaining > 0 {
		return 0, false
	}
	return untilReset(h, now)
}

func untilReset(h http.Header, now time.Time) (pause time.Duration, asked bool) {
	reset, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64)
	if err != nil || reset < 0 {
		return 0, false
	}
	// Both are whole seconds, so the real time may be up to a second later.
	return retryafter.Bound(float64(time.Unix(min(reset, 1<<40), 0).Sub(retryafter.ServerTime(h, now))) + float64(time.Second)), true
}
