package mirror_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const (
	mirrorSessions = `FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'authsync mirror'`
	endSessions    = `SELECT count(pg_terminate_backend(pid))::text ` + mirrorSessions
)

// A connection that somebody ended is no outage: the call is repeated at once.
func TestAConnectionThatIsEndedDelaysNothing(t *testing.T) {
	t.Parallel()
	t.Run("between two calls", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		m := newMirrors(t, pool)
		for i := range 4 {
			_, err := m.Apply(t.Context(), projectID(), users(i+1))
			require.NoError(t, err)
			require.NotEqual(t, "0", one(t, pool, endSessions))
		}
	})
	t.Run("in the middle of a call", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		url := pgtest.URL(t, pool)
		m := mirrorsOf(t, tenantdb.Config{
			URL:         func(context.Context, uuid.UUID) (string, error) { return url, nil },
			LockTimeout: waittest.Bound, CallTimeout: waittest.Bound,
		}, discard())
		_, err := m.Apply(t.Context(), projectID(), users(1))
		require.NoError(t, err)
		// The first call waits for a lock until it is ended.
		tx, err := pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `LOCK TABLE capydb_auth.users IN ACCESS EXCLUSIVE MODE`)
		require.NoError(t, err)
		applied := make(chan error, 1)
		go func() {
			_, err := m.Apply(context.WithoutCancel(t.Context()), projectID(), users(8))
			applied <- err
		}()
		waittest.Until(t, func() bool {
			return one(t, pool, `SELECT count(pg_terminate_backend(pid))::text `+mirrorSessions+` AND wait_event_type = 'Lock'`) != "0"
		})
		require.NoError(t, tx.Rollback(t.Context()))
		require.NoError(t, waittest.Receive(t, applied))
		require.Equal(t, "8", one(t, pool, `SELECT count(*)::text FROM capydb_auth.users`))
	})
	t.Run("while changes are read", func(t *testing.T) {
		t.Parallel()
		pool := pgtest.Project(t)
		m := newMirrors(t, pool)
		for range 3 {
			_, err := m.ChangeCursor(t.Context(), projectID(), time.Time{})
			require.NoError(t, err)
			require.NotEqual(t, "0", one(t, pool, endSessions))
		}
	})
}
