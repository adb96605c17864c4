package clone_test

import (
	"context"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// second adds another source and a clone of it to a bundle. What it returns shares the processes' connections with the first.
func (b *testBundle) second(t *testing.T) *testBundle {
	t.Helper()
	o := &testBundle{
		control: b.control, source: pgtest.Project(t), clone: pgtest.Project(t), sourceID: uuid.New(), cloneID: uuid.New(),
		databases: b.databases, mirrors: b.mirrors, config: b.config, keys: b.keys,
	}
	b.move(o.sourceID, pgtest.URL(t, o.source))
	b.move(o.cloneID, pgtest.URL(t, o.clone))
	exec(t, b.control, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'club', ''), ($2, 'branch', '')`, o.sourceID, o.cloneID)
	exec(t, b.control, `INSERT INTO authsync.clones (project_id, source_project_id, source_name, mode) VALUES ($1, $2, 'club', 'following')`,
		o.cloneID, o.sourceID)
	return o
}

// lock locks all users of a mirror, as a customer's migration may, until the function that it returns is called.
func lock(t *testing.T, pool *pgxpool.Pool) (unlock func()) {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), pool.Config().ConnConfig.Copy())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	_, err = conn.Exec(t.Context(), `BEGIN; LOCK TABLE capydb_auth.users IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	return func() {
		_, err := conn.Exec(t.Context(), `COMMIT`)
		require.NoError(t, err)
	}
}

// A table that a customer has locked, in a source or in a clone, holds up that clone alone: it says so, others are copied and follow
// meanwhile, and it goes on when the lock is released.
func TestLockedTableHoldsUpOneClone(t *testing.T) {
	t.Parallel()
	for name, side := range map[string]string{"InTheSource": "the source's database", "InTheClone": "the clone's database"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, "following", 2)
			locked := map[string]*pgxpool.Pool{"InTheSource": b.source, "InTheClone": b.clone}[name]
			other := b.second(t)
			b.apply(t, aLittleOfAll()...)
			other.apply(t, aLittleOfAll()...)
			unlock := lock(t, locked)
			b.start(t)
			waittest.Until(t, func() bool {
				return value[bool](t, b.control, `SELECT coalesce(wait_reason ^@ $2, false) FROM authsync.clones WHERE project_id = $1`, b.cloneID,
					side+" cannot be used now: another transaction holds a lock")
			}, "the clone does not say what it waits for")
			require.NoError(t, project.RequestClone(t.Context(), b.control, other.cloneID))
			waittest.Until(t, func() bool {
				return value[bool](t, b.control, `SELECT phase = mode FROM authsync.clones WHERE project_id = $1`, other.cloneID)
			}, "the clone of another project is not copied")
			other.same(t)
			other.apply(t, about(user("u7"), "e40", 40, "email", "u7@example.com"))
			require.NoError(t, delivery.RequestRelay(t.Context(), b.control, other.sourceID))
			waittest.Until(t, func() bool {
				return value[int](t, other.clone, `SELECT count(*) FROM capydb_auth.users WHERE id = 'u7'`) == 1
			}, "the clone of another project does not follow")
			require.False(t, value[bool](t, b.control, `SELECT phase = mode FROM authsync.clones WHERE project_id = $1`, b.cloneID))

			unlock()
			waittest.Until(t, func() bool {
				return value[bool](t, b.control, `SELECT phase = mode AND wait_reason IS NULL FROM authsync.clones WHERE project_id = $1`, b.cloneID)
			}, "the clone does not go on")
			b.same(t)
		})
	}
}
