package dashboard_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatesOfADestinationAreSaidInWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.call(t, http.MethodPost, "", map[string]any{"name": "app", "type": "webhook", "options": map[string]any{"url": "http://127.0.0.1:1/"}})
	one := s.path("destinations", "app")
	var sealed []byte
	require.NoError(t, s.Control.QueryRow(t.Context(), `SELECT secrets_sealed FROM authsync.destinations`).Scan(&sealed))
	for _, state := range []struct {
		destination, progress string
		says                  []string
		mayResume, mayPause   bool
	}{
		{"state = 'active'", "failing_since = NULL, breaker_open_until = NULL", []string{"active", "Changes are sent as they happen."}, false, true},
		{"state = 'active'", "failing_since = now(), breaker_open_until = NULL", []string{"retrying", "Its last requests failed and are retried"}, false, true},
		{"state = 'active'", "breaker_open_until = now() + interval '1 hour'", []string{"failing", "Its requests keep failing", "Next try"}, true, true},
		{"state = 'active', state_by = 'system', state_reason = 'The feed went back.'", "failing_since = NULL, breaker_open_until = NULL", []string{"Notice: The feed went back.", "takes the notice away"}, true, true},
		{"state = 'paused', state_by = 'user', state_reason = NULL", "failing_since = NULL, breaker_open_until = NULL", []string{"A user has paused it.", "sent in order once it is resumed"}, true, false},
		{"state = 'paused', state_by = 'system', state_reason = 'The token is invalid.'", "failing_since = NULL, breaker_open_until = NULL", []string{"authsync has paused it: The token is invalid.", "then resume it"}, true, false},
		{"state = 'disabled', state_by = 'system', state_reason = 'gone'", "failing_since = NULL, breaker_open_until = NULL", []string{"authsync has disabled it: gone.", "then resume it"}, true, false},
		{"state = 'disabled', secrets_sealed = ''", "failing_since = NULL, breaker_open_until = NULL", []string{"unusable", "It cannot be used: ", "set its secrets again"}, true, false},
	} {
		s.exec(t, `UPDATE authsync.destination_progress SET `+state.progress)
		s.exec(t, `UPDATE authsync.destinations SET `+state.destination)
		page := s.get(t, one, s.all)
		list := s.get(t, s.path("destinations"), s.all)
		for i, want := range state.says {
			require.Contains(t, page.words, want)
			if i == 0 {
				require.Contains(t, list.words, want)
			}
		}
		if troubled := slices.Contains([]string{"failing", "authsync", "Notice:"}, strings.Fields(state.says[0])[0]); troubled {
			home := s.get(t, "/", s.all)
			require.Contains(t, home.links(one), one, "the home page leads to it")
			require.Equal(t, strings.HasPrefix(state.says[0], "Notice"), strings.Contains(home.words, "Destination app has a notice."))
		}
		require.Equal(t, state.mayResume, len(page.forms("/resume")) == 1, state.says)
		require.Equal(t, state.mayPause, len(page.forms("/pause")) == 1, state.says)
	}
	// The job that sends waits for the rate limit.
	s.exec(t, `UPDATE authsync.destinations SET state = 'active', secrets_sealed = $1`, sealed)
	s.exec(t, `
		WITH j AS (
			INSERT INTO authsync.river_job (kind, state, max_attempts, args, scheduled_at, metadata)
			VALUES ('deliver', 'scheduled', 1, '{}', now() + interval '1 hour', jsonb_build_object('output', jsonb_build_object('wait_reason', $1::text))) RETURNING id
		)
		INSERT INTO authsync.job_requests (kind, subject, args, job_id) SELECT 'deliver', d.id::text, '{}', j.id FROM authsync.destinations AS d, j
		ON CONFLICT (kind, subject) DO UPDATE SET job_id = excluded.job_id`, "limit "+hostile)
	require.Contains(t, s.get(t, one, s.all).words, "Nothing is sent now: limit "+hostile+". It goes on by itself.")
}
