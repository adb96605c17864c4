package docstest_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// The line of an outcome has the attributes that the page shows; trace_id is there if the sender traces.
func TestObservability(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/observability.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := newScene(t, "")
			s.shop()
			const secret = "a long random text for this test"
			url := s.put("auth0", map[string]any{"credentials": map[string]string{"webhook_signing_secret": secret}})
			s.deliver(url, secret, auth0Event("evt_logged", "auth0|logged"))
			return s
		},
		blocks: map[string]step{
			`{"time": "2026-05-04T10:20:31Z", "level": "INFO", "msg": "event_applied", "project_id": "9c1f6f0e-6b0d-4c55-9d0b-2b9d1f5a7c11", "provider": "auth0",`: {
				instead: func(s *scene, text string) {
					var shown, logged map[string]any
					require.NoError(s.t, json.Unmarshal([]byte(text), &shown))
					waittest.Until(s.t, func() bool {
						for line := range strings.Lines(s.server.Output()) {
							logged = nil
							if json.Unmarshal([]byte(line), &logged) == nil && logged["msg"] == shown["msg"] {
								return true
							}
						}
						return false
					})
					delete(shown, "trace_id")
					delete(logged, "trace_id")
					require.Equal(s.t, slices.Sorted(maps.Keys(shown)), slices.Sorted(maps.Keys(logged)))
				},
			},
		},
	}.run(t)
}
