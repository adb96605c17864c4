package userapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestAskedPause(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0).UTC()
	date := now.Add(-time.Hour).Format(http.TimeFormat) // the server's clock is an hour behind
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
		asked  bool
	}{
		"Nothing":                   {header(), 0, false},
		"Seconds":                   {header("Retry-After", " 7 "), 7 * time.Second, true},
		"Fraction":                  {header("Retry-After", "0.5"), 500 * time.Millisecond, true},
		"DateByOurClock":            {header("Retry-After", now.Add(9*time.Second).Format(http.TimeFormat)), 9 * time.Second, true},
		"DateByTheServersClock":     {header("Date", date, "Retry-After", now.Add(9*time.Second-time.Hour).Format(http.TimeFormat)), 9 * time.Second, true},
		"PastDate":                  {header("Retry-After", now.Add(-time.Minute).Format(http.TimeFormat)), 0, true},
		"OwnOfBetterAuth":           {header("X-Retry-After", "4"), 4 * time.Second, true},
		"Reset":                     {header("X-RateLimit-Reset", "1700000003"), 4 * time.Second, true},
		"ResetByTheServersClock":    {header("Date", date, "X-RateLimit-Reset", "1699996403"), 4 * time.Second, true},
		"RetryAfterBeforeReset":     {header("Retry-After", "2", "X-RateLimit-Reset", "1700000030"), 2 * time.Second, true},
		"NonsenseBeforeReset":       {header("Retry-After", "soon", "X-RateLimit-Reset", "1700000003"), 4 * time.Second, true},
		"NegativeIsNonsense":        {header("Retry-After", "-3"), 0, false},
		"NotANumber":                {header("Retry-After", "NaN"), 0, false},
		"AtMostAnHour":              {header("Retry-After", "1e300"), time.Hour, true},
		"AtMostAnHourInfinite":      {header("Retry-After", "+Inf"), time.Hour, true},
		"AtMostAnHourUntilTheReset": {header("X-RateLimit-Reset", "9223372036854775807"), time.Hour, true},
	} {
		pause, asked := askedPause(c.header, now)
		require.Equal(t, c.asked, asked, name)
		require.Equal(t, c.want, pause, name)
	}
}

func TestExhaustedWaitsForTheReset(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	pause, yes := exhausted(header("X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1700000001"), now)
	require.True(t, yes)
	require.Equal(t, 2*time.Second, pause)
	for _, h := range []http.Header{
		header("X-RateLimit-Remaining", "1", "X-RateLimit-Reset", "1700000001"), header("X-RateLimit-Reset", "1700000001"), header("X-RateLimit-Remaining", "0"),
	} {
		_, yes := exhausted(h, now)
		require.False(t, yes, "%v", h)
	}
}
