package app_test

import (
	"net/http"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// clone makes a clone of the project shop in an empty database.
func (e *erasures) clone(t *testing.T, name, mode string) *pgxpool.Pool {
	t.Helper()
	pool := pgtest.Empty(t)
	p, err := e.tryClone(t, "shop", name, map[string]any{"database_url": pgtest.URL(t, pool)}, mode)
	require.NoError(t, err)
	require.Equal(t, "copying", p.Clone.State)
	e.copied(t, name, mode)
	return pool
}

func (e *erasures) tryClone(t *testing.T, source, name string, in map[string]any, mode string) (p client.Project, err error) {
	t.Helper()
	in["name"], in["clone_of"] = name, client.CloneOf{Project: source, Mode: mode}
	err = e.api.Do(t.Context(), http.MethodPost, "/projects", in, &p)
	return p, err
}

// copied waits until a clone follows or stands still.
func (e *erasures) copied(t *testing.T, name, state string) (p client.Project) {
	t.Helper()
	waittest.Until(t, func() bool {
		var err error
		p, err = e.api.Project(t.Context(), name)
		require.NoError(t, err)
		return p.Clone != nil && p.Clone.State == state && p.Clone.CaughtUpAt != nil
	}, "%s is not %s", name, state)
	return p
}

// A clone that follows has what a webhook brings to its source, and so does a clone of that; one that stands still does not. Whoever is
// erased is erased from all of them, and the receipt says so.
func TestClones(t *testing.T) {
	t.Parallel()
	in := install(t)
	e := in.serve(t)
	e.live(t)
	following, still := e.clone(t, "preview", "following"), e.clone(t, "frozen", "still")
	further := pgtest.Empty(t)
	_, err := e.tryClone(t, "preview", "further", map[string]any{"database_url": pgtest.URL(t, further)}, "following")
	require.NoError(t, err)
	e.copied(t, "further", "following")

	e.event(t, "user.updated", otherID, map[string]any{"email": "moved@example.org"})
	const moved = `SELECT count(*) FROM capydb_auth.users WHERE email = 'moved@example.org'`
	for _, pool := range []*pgxpool.Pool{following, further} {
		waittest.Until(t, func() bool { return e.count(t, pool, moved) == 1 }, "the change does not arrive")
	}
	require.Zero(t, e.count(t, still, moved))

	begun, err := e.api.EraseUser(t.Context(), "shop", hisID)
	require.NoError(t, err)
	receipt := e.erased(t, begun.ID)
	in.requireNoTrace(t)
	require.Len(t, receipt.Clones, 2)
	for _, c := range receipt.Clones {
		require.Equal(t, "done", c.State)
		one, err := e.api.Erasure(t.Context(), c.Project, c.ErasureID)
		require.NoError(t, err)
		require.Equal(t, receipt.Digest, one.Digest, "the tombstones of the source count in the clone")
		require.Equal(t, "erasure "+begun.ID, one.RequestedBy)
	}
	for name, pool := range map[string]*pgxpool.Pool{"following": following, "still": still, "of a clone": further} {
		all := dump(t, pool)
		for _, text := range traces() {
			require.Empty(t, lines(all, text), "%s: %s", name, text)
		}
		require.Equal(t, 1, e.count(t, pool, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, otherID))
	}
	e.event(t, "user.updated", hisID, map[string]any{"email": hisEmail})
	e.settled(t)
	require.NoError(t, e.api.Do(t.Context(), http.MethodPut, "/projects/preview/clone", client.CloneOrder{Mode: "following"}, nil))
	e.copied(t, "preview", "following")
	require.Empty(t, lines(dump(t, following), hisEmail))
}

// What a clone must not be made of, and what must not be done to one.
func TestCloneRefusals(t *testing.T) {
	t.Parallel()
	in := install(t)
	e := in.serve(t)
	e.live(t)
	e.clone(t, "preview", "following")
	refused := func(err error, status int, text string) {
		t.Helper()
		require.Equal(t, status, client.Status(err), "%v", err)
		require.ErrorContains(t, err, text)
	}
	at := func(pool *pgxpool.Pool) map[string]any { return map[string]any{"database_url": pgtest.URL(t, pool)} }
	adopting := func(pool *pgxpool.Pool) map[string]any {
		return map[string]any{"database_url": pgtest.URL(t, pool), "adopt": true}
	}
	try := func(source string, in map[string]any) error {
		_, err := e.tryClone(t, source, "next", in, "following")
		return err
	}
	refused(try("shop", at(in.mirror)), 422, "this is the database of the project that is to be cloned")
	refused(try("shop", adopting(in.mirror)), 422, "this is the database of the project that is to be cloned")
	refused(try("shop", at(in.controlDB)), 422, "authsync's own database")
	refused(try("nothing", at(pgtest.Empty(t))), 422, `there is no project "nothing"`)
	refused(try("", at(pgtest.Empty(t))), 422, "clone_of.project")
	_, err := e.tryClone(t, "shop", "next", at(pgtest.Empty(t)), "sideways")
	refused(err, 422, "following or still")

	// A mirror with records, that is nobody's.
	other := pgtest.Project(t)
	_, err = other.Exec(t.Context(), `INSERT INTO capydb_auth.users (id, last_event_processed) VALUES ('somebody', now())`)
	require.NoError(t, err)
	refused(try("shop", at(other)), 422, "there is a mirror with records already")
	require.Equal(t, 0, e.count(t, other, `SELECT count(*) FROM capydb_auth.owner`), "it was left alone")

	// A copy of the source's database, as a branch of it is: what the source does not have goes.
	branch := pgtest.Open(t, pgtest.CopyURL(t, pgtest.Copy(t, in.mirror)))
	refused(try("shop", at(branch)), 422, "a copy of the database of the project that is to be cloned")
	_, err = branch.Exec(t.Context(), `INSERT INTO capydb_auth.users (id, last_event_processed) VALUES ('somebody', now())`)
	require.NoError(t, err)
	require.NoError(t, try("shop", adopting(branch)))
	e.copied(t, "next", "following")
	require.Zero(t, e.count(t, branch, `SELECT count(*) FROM capydb_auth.users WHERE id = 'somebody'`))
	const changes = `SELECT count(*) FROM capydb_auth.changes`
	require.Equal(t, e.count(t, in.mirror, changes), e.count(t, branch, changes))

	// An integration of its own, while its records come from the source; and the source must stay.
	put := func() error {
		return e.api.Do(t.Context(), http.MethodPut, "/projects/preview/integrations/clerk",
			map[string]any{"credentials": map[string]any{"webhook_signing_secret": signingSecret}}, nil)
	}
	remove := func() error { return e.api.Do(t.Context(), http.MethodDelete, "/projects/shop", nil, nil) }
	set := func(project string, order client.CloneOrder) error {
		return e.api.Do(t.Context(), http.MethodPut, "/projects/"+project+"/clone", order, nil)
	}
	refused(put(), 409, "the project is a clone of shop")
	refused(remove(), 409, "clones of this project still read its mirror: next, preview")
	no := false
	refused(set("preview", client.CloneOrder{Mode: "following", Copy: &no}), 422, "copy is false")
	refused(set("shop", client.CloneOrder{Mode: "still"}), 409, "no clone")
	require.NoError(t, set("next", client.CloneOrder{Mode: "still", Copy: &no}))
	require.NoError(t, set("preview", client.CloneOrder{Mode: "still"}))
	e.copied(t, "preview", "still")
	require.NoError(t, put())
	refused(set("preview", client.CloneOrder{Mode: "following"}), 409, "integration of its own")
	require.NoError(t, remove())
	p, err := e.api.Project(t.Context(), "next")
	require.NoError(t, err)
	require.Nil(t, p.Clone.SourceID)
	require.Equal(t, "shop", p.Clone.SourceName)
	refused(set("next", client.CloneOrder{Mode: "following"}), 409, "was detached")
}

// A server that is killed while it copies leaves a clone with which the next one goes on.
func TestServerDiesWhileItCopies(t *testing.T) {
	t.Parallel()
	in := install(t)
	e := in.serve(t)
	_, err := in.mirror.Exec(t.Context(), `
		INSERT INTO capydb_auth.users (id, provider, last_event_processed, last_event_id, last_event_sent_at, last_event_fields, raw)
		SELECT 'u' || n, 'clerk', now(), 'e' || n, now(), 1, jsonb_build_object('id', 'u' || n, 'x', repeat('x', 300))
		FROM generate_series(1, 20000) AS n`)
	require.NoError(t, err)
	target := pgtest.Empty(t)
	_, err = e.tryClone(t, "shop", "preview", map[string]any{"database_url": pgtest.URL(t, target)}, "following")
	require.NoError(t, err)
	const copied = `SELECT count(*) FROM capydb_auth.users`
	waittest.Until(t, func() bool { return e.count(t, target, copied) > 1000 }, "nothing is copied")
	e.kill(t)
	after := e.count(t, target, copied)
	e = in.serve(t)
	p := e.copied(t, "preview", "following")
	require.Equal(t, 20_000, e.count(t, target, copied))
	require.GreaterOrEqual(t, after, 1000)
	require.EqualValues(t, 20_000, p.Clone.RowsCopied, "it did not begin anew")
}
