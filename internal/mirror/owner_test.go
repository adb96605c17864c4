package mirror_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func hasSchema(t *testing.T, pool *pgxpool.Pool) (has bool) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT to_regnamespace('capydb_auth') IS NOT NULL`).Scan(&has))
	return has
}

func TestOneProjectOwnsAMirror(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	url, m := pgtest.URL(t, pool), newMirrors(t, pool)
	first, second := projectID(), uuid.New()
	require.NoError(t, m.Install(t.Context(), url, first, false))
	require.NoError(t, m.Install(t.Context(), url, first, false), "it is repeatable")

	var owned *pgdb.OwnedError
	require.ErrorAs(t, m.Install(t.Context(), url, second, false), &owned)
	require.Equal(t, first, owned.Owner)
	_, err := m.Apply(t.Context(), second, []mirror.Event{update("e1", 1)})
	require.ErrorAs(t, err, &owned, "nor does it write")
	var delay *tenantdb.DelayError
	require.ErrorAs(t, err, &delay, "its events wait")

	require.NoError(t, m.Release(t.Context(), url, second), "it is not the second's to give")
	require.ErrorAs(t, m.Install(t.Context(), url, second, false), &owned)
	require.NoError(t, m.Release(t.Context(), url, first))
	require.NoError(t, m.Install(t.Context(), url, second, false))
	require.ErrorAs(t, m.Install(t.Context(), url, first, false), &owned)
}

// A mirror that is there from before owners were noted is the first's who comes.
func TestAMirrorWithoutAnOwnerIsTakenByWhoWritesFirst(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	m := newMirrors(t, pool)
	_, err := m.Apply(t.Context(), projectID(), []mirror.Event{update("e1", 1)})
	require.NoError(t, err)
	var owned *pgdb.OwnedError
	_, err = m.Apply(t.Context(), uuid.New(), []mirror.Event{update("e2", 2)})
	require.ErrorAs(t, err, &owned)
}

// Whoever wrote there before a mirror was taken over notices, though it has long
// been connected.
func TestAdopt(t *testing.T) {
	t.Parallel()
	pool := pgtest.Project(t)
	url := pgtest.URL(t, pool)
	var later atomic.Int64
	old := mirrorsOf(t, tenantdb.Config{
		URL: func(context.Context, uuid.UUID) (string, error) { return url, nil },
		Now: func() time.Time { return time.Now().Add(time.Duration(later.Load())) },
	}, discard())
	_, err := old.Apply(t.Context(), projectID(), []mirror.Event{update("e1", 1)})
	require.NoError(t, err)

	m, copied := newMirrors(t, pool), uuid.New()
	require.NoError(t, m.Install(t.Context(), url, copied, true))
	require.NoError(t, m.Install(t.Context(), url, copied, true), "it is repeatable")
	_, err = m.Apply(t.Context(), copied, []mirror.Event{update("e2", 2)})
	require.NoError(t, err)

	later.Store(int64(11 * time.Second))
	var owned *pgdb.OwnedError
	_, err = old.Apply(t.Context(), projectID(), []mirror.Event{update("e3", 3)})
	require.ErrorAs(t, err, &owned)
	require.Equal(t, copied, owned.Owner)
}

func TestTheControlDatabaseHoldsNoMirror(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	m := newMirrors(t, pool)
	require.ErrorIs(t, m.Install(t.Context(), pgtest.URL(t, pool), projectID(), true), pgdb.ErrControlDatabase)
	_, err := m.Apply(t.Context(), projectID(), []mirror.Event{update("e1", 1)})
	require.ErrorIs(t, err, pgdb.ErrControlDatabase)
	require.False(t, hasSchema(t, pool), "it is not touched")
	require.NoError(t, m.Release(t.Context(), pgtest.URL(t, pool), projectID()))
}

// Whoever gives the URL of a role that may not look into the schema is told whose it is, and what to run.
func TestASchemaOfAnotherRoleIsNamed(t *testing.T) {
	t.Parallel()
	pool := pgtest.Collated(t, "sv")
	execute(t, pool, `CREATE SCHEMA capydb_auth`)
	conn, role := newRole(t, pool)
	m := newMirrors(t, pool)
	err := m.Install(t.Context(), conn.Config().ConnString(), projectID(), false)
	require.ErrorIs(t, err, schema.ErrMissingRights)
	require.ErrorContains(t, err, "schema capydb_auth is owned by role ")
	require.ErrorContains(t, err, "TO "+pgx.Identifier{role}.Sanitize())
}
