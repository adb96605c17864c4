package measure_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/scripts/bench/measure"
)

func TestRunOpensAllPagesOfTheDashboard(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := measure.Run(t.Context(), &out, measure.Config{Only: "dashboard", Users: []int{2000}, Inbox: 6000, Deliveries: 2000, Projects: 60, Repeat: 2})
	require.NoError(t, err, out.String())
	text := out.String()
	for _, when := range []string{"right after the load", "after ANALYZE"} {
		require.Regexp(t, `(?m)^ +`+when+` +n +p50 +p95 +max$`, text)
	}
	for _, page := range []string{
		"home", "home, p. 2", "project", "event", "events, failed, p. 2", "replay, events, failed", "deliveries, retrying",
		"user with 1000 changes", "user with 1000 changes, p. 2", "records/user, p. 2", "destination", "delivery", "delivery with 10 attempts",
		"audit log", "audit log, p. 2", "audit log of a project", "integration, pulled", "provider of one's own",
	} {
		require.Regexp(t, `(?m)^ +`+page+` +2 +[\d.]+ ms +[\d.]+ ms +[\d.]+ ms$`, text)
	}
	require.NotRegexp(t, `\(\d+\)`, text, "a page that was not answered by 200")
	require.Equal(t, 2, strings.Count(text, "read by sequential scans"))
	_, section, _ := strings.Cut(text, "\n\n")
	for line := range strings.Lines(section) {
		require.LessOrEqual(t, len(line), 81, "%s", line)
	}
}
