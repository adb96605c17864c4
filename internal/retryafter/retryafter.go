// Package retryafter reads how long a server asks to wait.
package retryafter

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Max bounds what a header may ask for.
const Max = time.Hour

// In reads the header Retry-After of an answer.
func In(h http.Header, now time.Time) (pause time.Duration, asked bool) {
	return Parse(h.Get("Retry-After"), ServerTime(h, now))
}

// Parse reads the value of a Retry-After: seconds or a date. The result is from 0 to Max.
func Parse(value string, now time.Time) (pause time.Duration, asked bool) {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds >= 0 {
		return Bound(min(seconds, Max.Seconds()) * float64(time.Second)), true
	}
	if at, err := http.ParseTime(value); err == nil {
		return Bound(float64(at.Sub(now))), true
	}
	return 0, false
}

// ServerTime is the answer's own Date, so that a wrong clock on either side does no harm; now where there is none.
func ServerTime(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}

// Bound turns nanoseconds into a pause from 0 to Max.
func Bound(ns float64) time.Duration { return time.Duration(min(max(ns, 0), float64(Max))) }
