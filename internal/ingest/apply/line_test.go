package apply_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/apply"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// lines is a log that a test reads.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// outcomes are the lines about events, by message and event type.
func (l *lines) outcomes(t *testing.T) (found []map[string]any, text string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	text = l.text.String()
	for line := range strings.Lines(text) {
		var one map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &one))
		if name, is := one["msg"].(string); is && strings.HasPrefix(name, "event_") {
			found = append(found, one)
		}
	}
	return found, text
}

// Each outcome of a message with several events has one line, which names nobody.
func TestEachOutcomeIsALine(t *testing.T) {
	t.Parallel()
	for name, failuresOnly := range map[string]bool{"All": false, "FailuresOnly": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &lines{}
			b := setupWith(t, nil, func(c *apply.Config) {
				c.Log, c.FailuresOnly = slog.New(slog.NewJSONHandler(log, nil)), failuresOnly
			})
			older := strings.ReplaceAll(created("evt_stale", "auth0|1", "older@example.com"), "2026-03-01T12", "2026-03-01T11")
			body := "[" + created("evt_1", "auth0|1", "ada@example.com") + "," + older + "," + created("evt_auth0|2", "auth0|2", "eve@example.com") + "," +
				`{"type": "group.created", "id": "evt_ignored", "time": "2026-03-01T12:00:00Z", "data": {"object": {"id": "g"}}},` +
				`{"type": "user.created", "id": "evt_failed", "data": {"object": {"user_id": 7}}}]`
			trace := "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
			id, err := b.inbox.Append(t.Context(), inbox.Message{ProjectID: b.projectID, Provider: provider.Auth0, Body: []byte(body), Headers: map[string]string{"Traceparent": trace}})
			require.NoError(t, err)
			b.eventually(t, id, 4, inbox.Failed)
			b.settled(t)
			again := b.deliver(t, b.projectID, created("evt_1", "auth0|1", "ada@example.com"))
			b.eventually(t, again, 0, inbox.Duplicate)

			want := map[float64]string{4: "event_failed"}
			if !failuresOnly {
				want = map[float64]string{0: "event_applied", 1: "event_stale", 2: "event_applied", 3: "event_ignored", 4: "event_failed"}
			}
			got := map[float64]string{}
			waittest.Until(t, func() bool { // a line follows the commit
				found, _ := log.outcomes(t)
				clear(got)
				duplicates := 0
				for _, line := range found {
					ordinal, _ := line["ordinal"].(float64)
					message, _ := line["msg"].(string)
					if line["inbox_id"] == float64(id) {
						got[ordinal] = message
					} else if message == "event_duplicate" {
						duplicates++
					}
				}
				return len(got) == len(want) && duplicates == map[bool]int{true: 0, false: 1}[failuresOnly]
			})
			require.Equal(t, want, got)
			found, text := log.outcomes(t)
			for _, line := range found {
				require.Equal(t, b.projectID.String(), line["project_id"])
				require.Equal(t, provider.Auth0, line["provider"])
				require.NotEmpty(t, line["event_type"])
				require.NotEmpty(t, line["outcome"])
				require.Positive(t, line["latency"])
				if line["inbox_id"] == float64(id) {
					require.Equal(t, "4bf92f3577b34da6a3ce929d0e0e4736", line["trace_id"])
				}
				if line["ordinal"] == float64(2) {
					require.Regexp(t, "^sha256:[0-9a-f]{32}$", line["event_id"], "the id of the event has the user's")
				}
			}
			require.NotContains(t, text, "auth0|")
			require.NotContains(t, text, "@example.com")
		})
	}
}
