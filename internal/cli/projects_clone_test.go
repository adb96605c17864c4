package cli

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// Ctrl-C ends the watching: the server goes on, the command says how to look again, and the same command watches again.
func TestCloneThatIsNotWatchedGoesOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.env["PREVIEW_DATABASE_URL"] = pgtest.URL(t, pgtest.Project(t))
	lock, err := b.project.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), `LOCK TABLE capydb_auth.users IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)

	command := []string{"projects", "clone", "shop", "preview", "--database-url-env", "PREVIEW_DATABASE_URL"}
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- run(ctx, b.env, "", command...) }()
	waittest.Until(t, func() bool {
		var waits bool
		require.NoError(t, b.control.QueryRow(t.Context(), `SELECT coalesce(bool_or(wait_reason IS NOT NULL), false) FROM authsync.clones`).Scan(&waits))
		return waits
	}, "the clone does not wait")
	got := b.must(t, "projects", "get", "preview")
	require.Contains(t, got, "waits: the source's database")
	require.Contains(t, got, "No integrations: the records come from project shop.\n")
	interrupt()
	r := waittest.Receive(t, ended)
	require.Equal(t, 1, r.status)
	require.Empty(t, r.out)
	require.Contains(t, r.err, "\nThe server goes on copying. To look again: authsync projects get preview\nTo end it: authsync projects detach preview\n")

	require.NoError(t, lock.Rollback(t.Context()))
	r = b.run(t, command...)
	require.Zero(t, r.status, r.err)
	require.Contains(t, r.err, "Project preview is a clone of shop already: this command shows that one.\n")
	require.Contains(t, r.out, "Project preview follows shop; it had all that shop had at ")
	r = b.run(t, append(command, "--still")...)
	require.Equal(t, 1, r.status, "a clone that follows was to stand still")
	require.Contains(t, r.err, "authsync: nothing was changed: project preview follows shop: authsync projects resync preview --still changes that\n")
}

func TestCloneThatIsNotAnsweredYet(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then the server notices that the client is gone
		close(asked)
		<-r.Context().Done()
	}))
	t.Cleanup(server.Close)
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	env := map[string]string{"AUTHSYNC_URL": server.URL, "AUTHSYNC_API_KEY": "capy_test_x"}
	go func() { ended <- run(ctx, env, "", "projects", "clone", "shop", "preview") }()
	waittest.Receive(t, asked)
	interrupt()
	r := waittest.Receive(t, ended)
	require.Equal(t, 1, r.status)
	require.Equal(t, "\nThe server has not answered yet. If it makes the clone nevertheless, the same command shows how far it is.\n", r.err)
}
