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
	// rolling is the interval of HubSpot's limit where it does not say another.
	rolling = 10 * time.Second
	// daily is after how long at the latest is looked again, once the day's requests are
	// used up: somebody may have bought more.
	daily = time.Hour
)

// limited judges a 429, and lets no request through until the time that it names.
func (h *hubspot) limited(ctx context.Context, a *answer, header http.Header) *destination.Result {
	var said struct {
		PolicyName string `json:"policyName"`
	}
	json.Unmarshal(a.body, &said) //nolint:errcheck,gosec // a proxy's answer has no policy
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

// observeLimits looks ahead: after the last request that is allowed, none is sent to be refused.
func (h *hubspot) observeLimits(ctx context.Context, header http.Header) {
	if header.Get("X-HubSpot-RateLimit-Daily-Remaining") == "0" {
		h.block(ctx, h.untilMidnight(), "HubSpot's requests of the day are used up")
	}
	if header.Get("X-HubSpot-RateLimit-Remaining") == "0" {
		// The interval rolls: by then some of it has passed. Waiting for all of it would halve the pace.
		h.block(ctx, spell(header)/10, "HubSpot's limit for "+spell(header).String()+" is reached")
	}
}

// block is not bound to succeed: if it fails, the next request is answered with 429.
func (h *hubspot) block(ctx context.Context, d time.Duration, because string) {
	if h.limiter != nil {
		h.limiter.Block(ctx, class, d, because) //nolint:errcheck,gosec // see above
	}
}

// untilMidnight is the time to the end of the portal's day, at most an hour.
func (h *hubspot) untilMidnight() time.Duration {
	now := h.now().In(h.zone)
	year, month, day := now.Date()
	next := time.Date(year, month, day+1, 0, 0, 0, 0, h.zone)
	if !next.After(now) {
		// Clocks go forward at midnight here, so that there is none; Date gives an hour earlier.
		next = time.Date(year, month, day+1, 1, 0, 0, 0, h.zone)
	}
	return min(next.Sub(now), daily)
}

// spell is the length of the interval that HubSpot counts requests in.
func spell(header http.Header) time.Duration {
	ms, err := strconv.Atoi(header.Get("X-HubSpot-RateLimit-Interval-Milliseconds"))
	if err != nil || ms <= 0 {
		return rolling
	}
	return min(time.Duration(ms)*time.Millisecond, time.Minute)
}

// asked is the pause that an answer asks for, at least a second.
func (h *hubspot) asked(header http.Header, otherwise time.Duration) time.Duration {
	if pause, asked := retryafter.In(header, h.now()); asked {
		return max(pause, time.Second)
	}
	return otherwise
}
