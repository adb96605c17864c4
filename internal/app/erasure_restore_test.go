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

// repaired waits until the mirror's repair number so many is done, and returns its summary. It asks for the check that comes each minute.
func (e *erasures) repaired(t *testing.T, times int) string {
	t.Helper()
	waittest.Until(t, func() bool {
		_, err := e.controlDB.Exec(t.Context(), `
			INSERT INTO authsync.river_job (kind, args, max_attempts, queue)
			SELECT 'check_mirrors', '{}', 5, 'default'
			WHERE NOT EXISTS (SELECT FROM authsync.river_job WHERE kind = 'check_mirrors' AND finalized_at IS NULL)
			  AND NOT EXISTS (SELECT FROM authsync.mirror_repairs AS r GROUP BY r.project_id HAVING count(*) = $1)`, times)
		require.NoError(t, err)
		return e.count(t, e.controlDB, `SELECT count(*) FROM authsync.mirror_repairs WHERE finished_at IS NOT NULL`) == times
	}, "the mirror is not repaired")
	p, err := e.api.Project(t.Context(), "shop")
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
	require.Contains(t, e.repaired(t, 1), "1 user who had been erased was erased again")
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
	e.repaired(t, 2)
	e.settled(t)
	require.Zero(t, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, hisID))
	require.Zero(t, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.invitations`))
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, otherID))
	in.requireNoTrace(t)
}
