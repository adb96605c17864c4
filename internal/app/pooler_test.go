package app_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// Behind a pooler that gives each transaction another session all works but what changes the schema.
func TestServesBehindAPooler(t *testing.T) {
	t.Parallel()
	in := install(t)
	through, installed := pgtest.PgBouncer(t)
	if !installed {
		return
	}
	in.settings.DatabaseURL = config.Secret(through(in.settings.DatabaseURL.Reveal()))
	a, stop := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
	c := client.New(a.URL(), in.key)
	t.Cleanup(c.Close)
	pooled := through(pgtest.URL(t, in.mirror))
	require.NoError(t, c.Do(t.Context(), http.MethodPatch, "/projects/shop", map[string]string{"database_url": pooled}, nil))
	for _, name := range provider.Names() {
		require.NoError(t, in.send(t, a.URL(), name, "user-of-"+name))
	}
	waittest.Until(t, func() bool { return in.users(t) == len(provider.Names()) })
	status, text := get(t, a.URL()+"/readyz")
	require.Equal(t, http.StatusOK, status, text)

	// What others look at to know that its jobs have a process: true from the start to the end, not for longer.
	lives := func() (lives bool) {
		require.NoError(t, in.controlDB.QueryRow(t.Context(), `
			SELECT NOT pg_try_advisory_xact_lock_shared(authsync.client_lock_key(j.attempted_by[1]))
			FROM (SELECT r.attempted_by FROM authsync.river_job AS r WHERE r.attempted_by IS NOT NULL LIMIT 1) AS j`).Scan(&lives))
		return lives
	}
	require.True(t, lives())
	// The transaction that lasts holds the lock, and back no vacuum.
	waittest.Until(t, func() bool {
		var held int
		require.NoError(t, in.controlDB.QueryRow(t.Context(), `
			SELECT count(*)
			FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
			WHERE l.locktype = 'advisory' AND l.granted AND a.datname = current_database() AND a.state = 'idle in transaction'
				AND a.backend_xmin IS NULL AND a.backend_xid IS NULL`).Scan(&held))
		return held == 1
	})
	stop()
	waittest.Until(t, func() bool { return !lives() })
}
