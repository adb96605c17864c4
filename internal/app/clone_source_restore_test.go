package app_test

import (
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// emails are those of the users of messages of a type, in the sequence in which they came.
func (s *sink) emails(t *testing.T, eventType string) (all []string) {
	t.Helper()
	for _, body := range s.of(eventType) {
		var m struct {
			Data struct {
				User struct {
					Email string `json:"email"`
				} `json:"user"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &m))
		all = append(all, m.Data.User.Email)
	}
	return all
}

// What the repair of a restored source makes once more, its clones have: their destinations hear of it once, and of what is new once.
func TestARestoredSourceHasItsClonesSendNothingTwice(t *testing.T) {
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
			clone := e.clone(t, "preview", "following")
			added, err := e.api.AddDestination(t.Context(), "preview", map[string]any{"name": "hook", "type": "webhook",
				"event_types": []string{"user.*", "membership.*", "organization.*"}, "options": map[string]any{"url": server.URL}})
			require.NoError(t, err)
			const third = "user_third"
			arrived := func(eventType string, emails ...string) {
				t.Helper()
				waittest.Until(t, func() bool {
					return len(hook.emails(t, eventType)) >= len(emails) && e.count(t, in.controlDB, `
						SELECT count(*) FROM authsync.deliveries WHERE destination_id = $1 AND finished_at IS NULL`, added.ID) == 0
				}, "%s does not arrive", eventType)
				require.Equal(t, emails, hook.emails(t, eventType))
			}
			e.event(t, "user.updated", otherID, map[string]any{"email": "one@example.org"})
			arrived("user.updated", "one@example.org")
			backup := pgtest.Copy(t, in.mirror)
			e.event(t, "user.created", third, map[string]any{"email": "third@example.org"})
			arrived("user.created", "third@example.org")
			e.event(t, "user.updated", otherID, map[string]any{"email": "two@example.org"})
			arrived("user.updated", "one@example.org", "two@example.org")
			e.event(t, "user.deleted", hisID, nil)
			waittest.Until(t, func() bool { return len(hook.of("user.deleted")) == 1 }, "the deletion does not arrive")
			e.event(t, "organizationMembership.created", third, nil)
			waittest.Until(t, func() bool { return len(hook.of("membership.created")) == 1 }, "the membership does not arrive")

			if is.isAnew {
				backup = pgtest.Copy(t, pgtest.Project(t))
			}
			pgtest.Restore(t, in.mirror, backup)
			if is.isAhead {
				_, err := in.mirror.Exec(t.Context(), `
					SELECT setval(q.s, nextval(q.s) + 31) FROM (SELECT pg_get_serial_sequence('capydb_auth.changes', 'id')::regclass) AS q (s)`)
				require.NoError(t, err)
			}
			e.event(t, "user.updated", third, map[string]any{"email": "new@example.org"})
			e.repaired(t, "shop", 1)
			e.settled(t)
			e.event(t, "user.updated", otherID, map[string]any{"email": "three@example.org"})
			waittest.Until(t, func() bool {
				return e.count(t, clone, `SELECT count(*) FROM capydb_auth.users WHERE email = 'three@example.org'`) == 1
			}, "the clone does not follow")
			arrived("user.updated", "one@example.org", "two@example.org", "new@example.org", "three@example.org")
			require.Len(t, hook.of("user.created"), 1)
			require.Len(t, hook.of("user.deleted"), 1)
			require.Len(t, hook.of("membership.created"), 1)
			require.Empty(t, hook.of("organization.created"))
			for _, table := range []string{"users", "organizations", "memberships", "invitations"} {
				all := `SELECT coalesce(jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t)::text), '[]')::text FROM capydb_auth.` + table + ` AS t`
				waittest.Until(t, func() bool { return text(t, in.mirror, all) == text(t, clone, all) }, "%s differ", table)
			}
		})
	}
}

func text(t *testing.T, pool *pgxpool.Pool, query string) (s string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), query).Scan(&s))
	return s
}
