package hubspottest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// Limits are the rates that a portal allows.
type Limits struct {
	// Window is how many requests any ten seconds may have; 0: 100.
	Window int
	// Daily is how many a day may have; 0: 250,000. The day ends at midnight of Zone; nil: UTC.
	Daily int
	Zone  *time.Location
	// Search is how many searches any second may have; 0: 4.
	Search int
	// Slack shortens the intervals: requests may travel for so long at different speeds.
	Slack time.Duration
	// RetryAfter: answers with status 429 have that header.
	RetryAfter bool
}

const interval = 10 * time.Second

type limiter struct {
	limits Limits
	recent []time.Time // in the last ten seconds
	search []time.Time // in the last second
	day    string
	today  int
}

func newLimiter(l Limits) limiter {
	if l.Window == 0 {
		l.Window = 100
	}
	if l.Daily == 0 {
		l.Daily = 250_000
	}
	if l.Search == 0 {
		l.Search = 4
	}
	if l.Zone == nil {
		l.Zone = time.UTC
	}
	return limiter{limits: l}
}

type limited struct {
	answer    *answer
	violation string
}

// take counts a request. Those beyond a limit count towards none.
func (l *limiter) take(now time.Time, search bool) (http.Header, *limited) {
	l.recent = since(l.recent, now.Add(l.limits.Slack-interval))
	l.search = since(l.search, now.Add(l.limits.Slack-time.Second))
	if day := now.In(l.limits.Zone).Format(time.DateOnly); day != l.day {
		l.day, l.today = day, 0
	}
	switch {
	case l.today >= l.limits.Daily:
		return l.header(0), l.refuse("DAILY", "daily", 0)
	case search && len(l.search) >= l.limits.Search:
		return http.Header{}, l.refuse("SECONDLY", "secondly", l.search[0].Add(time.Second).Sub(now))
	case !search && len(l.recent) >= l.limits.Window:
		wait := l.recent[0].Add(interval).Sub(now)
		return l.header(wait), l.refuse("TEN_SECONDLY_ROLLING", "ten secondly rolling", wait)
	}
	l.today++
	if search {
		l.search = append(l.search, now)
	} else {
		l.recent = append(l.recent, now)
	}
	return l.header(0), nil
}

func since(times []time.Time, after time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(after) {
		times = times[1:]
	}
	return times
}

func (l *limiter) header(wait time.Duration) http.Header {
	h := http.Header{}
	h.Set("X-HubSpot-RateLimit-Max", strconv.Itoa(l.limits.Window))
	h.Set("X-HubSpot-RateLimit-Remaining", strconv.Itoa(l.limits.Window-len(l.recent)))
	h.Set("X-HubSpot-RateLimit-Interval-Milliseconds", strconv.FormatInt(interval.Milliseconds(), 10))
	h.Set("X-HubSpot-RateLimit-Daily", strconv.Itoa(l.limits.Daily))
	h.Set("X-HubSpot-RateLimit-Daily-Remaining", strconv.Itoa(l.limits.Daily-l.today))
	if wait > 0 && l.limits.RetryAfter {
		h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	return h
}

func (l *limiter) refuse(policy, name string, wait time.Duration) *limited {
	a := refuse(http.StatusTooManyRequests, "RATE_LIMITS", "You have reached your "+name+" limit.")
	if p, ok := a.body.(problem); ok {
		p.PolicyName, p.ErrorType = policy, "RATE_LIMIT"
		a.body = p
	}
	return &limited{answer: a, violation: fmt.Sprintf("a request exceeds the limit %s; the next is allowed in %s", policy, wait)}
}
