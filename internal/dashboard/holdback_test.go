package dashboard_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/jobstest"
)

// A deletion that is held back is seen as such, and sent or cancelled by hand.
func TestAHeldDeletionIsConfirmedByHand(t *testing.T) {
	t.Parallel()
	s, there := newSite(t), newReceiver(t)
	there.answers(http.StatusOK, "thanks")
	create := s.get(t, s.path("destinations", "new")+"?type=webhook", s.all).form(t, "/destinations")
	create.values.Set("name", "app")
	create.values.Set("options.url", there.url)
	create.values.Set("holdback", "soon")
	require.Contains(t, s.post(t, create, s.all).fault(t, "holdback"), "from 1m to 720h")
	create.values.Set("holdback", "24h")
	require.Equal(t, http.StatusOK, s.post(t, create, s.all).status, "the page with its secret")
	require.Contains(t, s.get(t, s.path("destinations", "app"), s.all).words, "are held back for 24h")
	require.Equal(t, "24h", s.get(t, s.path("destinations", "app", "change"), s.all).form(t, "/change").values.Get("holdback"))

	s.user(t, 1, "user_1", "Ada")
	s.state(t, "delivered")
	s.exec(t, `
		UPDATE authsync.deliveries SET state = 'held', event_type = 'user.deleted', held_from = now(), finished_at = NULL, attempts = 0,
			last_attempt_at = NULL, last_status = NULL, last_response = NULL`)
	held := s.get(t, s.state(t, "held"), s.all)
	require.Contains(t, held.words, "It is held back: it is not sent at all if the record is restored meanwhile")
	require.Contains(t, held.words, "Held until")
	require.Contains(t, s.get(t, s.path("destinations", "app"), s.all).words, "1, the first until")
	for _, page := range []string{"/", s.path(), s.path("destinations")} {
		require.Contains(t, s.get(t, page, s.all).words, "1, the first until", page)
	}
	require.NotContains(t, s.get(t, s.path(), s.all).words, "kept for longer")
	jobstest.Completed(t, s.Control, "prune_mirrors") // the next one comes in an hour
	s.exec(t, `INSERT INTO authsync.mirror_prunings (project_id, attempted_at, held_reason, held_since)
		SELECT p.id, now(), 'a deletion is held back from destination app', now() FROM authsync.projects AS p
		ON CONFLICT (project_id) DO UPDATE SET held_reason = excluded.held_reason, held_since = excluded.held_since`)
	require.Regexp(t, `Changes are kept for longer since .*: a deletion is held back from destination app\.`, s.get(t, s.path(), s.all).words)
	ask := s.get(t, s.path("destinations", "app", "confirm"), s.all)
	require.Contains(t, ask.words, "1 delivery would be sent now")
	require.Contains(t, s.do(t, ask.forms("/confirm")[1], s.all).notice(t), "1 delivery is held no longer")
	again := s.get(t, s.state(t, "delivered"), s.all)
	require.NotContains(t, again.words, "Send now")

	s.exec(t, `UPDATE authsync.deliveries SET state = 'held', held_from = now(), finished_at = NULL, attempts = 0`)
	held = s.get(t, s.state(t, "held"), s.all)
	require.Contains(t, s.do(t, held.form(t, "/confirm"), s.all).notice(t), "held no longer")
	s.state(t, "delivered")
}
