package cli

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/waittest"
)

// requireNoTrace looks for what verify may have left behind.
func requireNoTrace(t *testing.T, b *testBundle) {
	t.Helper()
	for query, pool := range map[string]*pgxpool.Pool{
		`SELECT count(*) FROM capydb_auth.users WHERE id LIKE '%authsync_verify%'`:                      b.project,
		`SELECT count(*) FROM capydb_auth.user_versions WHERE user_id LIKE '%authsync_verify%'`:         b.project,
		`SELECT count(*) FROM capydb_auth.user_changes WHERE user_id LIKE '%authsync_verify%'`:          b.project,
		`SELECT count(*) FROM capydb_auth.processed_events WHERE user_id LIKE '%authsync_verify%'`:      b.project,
		`SELECT count(*) FROM authsync.event_outcomes WHERE user_id LIKE '%authsync_verify%'`:           b.control,
		`SELECT count(*) FROM authsync.inbox WHERE convert_from(body, 'UTF8') LIKE '%authsync_verify%'`: b.control,
		`SELECT count(*) FROM authsync.stuck_deliveries`:                                                b.control,
		`SELECT count(*) FROM authsync.river_job AS j WHERE j.kind LIKE 'apply%' AND NOT EXISTS (
			SELECT FROM authsync.inbox AS i WHERE (j.args ->> 'inbox_ids')::int8multirange @> i.id)`: b.control,
	} {
		found, err := collectColumn[int](t.Context(), pool, query)
		require.NoError(t, err)
		require.Zero(t, found[0], query)
	}
}

func TestVerifyLeavesNoTrace(t *testing.T) {
	t.Parallel()

	t.Run("WhenAllIsWell", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.must(t, "send", "shop", "auth0", "user.created", "--user", "auth0|real", "--wait")
		b.must(t, "verify", "shop", "auth0")
		b.must(t, "verify", "shop", "better_auth")
		requireNoTrace(t, b)
		require.Contains(t, b.must(t, "explain", "shop", "auth0|real"), "applied", "others' events stay")
	})

	t.Run("WhenACheckFails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.project.Exec(t.Context(), `
			CREATE FUNCTION public.meddle() RETURNS trigger LANGUAGE plpgsql AS
				$fn$ BEGIN NEW.first_name := 'somebody else'; RETURN NEW; END $fn$;
			CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON capydb_auth.users
				FOR EACH ROW EXECUTE FUNCTION public.meddle()`)
		require.NoError(t, err)
		r := b.run(t, "verify", "shop", "clerk")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "not ok  created: the row is there: expected outcome applied, email ada@example.com, first_name Ada")
		require.Contains(t, r.out, "first_name somebody else")
		require.Contains(t, r.out, "0 of 6 checks passed.")
		requireNoTrace(t, b)
	})

	t.Run("WhenTheEventFails", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		_, err := b.project.Exec(t.Context(), `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_ada CHECK (first_name <> 'Ada')`)
		require.NoError(t, err)
		r := b.run(t, "verify", "shop", "clerk")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.out, "outcome failed (the project database says: ")
		require.Contains(t, r.out, "no_ada")
		requireNoTrace(t, b)
	})

	t.Run("OnCtrlC", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, interrupt := context.WithCancel(t.Context())
		var errs bytes.Buffer
		status := Main(ctx, Process{
			Args: []string{"verify", "shop", "clerk"}, Out: writerFunc(func(p []byte) {
				if strings.HasPrefix(string(p), "ok") {
					interrupt()
				}
			}), Err: &errs, Lookup: func(name string) string { return b.env[name] }, Now: time.Now,
		})
		require.Equal(t, 1, status)
		require.Error(t, ctx.Err(), "a check passed before")
		requireNoTrace(t, b)
	})
}

// A job that has read a delivery applies it, whatever becomes of the delivery
// meanwhile: cleaning up has to wait for it.
func TestVerifyWaitsForTheJobBeforeItCleansUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	count := func(pool *pgxpool.Pool, query string) int {
		found, err := collectColumn[int](t.Context(), pool, query)
		require.NoError(t, err)
		return found[0]
	}
	// The mirror is busy, so the job stays where it is.
	busy, err := b.project.Begin(t.Context())
	require.NoError(t, err)
	_, err = busy.Exec(t.Context(), `LOCK TABLE capydb_auth.users IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)

	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- run(ctx, b.env, "", "verify", "shop", "clerk") }()
	waittest.Until(t, func() bool {
		return count(b.control, `SELECT count(*) FROM authsync.river_job WHERE kind = 'apply_deliveries' AND state = 'running'`) == 1 &&
			count(b.project, `SELECT count(*) FROM pg_locks WHERE NOT granted`) > 0
	})
	interrupt()
	waittest.Until(t, func() bool { return count(b.control, `SELECT count(*) FROM authsync.inbox`) == 0 })
	require.NoError(t, busy.Rollback(t.Context()))
	r := <-ended
	require.Equal(t, 1, r.status, r.out)
	waittest.Until(t, func() bool {
		return count(b.control, `SELECT count(*) FROM authsync.river_job WHERE kind = 'apply_deliveries' AND state = 'running'`) == 0
	})
	requireNoTrace(t, b)
}

type writerFunc func([]byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestTailFollowsUntilItIsInterrupted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ctx, interrupt := context.WithCancel(t.Context())
	lines := make(chan string, 100)
	ended := make(chan int, 1)
	go func() {
		ended <- Main(ctx, Process{
			Args: []string{"events", "tail", "shop", "--type", "user.created"},
			Out:  writerFunc(func(p []byte) { lines <- string(p) }), Err: &bytes.Buffer{},
			Lookup: func(name string) string { return b.env[name] }, Now: time.Now,
		})
	}()
	require.Contains(t, <-lines, "RECEIVED")
	for _, user := range []string{"u1", "u2"} {
		b.must(t, "send", "shop", "clerk", "user.created", "--user", user)
		b.must(t, "send", "shop", "clerk", "user.updated", "--user", user)
		require.Contains(t, <-lines, " "+user+" ")
	}
	interrupt()
	require.Zero(t, <-ended)
	require.Empty(t, lines, "each event is shown once, and no other type")
}
