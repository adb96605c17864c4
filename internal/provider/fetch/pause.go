package fetch

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxPause bounds what a header may ask for.
const maxPause = time.Hour

func randomJitter() float64 { return rand.Float64() }

// askedPause is the pause that an answer asks for: by Retry-After (seconds or a
// date), by Better Auth's X-Retry-After (seconds), or until X-RateLimit-Reset
// (Auth0; epoch seconds). Dates count from the answer's own Date, so that a
// wrong clock on either side does no harm.
func askedPause(h http.Header, now time.Time) (pause time.Duration, asked bool) {
	for _, name := range []string{"Retry-After", "X-Retry-After"} {
		if pause, asked := retryAfter(h.Get(name), serverTime(h, now)); asked {
			return pause, true
		}
	}
	return untilReset(h, now)
}

// exhausted reports that an answer used up the last request that is allowed for
// now, and how long that lasts (X-RateLimit-Remaining, X-RateLimit-Reset).
func exhausted(h http.Header, now time.Time) (pause time.Duration, yes bool) {
	remaining, err := strconv.Atoi(strings.TrimSpace(h.Get("X-RateLimit-Remaining")))
	if err != nil || remaining > 0 {
		return 0, false
	}
	return untilReset(h, now)
}

func retryAfter(value string, now time.Time) (pause time.Duration, asked bool) {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 {
		return bounded(min(seconds, maxPause.Seconds()) * float64(time.Second)), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return bounded(float64(at.Sub(now))), true
	}
	return 0, false
}

func untilReset(h http.Header, now time.Time) (pause time.Duration, asked bool) {
	reset, err := strconv.ParseInt(strings.TrimSpace(h.Get("X-RateLimit-Reset")), 10, 64)
	if err != nil || reset < 0 {
		return 0, false
	}
	// Both are whole seconds, so the truth may lie up to a second behind.
	return bounded(float64(time.Unix(min(reset, 1<<40), 0).Sub(serverTime(h, now))) + float64(time.Second)), true
}

func serverTime(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}

func bounded(d float64) time.Duration { return time.Duration(min(max(d, 0), float64(maxPause))) }
