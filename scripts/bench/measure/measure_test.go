package measure_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/scripts/bench/measure"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The numbers mean nothing here; that there are some shows that every delivery
// was answered by 204, and every event and every user became a row.
func TestRunMeasuresTheRoadAndTheWayBesideIt(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := measure.Run(t.Context(), &out, measure.Config{Connections: []int{2, 8}, Duration: 60 * time.Millisecond, Rounds: 1, Events: 300, Light: 5, Users: []int{700, 1000}, Changes: 40, Waiting: 80, Steady: 5, Inbox: 3000, Deliveries: 1000, Projects: 3, Repeat: 1})
	require.NoError(t, err, out.String())
	text := out.String()
	require.Contains(t, text, "fsync on")
	require.Regexp(t, `(?m)^ +2 +\d+ +[\d.]+ ms +[\d.]+ ms +\d+ us +\d+ +[\d.]+ ms +[\d.]+ ms +\d+ us +\d+\.\d\d$`, text)
	require.Regexp(t, `(?m)^ +8 `, text)
	require.Regexp(t, `(?m)authsync: backlog of 64 senders, new +[1-9]\d*( +-?\d+){6}$`, text)
	require.Regexp(t, `(?m)authsync: from the request to the row, 8 senders, updates +[1-9]\d*( +-?\d+){6}$`, text)
	require.Regexp(t, `(?m)204 to row +[\d.]+ ms +[\d.]+ ms$`, text)
	require.Regexp(t, `(?m)with notifications +[1-9]\d* +\d+$`, text)
	for _, run := range []string{"backfill of 700", "reconcile of 700", "backfill of 1000", "reconcile of 1000"} {
		require.Regexp(t, `(?m)^ +`+run+` users +[1-9]\d* +[1-9]\d* us +[1-9]\d* MB$`, text)
	}
	require.NotContains(t, text, "NaN")
}

// What is gone says that each phase did what it measures.
func TestRetentionIsMeasured(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := measure.Run(t.Context(), &out, measure.Config{Only: "retention", Duration: 60 * time.Millisecond, Inbox: 3000, Projects: 3})
	require.NoError(t, err, out.String())
	text := out.String()
	require.Regexp(t, `(?m)^ +a day is dropped +[\d.]+ ms +1000 +`, text)
	require.Regexp(t, `(?m)^ +a day is rewritten for one project that keeps it +[\d.]+ ms +950 +`, text)
	require.Regexp(t, `(?m)^ +a project that keeps one day is pruned from a day of all +[\d.]+ ms +50 +`, text)
}

func TestRunStopsWhenAsked(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelling{cancel: cancel}
	err := measure.Run(ctx, out, measure.Config{Duration: time.Hour})
	require.ErrorIs(t, err, context.Canceled)
}

// cancelling ends the run with the first line that it writes.
type cancelling struct{ cancel context.CancelFunc }

func (c *cancelling) Write(p []byte) (int, error) {
	c.cancel()
	return len(p), nil
}

func TestRunRefusesAnUnknownMeasurement(t *testing.T) {
	t.Parallel()
	err := measure.Run(t.Context(), &strings.Builder{}, measure.Config{Only: "everything"})
	require.ErrorContains(t, err, "take one of receive, apply, backfill, deliver")
}

func TestTablesAsJSON(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := measure.Run(t.Context(), &out, measure.Config{Only: "receive", JSON: true, Connections: []int{2}, Duration: 60 * time.Millisecond, Rounds: 1})
	require.NoError(t, err, out.String())
	var row map[string]any
	require.NoError(t, json.Unmarshal([]byte(out.String()), &row), "one row, and nothing else: %s", out.String())
	require.InDelta(t, 2, row["connections"], 0)
	require.Positive(t, row["authsync/s"])
}
