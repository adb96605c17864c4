package retryafter_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/retryafter"
)

func TestIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 4, 10, 20, 30, 0, time.UTC)
	at := func(t time.Time) string { return t.Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		header http.Header
		want   time.Duration
		asked  bool
	}{
		"Nothing":              {nil, 0, false},
		"Seconds":              {http.Header{"Retry-After": {"7"}}, 7 * time.Second, true},
		"Nonsense":             {http.Header{"Retry-After": {"soon"}}, 0, false},
		"DateByOurClock":       {http.Header{"Retry-After": {at(now.Add(9 * time.Second))}}, 9 * time.Second, true},
		"DateByTheServerClock": {http.Header{"Retry-After": {at(now.Add(time.Hour))}, "Date": {at(now.Add(time.Hour - 5*time.Second))}}, 5 * time.Second, true},
		"PastDate":             {http.Header{"Retry-After": {at(now.Add(-time.Hour))}}, 0, true},
		"AtMostAnHour":         {http.Header{"Retry-After": {"1e300"}}, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pause, asked := retryafter.In(c.header, now)
			require.Equal(t, c.want, pause)
			require.Equal(t, c.asked, asked)
		})
	}
}
