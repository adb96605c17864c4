package receiver_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// held is a receiver whose commits wait until release is called.
type held struct {
	*bundle

	tx pgx.Tx
}

func holdCommits(t *testing.T) held {
	t.Helper()
	b := setup(t, pgtest.Control(t))
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE authsync.inbox IN SHARE ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	return held{b, tx}
}

// awaitCommit returns once a commit waits.
func (h held) awaitCommit(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		var waiting int
		require.NoError(t, h.pool.QueryRow(t.Context(), `
			SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'authsync.inbox'::regclass`).Scan(&waiting))
		return waiting > 0
	})
}

// waiting is how many requests wait for the next commit.
func (h held) waiting(t *testing.T) int {
	t.Helper()
	families, err := h.registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() == "authsync_inbox_waiting_messages" {
			return int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return 0
}

func (h held) release(t *testing.T) {
	t.Helper()
	require.NoError(t, h.tx.Rollback(t.Context()))
}

func TestVerifiedRequestIsStoredThoughItsSenderIsGone(t *testing.T) {
	t.Parallel()
	for name, leave := range map[string]func(t *testing.T, conn *net.TCPConn){
		"Closed": func(t *testing.T, conn *net.TCPConn) {
			t.Helper()
			require.NoError(t, conn.Close())
		},
		"Reset": func(t *testing.T, conn *net.TCPConn) {
			t.Helper()
			require.NoError(t, conn.SetLinger(0))
			require.NoError(t, conn.Close())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := holdCommits(t)
			conn, _ := raw(t, h.bundle, 2).(*net.TCPConn)
			_, err := conn.Write([]byte(`{}`))
			require.NoError(t, err)
			h.awaitCommit(t)
			leave(t, conn)
			// net/http has noticed it when the next read of the connection fails; a second
			// request waits behind the same commit, so that there is time for it.
			second := raw(t, h.bundle, 2)
			_, err = second.Write([]byte(`{}`))
			require.NoError(t, err)
			waittest.Until(t, func() bool { return h.waiting(t) == 1 })
			h.release(t)
			require.Equal(t, http.StatusNoContent, answerOn(t, second).status)
			waittest.Until(t, func() bool { return h.count(t, "auth0", "accepted") == 2 })
			require.Equal(t, 2, h.rows(t))
		})
	}

	t.Run("WhileItWaitsBehindAnotherCommit", func(t *testing.T) {
		t.Parallel()
		h := holdCommits(t)
		first := raw(t, h.bundle, 2)
		_, err := first.Write([]byte(`{}`))
		require.NoError(t, err)
		h.awaitCommit(t)
		request := h.auth0(t, strings.NewReader(`{"second": true}`))
		ctx, giveUp := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			response, err := http.DefaultClient.Do(request.WithContext(ctx))
			if err == nil {
				err = errors.Join(errors.New("answered"), response.Body.Close())
			}
			ended <- err
		}()
		waittest.Until(t, func() bool { return h.waiting(t) == 1 })
		giveUp()
		require.ErrorIs(t, <-ended, context.Canceled)
		h.release(t)
		waittest.Until(t, func() bool { return h.rows(t) == 2 })
	})

	t.Run("WhileTheDirectoryIsAskedAgain", func(t *testing.T) {
		t.Parallel()
		looks := &slowDirectory{asked: make(chan struct{}), goOn: make(chan struct{})}
		b := setup(t, pgtest.Control(t), func(c *receiver.Config) {
			looks.directory, _ = c.Directory.(*directory)
			c.Directory = looks
		})
		// The secret has just been changed, and this process does not know it yet.
		b.directory.fresh = map[string]project.Endpoint{b.project.String() + "auth0": b.directory.known[b.project.String()+"auth0"]}
		b.add(endpoint(t, b.project, "auth0", provider.Credentials{WebhookSigningSecret: provider.Secrets{"the secret of a moment ago, 7d2"}}))
		conn := raw(t, b, 2)
		_, err := conn.Write([]byte(`{}`))
		require.NoError(t, err)
		<-looks.asked
		require.NoError(t, conn.Close())
		close(looks.goOn)
		waittest.Until(t, func() bool { return b.rows(t) == 1 })
	})
}

// slowDirectory is one whose fresh look takes until goOn is closed; it ends early with its context.
type slowDirectory struct {
	*directory

	asked, goOn chan struct{}
}

func (d *slowDirectory) LookupFresh(ctx context.Context, id uuid.UUID, name string) (project.Endpoint, error) {
	close(d.asked)
	select {
	case <-d.goOn:
		return d.directory.LookupFresh(ctx, id, name)
	case <-ctx.Done():
		return project.Endpoint{}, ctx.Err()
	}
}

func TestSenderThatClosesItsSideIsAnswered(t *testing.T) {
	t.Parallel()
	h := holdCommits(t)
	conn, _ := raw(t, h.bundle, 2).(*net.TCPConn)
	_, err := conn.Write([]byte(`{}`))
	require.NoError(t, err)
	require.NoError(t, conn.CloseWrite())
	h.awaitCommit(t)
	h.release(t)
	require.Equal(t, http.StatusNoContent, answerOn(t, conn).status)
	require.Equal(t, 1, h.rows(t))
}

// Whoever is gone cannot hold anything for ever.
func TestStoringForASenderThatIsGoneIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t), func(c *receiver.Config) { c.AppendTimeout = 50 * time.Millisecond })
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE authsync.inbox IN SHARE ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	conn := raw(t, b, 2)
	_, err = conn.Write([]byte(`{}`))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	waittest.Until(t, func() bool { return b.count(t, "auth0", "not_stored") == 1 })
}
