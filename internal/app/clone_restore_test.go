package app_test

import (
	"encoding/json"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// What a clone copies once more, because its database was restored from a backup or is another one now, goes to its destinations once;
// what the clone had not copied before does, too.
func TestARestoredCloneSendsNothingTwice(t *testing.T) {
	t.Parallel()
	for name, is := range map[string]struct{ isAnew, isAhead bool }{
		"FromACopy":      {},
		"ToAPointInTime": {isAhead: true}, // sequences are
		"MadeAnew":       {isAnew: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := install(t)
			in.settings.AllowTargets = egress.Loopback()
			hook := &sink{}
			server := httptest.NewServer(hook)
			t.Cleanup(server.Close)
			e := in.serve(t)
			e.live(t)
			_, err := in.mirror.Exec(t.Context(), `UPDATE capydb_auth.changes SET changed_at = changed_at - interval '1 hour'`)
			require.NoError(t, err)
			clone := e.clone(t, "preview", "following")
			added, err := e.api.AddDestination(t.Context(), "preview", map[string]any{"name": "hook", "type": "webhook", "options": map[string]any{"url": server.URL}})
			require.NoError(t, err)
			update := func(email string) {
				e.event(t, "user.updated", otherID, map[string]any{"email": email})
			}
			arrived := func(email string) {
				waittest.Until(t, func() bool {
					bodies := strings.Join(hook.of("user.updated"), "\n")
					return strings.Contains(bodies, email) && e.count(t, in.controlDB, `
						SELECT count(*) FROM authsync.deliveries WHERE destination_id = $1 AND finished_at IS NULL`, added.ID) == 0
				}, "%s does not arrive", email)
			}
			update("one@example.org")
			arrived("one@example.org")
			backup := pgtest.Copy(t, clone)
			for _, email := range []string{"two@example.org", "three@example.org"} {
				update(email)
				arrived(email)
			}
			if is.isAnew {
				backup = pgtest.Copy(t, pgtest.Project(t))
			}
			pgtest.Restore(t, clone, backup)
			if is.isAhead {
				_, err := clone.Exec(t.Context(), `
					SELECT setval(q.s, nextval(q.s) + 31) FROM (SELECT pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass) AS q (s)`)
				require.NoError(t, err)
			}
			update("four@example.org")
			arrived("four@example.org")
			update("five@example.org")
			arrived("five@example.org")
			var emails []string
			for _, body := range hook.of("user.updated") {
				var m struct {
					Data struct {
						User struct {
							Email string `json:"email"`
						} `json:"user"`
					} `json:"data"`
				}
				require.NoError(t, json.Unmarshal([]byte(body), &m))
				emails = append(emails, m.Data.User.Email)
			}
			require.Equal(t, []string{"one@example.org", "two@example.org", "three@example.org", "four@example.org", "five@example.org"}, emails)
			require.Empty(t, hook.of("user.created"))
			e.repaired(t, "preview", 1)
			require.Equal(t, 1, e.count(t, clone, `SELECT count(*) FROM capydb_auth.users WHERE email = 'five@example.org'`))
		})
	}
}
