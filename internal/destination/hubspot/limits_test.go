package hubspot_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/hubspottest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// pacer is a Limiter by that clock. Short waits move the clock, longer ones are refused.
type pacer struct {
	clock *userapitest.Clock
	limit destination.Limit
	long  time.Duration // waits beyond this are a LaterError

	mu      sync.Mutex
	sent    []time.Time
	until   time.Time
	because string
	blocks  []string
}

func (p *pacer) Take(_ context.Context, class string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if class != "api" {
		return errors.New("no such class")
	}
	now := p.clock.Now()
	for len(p.sent) > 0 && !p.sent[0].After(now.Add(-p.limit.Per)) {
		p.sent = p.sent[1:]
	}
	free := p.until
	if p.limit.Requests > 0 && len(p.sent) >= p.limit.Requests {
		free = later(free, p.sent[0].Add(p.limit.Per))
	}
	wait := max(free.Sub(now), 0)
	if wait > p.long {
		return &destination.DeferredError{After: wait, Reason: "it is not its turn: " + p.because}
	}
	p.clock.Advance(wait)
	p.sent = append(p.sent, now.Add(wait))
	return nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (p *pacer) Block(_ context.Context, class string, d time.Duration, because string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.until, p.because = later(p.until, p.clock.Now().Add(d)), because
	p.blocks = append(p.blocks, fmt.Sprintf("%s %s: %s", class, d, because))
	return nil
}

func TestLimits(t *testing.T) {
	t.Parallel()
	limited := func(t *testing.T, l hubspottest.Limits, options string) (*testBundle, *pacer) {
		t.Helper()
		c := userapitest.NewClock()
		c.Advance(time.Date(2026, 5, 4, 20, 30, 0, 0, time.UTC).Sub(c.Now()))
		config := unlimited()
		config.Limits, config.Now = l, c.Now
		p := &pacer{clock: c, long: time.Second}
		return setupOn(t, hubspottest.New(config), options, destination.Deps{Limiter: p, Now: c.Now}), p
	}

	t.Run("TenSecondsAreWaitedForAndNothingMoreIsSent", func(t *testing.T) {
		t.Parallel()
		b, p := limited(t, hubspottest.Limits{Window: 2, RetryAfter: true}, `{}`)
		b.delivered(t, message(t, nil, ada()))
		p.clock.Advance(3 * time.Second)
		users := append(newUsers(2), ada().with(func(u *user) { u.ID, u.Email = "user_9", "user_0@example.com" }))
		for i, r := range b.send(t, created(t, users)...) { // a batch, and one alone
			require.Equal(t, destination.Deferred, r.Outcome)
			require.True(t, r.Shared, "it is the portal that takes no more")
			require.Equal(t, 7*time.Second, r.After, "as Retry-After says")
			if i == 2 {
				require.Zero(t, r.Status, "it was not sent")
				continue
			}
			require.Equal(t, 429, r.Status)
			require.Contains(t, r.Response, "TEN_SECONDLY_ROLLING")
		}
		require.Len(t, b.portal.Violations(), 1, "the limiter of this test knows no limit")
		require.Equal(t, destination.Deferred, b.send1(t, message(t, nil, newUsers(1)[0])).Outcome)
		require.Len(t, b.portal.Violations(), 1, "blocked")
		p.clock.Advance(7 * time.Second)
		b.delivered(t, message(t, nil, newUsers(1)[0]))
	})

	t.Run("LastRequestOfTheIntervalIsHeeded", func(t *testing.T) {
		t.Parallel()
		b, p := limited(t, hubspottest.Limits{Window: 2}, `{}`)
		b.delivered(t, message(t, nil, ada()))
		require.Equal(t, []string{"api 1s: HubSpot's limit for 10s is reached"}, p.blocks)
	})

	t.Run("DayEndsAtMidnightOfThePortal", func(t *testing.T) {
		t.Parallel()
		berlin, err := time.LoadLocation("Europe/Berlin") // 22:30 there
		require.NoError(t, err)
		b, p := limited(t, hubspottest.Limits{Daily: 2, Zone: berlin}, `{"time_zone": "Europe/Berlin"}`)
		b.delivered(t, message(t, nil, ada()))
		require.Equal(t, []string{"api 1h0m0s: HubSpot's requests of the day are used up"}, p.blocks, "looked at again after an hour")
		r := b.send1(t, message(t, nil, newUsers(1)[0]))
		require.Equal(t, destination.Deferred, r.Outcome)
		require.Empty(t, b.portal.Violations())
		p.clock.Advance(time.Hour)
		r = b.send1(t, message(t, nil, newUsers(1)[0]))
		require.Equal(t, 30*time.Minute, r.After)
		require.Contains(t, r.Response, "DAILY")
		p.clock.Advance(r.After)
		b.delivered(t, message(t, nil, newUsers(1)[0]))
	})

	t.Run("NightsWhenClocksChange", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			zone, now string
			after     time.Duration
		}{
			{"America/New_York", "2026-11-01T03:45:00Z", 15 * time.Minute},
			{"America/New_York", "2026-11-02T04:30:00Z", 30 * time.Minute}, // the day has 25 hours
			{"America/New_York", "2027-03-15T03:30:00Z", 30 * time.Minute}, // and this one 23
			{"America/Santiago", "2026-09-06T03:30:00Z", 30 * time.Minute}, // 23:59 is followed by 01:00
		} {
			b, p := limited(t, hubspottest.Limits{}, `{"time_zone": "`+c.zone+`"}`)
			now, err := time.Parse(time.RFC3339, c.now)
			require.NoError(t, err)
			p.clock.Advance(now.Sub(p.clock.Now()))
			b.portal.Fail(hubspottest.Fault{Kind: hubspottest.FaultBefore, Status: 429, Body: `{"policyName": "DAILY"}`})
			require.Equal(t, c.after, b.send1(t, message(t, nil, ada())).After, c)
		}
	})

	t.Run("PoliciesWaitAsLongAsTheySay", func(t *testing.T) {
		t.Parallel()
		for _, c := range []struct {
			body, header string
			after        time.Duration
		}{
			{`{"policyName": "SECONDLY"}`, "", time.Second},
			{`{"policyName": "SECONDLY"}`, "3", 3 * time.Second},
			{`{"policyName": "TEN_SECONDLY_ROLLING"}`, "", 10 * time.Second},
			{`{"policyName": "TEN_SECONDLY_ROLLING"}`, "100000000", time.Hour},
			{`{"policyName": "SOMETHING_NEW"}`, "-1", 10 * time.Second},
			{`<html>`, "soon", 10 * time.Second},
		} {
			b, p := limited(t, hubspottest.Limits{}, `{}`)
			b.portal.Fail(hubspottest.Fault{
				Kind: hubspottest.FaultBefore, Status: 429, Body: c.body, Header: http.Header{"Retry-After": {c.header}},
			})
			r := b.send1(t, message(t, nil, ada()))
			require.Equal(t, destination.Deferred, r.Outcome)
			require.Equal(t, c.after, r.After, c)
			require.Len(t, p.blocks, 1)
		}
	})

	t.Run("TroubleOfTheLimiterCostsNoAttempt", func(t *testing.T) {
		t.Parallel()
		b := setupOn(t, hubspottest.New(unlimited()), `{}`, destination.Deps{Limiter: broken{}})
		r := b.send1(t, message(t, nil, ada()))
		require.Equal(t, destination.Deferred, r.Outcome)
		require.Positive(t, r.After)
		require.Empty(t, b.calls())
	})
}

// broken is a Limiter that cannot be asked.
type broken struct{}

func (broken) Take(context.Context, string) error { return errors.New("connection refused") }
func (broken) Block(context.Context, string, time.Duration, string) error {
	return errors.New("connection refused")
}
