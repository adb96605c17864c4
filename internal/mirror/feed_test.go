package mirror_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const applySQL = `SELECT FROM capydb_auth.apply_events(` + mirror.EventArray + `)`

// listener is a connection that listens to the feed.
type listener struct{ conn *pgx.Conn }

func listen(t *testing.T, pool *pgxpool.Pool) *listener {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pgtest.URL(t, pool))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.Background())) })
	_, err = conn.Exec(t.Context(), `LISTEN capydb_auth_changes`)
	require.NoError(t, err)
	return &listener{conn}
}

// hears gives the payloads until one of its own, which is sent now: notifications
// come in the order of commit, so nothing that was committed before is missing.
func (l *listener) hears(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	execute(t, pool, `NOTIFY capydb_auth_changes, 'end'`)
	var heard []string
	for {
		n, err := l.conn.WaitForNotification(t.Context())
		require.NoError(t, err)
		require.Equal(t, "capydb_auth_changes", n.Channel)
		if n.Payload == "end" {
			return heard
		}
		heard = append(heard, n.Payload)
	}
}

func TestChangesAreNotified(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	l, m := listen(t, pool), newMirrors(t, pool)
	const lastID = `SELECT max(id)::text FROM capydb_auth.user_changes`
	applied := func(m *mirror.Mirrors, events ...mirror.Event) {
		_, err := m.Apply(t.Context(), projectID(), events)
		require.NoError(t, err)
	}

	created := update("e1", 1, "email", "ada@example.com")
	applied(m, created)
	require.Equal(t, []string{one(t, pool, lastID)}, l.hears(t, pool), "a change is told with its id")

	applied(m, created, again(created), update("e2", 2, "email", "ada@example.com"))
	require.Empty(t, l.hears(t, pool), "events that change nothing are not told")

	applied(m, append(users(50), update("e3", 3, "email", "b@example.com"), update("e4", 4, "email", "c@example.com"))...)
	require.Equal(t, []string{one(t, pool, lastID)}, l.hears(t, pool), "many changes are told once, by the greatest id")

	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), applySQL, mirror.EventArgs([]mirror.Event{update("e5", 5, "email", "d@example.com")})...)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	applied(m, update("e6", 6, "email", "e@example.com"))
	require.Equal(t, []string{one(t, pool, lastID)}, l.hears(t, pool), "a gap in the ids is no matter")

	// The process dies when the call was committed, before it has told anybody. Another one repeats the call.
	lost := update("e7", 7, "email", "f@example.com")
	apply(t, pool, []mirror.Event{lost})
	require.Empty(t, l.hears(t, pool))
	applied(newMirrors(t, pool), lost)
	require.Equal(t, []string{one(t, pool, lastID)}, l.hears(t, pool), "no change stays untold")
}

// A listener that reads nothing fills the queue of notifications sooner or later. Those that could not be sent are made up for.
func TestEventsAreAppliedThoughNobodyCanBeNotified(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	l, m := listen(t, pool), newMirrors(t, pool)
	execute(t, pool, `
		ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO kept;
		CREATE FUNCTION pg_catalog.pg_notify(text, text) RETURNS void LANGUAGE plpgsql AS $$
			BEGIN RAISE program_limit_exceeded USING MESSAGE = 'too many notifications in the NOTIFY queue'; END $$`)
	event := update("e1", 1, "email", "ada@example.com")

	results, err := m.Apply(t.Context(), projectID(), []mirror.Event{event})

	require.NoError(t, err)
	require.Equal(t, []mirror.Result{{Outcome: "applied"}}, results)
	execute(t, pool, `
		DROP FUNCTION pg_catalog.pg_notify(text, text);
		ALTER FUNCTION pg_catalog.kept(text, text) RENAME TO pg_notify`)
	_, err = m.Apply(t.Context(), projectID(), []mirror.Event{event})
	require.NoError(t, err)
	require.Equal(t, []string{"1"}, l.hears(t, pool))
}

// TestACommitThatComesLateIsNotMissed holds a writer right before its commit
// while another one comes: the second must not be seen, with its greater id, before the first.
func TestACommitThatComesLateIsNotMissed(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	slow, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer slow.Rollback(context.WithoutCancel(t.Context())) //nolint:errcheck // it was committed, unless the test failed
	_, err = slow.Exec(t.Context(), applySQL, mirror.EventArgs([]mirror.Event{of("slow", update("e1", 1, "email", "a@example.com"))})...)
	require.NoError(t, err)

	quick := make(chan error, 1)
	go func() {
		_, err := pool.Exec(t.Context(), applySQL, mirror.EventArgs([]mirror.Event{of("quick", update("e2", 2, "email", "b@example.com"))})...)
		quick <- err
	}()
	ended := false
	waittest.Until(t, func() bool {
		ended = len(quick) > 0
		return ended || one(t, pool, `SELECT count(*)::text FROM pg_catalog.pg_locks
			WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())`) == "1"
	})
	require.False(t, ended, "the second writer waits")

	const read = `SELECT string_agg(user_id, ' ' ORDER BY id) FROM capydb_auth.user_changes`
	require.Equal(t, "NULL", one(t, pool, read))
	require.NoError(t, slow.Commit(t.Context()))
	require.NoError(t, <-quick)
	require.Equal(t, "slow quick", one(t, pool, read))
}

// TestAFollowerMissesNothing runs the example of docs/feed.md against two writers,
// some of whose transactions are rolled back.
func TestAFollowerMissesNothing(t *testing.T) {
	t.Parallel()
	const writers, rounds = 2, 40
	pool := pgtest.Project(t)
	reader, role := newRole(t, pool)
	_, err := newMirrors(t, pool).Grant(t.Context(), projectID(), mirror.Reader{Role: role, Read: []string{mirror.ReadFeed}})
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(waittest.Context(t))
	defer cancel()
	var seen []string
	followed := make(chan error, 1)
	go func() {
		followed <- follow(ctx, reader, 0, func(id int64, userID, kind string) error {
			seen = append(seen, fmt.Sprintf("%d %s %s", id, userID, kind))
			if userID == "last" {
				cancel()
			}
			return nil
		})
	}()

	var group errgroup.Group
	for writer := range writers {
		group.Go(func() error {
			for round := range rounds {
				tx, err := pool.Begin(t.Context())
				if err != nil {
					return err
				}
				user := "u" + strconv.Itoa(writer)
				e := of(user, update(fmt.Sprintf("e%d-%d", writer, round), 1+round, "email", strconv.Itoa(round)))
				if _, err := tx.Exec(t.Context(), applySQL, mirror.EventArgs([]mirror.Event{e})...); err != nil {
					return err
				}
				if round%4 == 3 {
					err = tx.Rollback(t.Context())
				} else if err = tx.Commit(t.Context()); err == nil {
					_, err = pool.Exec(t.Context(), mirror.NotifyChanges, 1)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
	_, err = newMirrors(t, pool).Apply(t.Context(), projectID(), []mirror.Event{of("last", update("end", 1, "email", "end@example.com"))})
	require.NoError(t, err)

	require.ErrorIs(t, <-followed, context.Canceled)
	rows, err := pool.Query(t.Context(), `SELECT concat_ws(' ', id, user_id, kind) FROM capydb_auth.user_changes ORDER BY id`)
	require.NoError(t, err)
	all, err := collectTexts(rows)
	require.NoError(t, err)
	require.Equal(t, all, seen)
	require.Len(t, seen, writers*rounds*3/4+1)
}
