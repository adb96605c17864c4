package clone_test

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/clone"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// start has the jobs of clones worked.
func (b *testBundle) start(t *testing.T) {
	t.Helper()
	b.config.Pause = func(time.Duration) time.Duration { return 10 * time.Millisecond }
	client, err := jobs.New(jobs.Config{Pool: b.control, Log: slog.New(slog.DiscardHandler), Workers: []jobs.Register{clone.Register(b.config)}})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	t.Cleanup(func() { require.NoError(t, client.StopAndCancel(context.Background())) })
	require.NoError(t, project.RequestClone(t.Context(), b.control, b.cloneID))
}

func (b *testBundle) waits(t *testing.T, reason string) {
	t.Helper()
	waittest.Until(t, func() bool {
		return value[bool](t, b.control, `SELECT coalesce(wait_reason ^@ $1, false) FROM authsync.clones`, reason)
	}, "it does not wait for %s", reason)
}

func (b *testBundle) caughtUp(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		return value[bool](t, b.control, `SELECT phase = mode AND wait_reason IS NULL FROM authsync.clones`)
	}, "it does not catch up")
}

// Whichever database is away: the clone says which, and goes on when it is there again. The commits of the source request the job.
func TestDatabasesThatAreAway(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 2)
	b.apply(t, aLittleOfAll()...)
	source, target := b.urls[b.sourceID], b.urls[b.cloneID]
	const nowhere = "postgres://nobody@127.0.0.1:1/nothing"
	b.move(b.sourceID, nowhere)
	b.start(t)
	b.waits(t, "the source's database cannot be used now")
	b.move(b.cloneID, nowhere)
	b.move(b.sourceID, source)
	b.waits(t, "the clone's database cannot be used now")
	b.move(b.cloneID, target)
	b.caughtUp(t)
	b.same(t)

	b.apply(t, about(user("u7"), "e40", 40, "email", "u7@example.com"))
	require.NoError(t, delivery.RequestRelay(t.Context(), b.control, b.sourceID))
	waittest.Until(t, func() bool {
		return value[int](t, b.clone, `SELECT count(*) FROM capydb_auth.users WHERE id = 'u7'`) == 1
	}, "what the source committed does not arrive")
}

// A clone that was moved to an empty database is copied there; one whose database went back in time is, too, from where it was.
func TestCloneThatMoves(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 2)
	b.apply(t, aLittleOfAll()...)
	b.settle(t)
	copied := pgtest.Copy(t, b.clone)
	b.apply(t, about(user("u1"), "e40", 40, "email", "new@example.com"))
	b.settle(t)
	b.sameValues(t)

	b.clone = pgtest.Open(t, pgtest.CopyURL(t, copied))
	b.move(b.cloneID, pgtest.CopyURL(t, copied))
	b.settle(t)
	b.sameValues(t)

	b.clone = pgtest.Project(t)
	b.move(b.cloneID, pgtest.URL(t, b.clone))
	b.settle(t)
	b.same(t)
}

// Of a source whose mirror was recreated, the ids of changes mean nothing: the clone is copied once more, and its feed goes on.
func TestSourceMadeAnew(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 2)
	b.apply(t, aLittleOfAll()...)
	b.settle(t)
	before := len(content(t, b.clone, "changes", false))
	b.source = pgtest.Project(t)
	exec(t, b.source, `UPDATE capydb_auth.mirror_progress SET epoch = gen_random_uuid()`) // that of a template otherwise
	b.move(b.sourceID, pgtest.URL(t, b.source))
	b.apply(t, about(user("u1"), "e1", 1, "email", "ada@example.com"))
	b.settle(t)
	require.Equal(t, content(t, b.source, "users", false), content(t, b.clone, "users", false))
	require.Empty(t, content(t, b.clone, "memberships", false), "what the source does not have is removed")
	b.apply(t, about(user("u1"), "e2", 2, "email", "new@example.com"))
	b.settle(t)
	require.Len(t, content(t, b.clone, "changes", false), before+1)
}

// Nothing that was read before somebody was erased from the clone is written to it after that; and without the key of the tombstones,
// nothing at all.
func TestErasedWhileItIsCopied(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 100)
	key := []byte("01234567890123456789012345678901")
	b.apply(t, aLittleOfAll()...)
	_, _, err := clone.Step(t.Context(), b.config, b.cloneID)
	require.NoError(t, err)
	_, err = b.mirrors.BeginErasure(t.Context(), mirror.Erasure{ProjectID: b.cloneID, Key: key, UserID: "u1", EventID: "erasure:1"}, time.Now())
	require.NoError(t, err)
	for range 100 {
		if _, _, err = clone.Step(t.Context(), b.config, b.cloneID); err != nil {
			break
		}
	}
	require.ErrorContains(t, err, "US005")
	b.keys[b.cloneID] = key
	b.settle(t)
	const of = `SELECT count(*) FROM capydb_auth.%s AS t WHERE t::text LIKE '%%u1%%'`
	for _, table := range []string{"users", "memberships", "sessions", "processed_events"} {
		require.NotZero(t, value[int](t, b.source, fmt.Sprintf(of, table)), table)
		if table != "processed_events" { // a session's entry does not name the user
			require.Zero(t, value[int](t, b.clone, fmt.Sprintf(of, table)), table)
		}
	}
	require.Equal(t, 1, value[int](t, b.clone, fmt.Sprintf(of, "changes")), "the erasure itself")
	require.Equal(t, 1, value[int](t, b.clone, `SELECT count(*) FROM capydb_auth.users WHERE id = 'u2'`))
}

// Rows that the application of the clone's database refers to stay, though the source does not know them.
func TestPlaceholdersOfTheCloneStay(t *testing.T) {
	t.Parallel()
	b := setup(t, "following", 100)
	b.apply(t, aLittleOfAll()...)
	b.settle(t)
	exec(t, b.clone, `SELECT capydb_auth.ensure_user('mine')`)
	exec(t, b.clone, `INSERT INTO capydb_auth.users (id, last_event_processed) VALUES ('not-there', now())`)
	b.resync(t, "following")
	require.Equal(t, 1, value[int](t, b.clone, `SELECT count(*) FROM capydb_auth.users WHERE id = 'mine'`))
	require.Zero(t, value[int](t, b.clone, `SELECT count(*) FROM capydb_auth.users WHERE id = 'not-there'`))
}

// A project without clones costs its commits no job, and one whose clones stand still neither.
func TestOnlyFollowersAreRequested(t *testing.T) {
	t.Parallel()
	b := setup(t, "still", 100)
	b.settle(t)
	for _, id := range []uuid.UUID{b.sourceID, b.cloneID} {
		require.NoError(t, delivery.RequestRelay(t.Context(), b.control, id))
	}
	require.Zero(t, value[int](t, b.control, `SELECT count(*) FROM authsync.river_job`))
}
