package app_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// repaired waits until the repair number so many of a project's mirror is done, and returns its summary. It asks for the check that comes
// each minute.
func (e *erasures) repaired(t *testing.T, project string, times int) string {
	t.Helper()
	p, err := e.api.Project(t.Context(), project)
	require.NoError(t, err)
	waittest.Until(t, func() bool {
		_, err := e.controlDB.Exec(t.Context(), `
			INSERT INTO authsync.river_job (kind, args, max_attempts, queue)
			SELECT 'check_mirrors', '{}', 5, 'default'
			WHERE NOT EXISTS (SELECT FROM authsync.river_job WHERE kind = 'check_mirrors' AND finalized_at IS NULL)
			  AND NOT EXISTS (SELECT FROM authsync.mirror_repairs AS r WHERE r.project_id = $2 GROUP BY r.project_id HAVING count(*) = $1)`, times, p.ID)
		require.NoError(t, err)
		return e.count(t, e.controlDB, `SELECT count(*) FROM authsync.mirror_repairs WHERE finished_at IS NOT NULL AND project_id = $1`, p.ID) == times
	}, "the mirror is not repaired")
	p, err = e.api.Project(t.Context(), project)
	require.NoError(t, err)
	return p.MirrorRepair.Summary
}

// A mirror that is restored from a backup has the person whom it had then: who was erased since is erased again, by itself.
func TestARestoredMirrorDoesNotBringBackWhoWasErased(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.settings.AllowTargets = egress.Loopback()
	hook := &sink{}
	server := httptest.NewServer(hook)
	t.Cleanup(server.Close)
	e := in.serve(t)
	_, err := e.api.AddDestination(t.Context(), in.projectID, map[string]any{"name": "hook", "type": "webhook", "options": map[string]any{"url": server.URL}})
	require.NoError(t, err)
	e.live(t)
	waittest.Until(t, func() bool {
		return e.count(t, in.controlDB, `SELECT count(*) FROM authsync.deliveries WHERE state <> 'delivered'`) == 0 && len(hook.of("user.created")) >= 3
	})
	copied := pgtest.Copy(t, in.mirror)
	begun, err := e.api.EraseUser(t.Context(), "shop", hisID)
	require.NoError(t, err)
	receipt := e.erased(t, begun.ID)
	in.requireNoTrace(t)
	created := len(hook.of("user.created"))

	// No event was applied since: that the mirror is an older one is known of the erasure alone.
	pgtest.Restore(t, in.mirror, copied)
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, hisID))
	require.Contains(t, e.repaired(t, "shop", 1), "1 user who had been erased was erased again")
	list, err := e.api.Erasures(t.Context(), "shop", 0)
	require.NoError(t, err)
	require.Len(t, list, 2)
	again := e.erased(t, list[0].ID)
	require.Equal(t, receipt.Digest, again.Digest)
	require.Contains(t, again.RequestedBy, "repair ")
	require.EqualValues(t, 1, again.Counts["capydb_auth.users"])
	in.requireNoTrace(t)
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, otherID))
	require.Len(t, hook.of("user.created"), created, "nobody is created again")

	// Nor does a mirror that is made anew, by an event that comes late or by an invitation that the provider still lists.
	_, err = in.mirror.Exec(t.Context(), `DROP SCHEMA capydb_auth CASCADE`)
	require.NoError(t, err)
	// As a person does it who does not wait until authsync is sure that nobody restores it from a backup.
	require.NoError(t, e.api.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/clerk",
		map[string]any{"credentials": map[string]any{"webhook_signing_secret": signingSecret}}, nil))
	e.event(t, "user.updated", hisID, map[string]any{"email": hisEmail, "last_name": hisName})
	e.event(t, "organizationInvitation.created", "", map[string]any{"id": "orginv_1", "email_address": "x@example.org"})
	e.repaired(t, "shop", 2)
	e.settled(t)
	require.Zero(t, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, hisID))
	require.Zero(t, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.invitations`))
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, otherID))
	in.requireNoTrace(t)
}

// Nor does a clone that is restored from a backup, whether the erasure from it was done or is at work.
func TestARestoredCloneDoesNotBringBackWhoWasErased(t *testing.T) {
	t.Parallel()
	for name, isAtWork := range map[string]bool{"Done": false, "AtWork": true} {
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
			const state = "/projects/preview/destinations/hook/"
			if isAtWork {
				_, err := e.api.AddDestination(t.Context(), "preview", map[string]any{"name": "hook", "type": "webhook", "options": map[string]any{"url": server.URL}})
				require.NoError(t, err)
				require.NoError(t, e.api.Do(t.Context(), http.MethodPost, state+"pause", nil, nil))
			}
			copied := pgtest.Copy(t, clone)
			begun, err := e.api.EraseUser(t.Context(), "shop", hisID)
			require.NoError(t, err)
			if isAtWork {
				waittest.Until(t, func() bool {
					return e.count(t, in.controlDB, `SELECT count(*) FROM authsync.erasures WHERE phase = 'destinations' AND state = 'running'`) == 2
				}, "it does not wait for the clone's destination")
			} else {
				e.erased(t, begun.ID)
			}

			pgtest.Restore(t, clone, copied)
			require.Equal(t, 1, e.count(t, clone, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, hisID))
			summary := e.repaired(t, "preview", 1)
			require.Zero(t, e.count(t, clone, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, hisID))
			if isAtWork {
				require.NotContains(t, summary, "erased again", "it is the erasure that was at work")
				require.NoError(t, e.api.Do(t.Context(), http.MethodPost, state+"resume", nil, nil))
			} else {
				require.Contains(t, summary, "1 user who had been erased was erased again")
			}
			receipt := e.erased(t, begun.ID)
			require.Equal(t, "done", receipt.Clones[0].State)
			waittest.Until(t, func() bool {
				return e.count(t, in.controlDB, `SELECT count(*) FROM authsync.erasures WHERE state = 'running'`) == 0
			}, "the erasure from the clone is not done")
			if isAtWork {
				require.Len(t, hook.of("user.erased"), 1, "the destination hears of it once")
			}
			in.requireNoTrace(t)
			all := dump(t, clone)
			for _, text := range traces() {
				require.Empty(t, lines(all, text), text)
			}
			e.event(t, "user.updated", otherID, map[string]any{"email": "moved@example.org"})
			waittest.Until(t, func() bool {
				return e.count(t, clone, `SELECT count(*) FROM capydb_auth.users WHERE email = 'moved@example.org'`) == 1
			}, "the clone follows no more")
		})
	}
}
