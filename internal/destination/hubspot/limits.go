package hubspot

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/retryafter"
)

const (
	// rolling is the interval of HubSpot's limit, unless a response names another.
	rolling = 10 * time.Second
	// daily is the longest wait once the daily limit is used up, since it may be raised at any time.
	daily = time.Hour
)

// limited handles a 429 and blocks requests until the time it names.
func (h *hubspot) limited(ctx context.Context, a *answer, header http.Header) *destination.Result {
	var said struct {
		PolicyName string `json:"policyName"`
	}
	json.Unmarshal(a.body, &said) //nolint:errcheck,gosec // a proxy's response has no policy
	var wait time.Duration
	var reason string
	switch strings.ToUpper(said.PolicyName) {
	case "DAILY":
		wait, reason = h.untilMidnight(), "HubSpot's requests of the day are used up"
	case "SECONDLY":
		wait, reason = h.asked(header, time.Second), "HubSpot's limit a second is reached"
	default:
		wait, reason = h.asked(header, spell(header)), "HubSpot's limit for "+spell(header).String()+" is reached"
	}
	h.block(ctx, wait, reason)
	out := h.result(a, destination.Deferred, "%s", reason)
	out.After, out.Shared = wait, true
	return out
}

// observeLimits blocks requests after the last one allowed, so that none is sent only to be rejected.
func (h *hubspot) observeLimits(ctx context.Context, header http.Header) {
	if header.Get("X-HubSpot-RateLimit-Daily-Remaining") == "0" {
		h.block(ctx, h.untilMidnight(), "HubSpot's requests of the day are used up")
	}
	if header.Get("X-HubSpot-RateLimit-Remaining") == "0" {
		// The interval is a rolling one, and part of it has passed. Waiting for all of it would halve the
		// pace.
		h.block(ctx, spell(header)/10, "HubSpot's limit for "+spell(header).String()+" is reached")
	}
}

// block is best effort: if it fails, the next request gets a 429.
func (h *hubspot) block(ctx context.Context, d time.Duration, because string) {
	if h.limiter != nil {
		h.limiter.Block(ctx, class, d, because) //nolint:errcheck,gosec // see above
	}
}

// untilMidnight returns the time to the end of the portal's day, at most an hour.
func (h *hubspot) untilMidnight() time.Duration {
	now := h.now().In(h.zone)
	year, month, day := now.Date()
	next := time.Date(year, month, day+1, 0, 0, 0, 0, h.zone)
	if !next.After(now) {
		// Midnight does not exist here because of daylight saving time; Date returns an hour earlier.
		next = time.Date(year, month, day+1, 1, 0, 0, 0, h.zone)
	}
	return min(next.Sub(now), daily)
}

// spell returns the interval of HubSpot's rate limit.
func spell(header http.Header) time.Duration {
	ms, err := strconv.Atoi(header.Get("X-HubSpot-RateLimit-Interval-Milliseconds"))
	if err != nil || ms <= 0 {
		return rolling
	}
	return min(time.Duration(ms)*time.Millisecond, time.Minute)
}

// asked returns the pause requested by a response, at least a second.
func (h *hubspot) asked(header http.Header, otherwise time.Duration) time.Duration {
	if pause, asked := retryafter.In(header, h.now()); asked {
		return max(pause, time.Second)
	}
	return otherwise
}
