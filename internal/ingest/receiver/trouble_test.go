package receiver_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/localpg"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func limit(n int64) func(*receiver.Config) { return func(c *receiver.Config) { c.MaxBody = n } }

func TestBodyIsTakenUpToTheLimit(t *testing.T) {
	t.Parallel()
	exact := `{"x":"` + strings.Repeat("x", 92) + `"}` // 100 bytes
	for name, tc := range map[string]struct {
		body    string
		chunked bool
		want    int
	}{
		"Exactly":        {exact, false, http.StatusNoContent},
		"ExactlyChunked": {exact, true, http.StatusNoContent},
		"OneMore":        {exact + " ", false, http.StatusRequestEntityTooLarge},
		"OneMoreChunked": {exact + " ", true, http.StatusRequestEntityTooLarge},
		"MuchMore":       {exact + strings.Repeat(" ", 1<<20), true, http.StatusRequestEntityTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, pgtest.Control(t), limit(100))
			var body io.Reader = strings.NewReader(tc.body)
			if tc.chunked {
				body = io.MultiReader(body) // of unknown length
			}
			got := send(t, b.auth0(t, body))
			require.Equal(t, tc.want, got.status)
			if tc.want != http.StatusNoContent {
				require.Contains(t, got.detail, "100 bytes")
				require.Zero(t, b.rows(t))
			}
		})
	}

	t.Run("LargeBodiesComeWhole", func(t *testing.T) {
		t.Parallel()
		b := setup(t, pgtest.Control(t))
		body := `["` + strings.Repeat("y", 700_000) + `"]`
		require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(body))).status)
		require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, io.MultiReader(strings.NewReader(body)))).status)
		var whole int
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.inbox WHERE body = convert_to($1, 'UTF8')`, body).Scan(&whole))
		require.Equal(t, 2, whole)
	})
}

// A body of more events than are taken is refused whole, while its sender still listens.
func TestABodyOfTooManyEventsIsNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	list := func(n int) io.Reader { return strings.NewReader("[" + strings.Repeat("{},", n-1) + "{}]") }
	got := send(t, b.auth0(t, list(10_001)))
	require.Equal(t, http.StatusRequestEntityTooLarge, got.status)
	require.Contains(t, got.detail, "10001, where at most 10000 are taken. None was taken: send fewer in a request.")
	require.Zero(t, b.rows(t))
	require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, list(10_000))).status)
	require.Equal(t, 1, b.rows(t))
}

// raw opens a connection and writes the head of a request that announces n bytes.
func raw(t *testing.T, b *bundle, n int, headers ...string) net.Conn {
	t.Helper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), "tcp", strings.TrimPrefix(b.url, "http://"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n%s\r\n",
		strings.TrimPrefix(b.path("auth0"), b.url), token, n, strings.Join(append(headers, ""), "\r\n"))
	require.NoError(t, err)
	return conn
}

// answerOn reads an answer without its body.
func answerOn(t *testing.T, conn net.Conn) reply {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(waittest.Bound)))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	defer response.Body.Close()
	return reply{status: response.StatusCode, header: response.Header, closes: response.Close}
}

func TestAnnouncedSizeBeyondTheLimitIsRefusedUnread(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t), limit(100))
	response := answerOn(t, raw(t, b, 101)) // none of the body is sent
	require.Equal(t, http.StatusRequestEntityTooLarge, response.status)
	require.True(t, response.closes)
}

func TestSlowSenderIsCutOffAndMayRepeat(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t), func(c *receiver.Config) { c.ReadTimeout = time.Second })
	conn := raw(t, b, 1_000_000)
	ctx, cancel := context.WithCancel(t.Context())
	var drip sync.WaitGroup
	drip.Go(func() { // a byte now and then keeps nothing alive
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				_, _ = conn.Write([]byte(" "))
			case <-ctx.Done():
				return
			}
		}
	})
	response := answerOn(t, conn)
	cancel()
	drip.Wait()
	requireRetryAfter(t, response)
	require.True(t, response.closes)
	require.InDelta(t, 1, b.count(t, "auth0", "body_too_slow"), 0)
	require.Zero(t, b.rows(t))
}

func TestReadTimeoutDoesNotStrikeWhileTheCommitIsAwaited(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t), func(c *receiver.Config) { c.ReadTimeout = time.Second })
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE authsync.inbox IN SHARE ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	conn := raw(t, b, 2)
	_, err = conn.Write([]byte(`{}`))
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `SELECT pg_sleep(1.5)`)
	require.NoError(t, err)
	require.NoError(t, tx.Rollback(t.Context()))
	require.Equal(t, http.StatusNoContent, answerOn(t, conn).status)
	_, err = conn.Write([]byte("POST " + strings.TrimPrefix(b.path("auth0"), b.url) + " HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 2\r\n\r\n{}"))
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, answerOn(t, conn).status, "a second request on the connection")
}

func TestBrokenUploadIsNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	conn := raw(t, b, 100)
	_, err := conn.Write([]byte(`{}`))
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	waittest.Until(t, func() bool { return b.count(t, "auth0", "body_cut_off") == 1 })
	require.Zero(t, b.rows(t))
}

func TestCompressedBodyIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	got := send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") }))
	require.Equal(t, http.StatusUnsupportedMediaType, got.status)
	got = send(t, b.auth0(t, strings.NewReader(`{}`), func(r *http.Request) { r.Header.Set("Content-Encoding", "Identity") }))
	require.Equal(t, http.StatusNoContent, got.status)
}

type refusing struct{ err error }

func (r refusing) Append(context.Context, inbox.Message) (int64, error) { return 0, r.err }

func TestInboxThatCannotTakeItIsATemporaryTrouble(t *testing.T) {
	t.Parallel()
	for result, err := range map[string]error{"inbox_full": inbox.ErrFull, "not_stored": io.ErrUnexpectedEOF} {
		t.Run(result, func(t *testing.T) {
			t.Parallel()
			b := setup(t, pgtest.Control(t), func(c *receiver.Config) { c.Inbox = refusing{err} })
			requireRetryAfter(t, send(t, b.auth0(t, strings.NewReader(`{}`))))
			requireRetryAfter(t, send(t, b.auth0(t, strings.NewReader(`no JSON`))))
			require.InDelta(t, 2, b.count(t, "auth0", result), 0)
		})
	}
}

func TestHangingDatabaseIsAnsweredInTime(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t), func(c *receiver.Config) { c.AppendTimeout = 200 * time.Millisecond })
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = tx.Exec(t.Context(), `LOCK TABLE authsync.inbox IN ACCESS EXCLUSIVE MODE`)
	require.NoError(t, err)
	requireRetryAfter(t, send(t, b.auth0(t, strings.NewReader(`{}`))))
}

func TestStoppedPostgreSQLIsATemporaryTroubleAndLosesNothing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	server, err := localpg.Start(ctx, localpg.Config{Throwaway: true, NoDownload: true})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop(context.Background()) })
	_, err = schema.Up(ctx, server.URL("postgres"), schema.Control, schema.Options{})
	require.NoError(t, err)
	pool, err := pgdb.Open(ctx, server.URL("postgres"), pgdb.Options{MaxConns: 4})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	b := setup(t, pool)

	var accepted int
	post := func() reply {
		got := send(t, b.auth0(t, strings.NewReader(`{}`)))
		if got.status == http.StatusNoContent {
			accepted++
		}
		return got
	}
	require.Equal(t, http.StatusNoContent, post().status)
	server.Kill()
	requireRetryAfter(t, post())
	requireRetryAfter(t, post())
	require.NoError(t, server.Restart(ctx))
	waittest.Until(t, func() bool { return post().status == http.StatusNoContent })
	require.Equal(t, accepted, b.rows(t))
}

func TestConcurrentRequestsShareCommits(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	const requests = 640
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	defer client.CloseIdleConnections()
	var wait sync.WaitGroup
	for range 64 {
		wait.Go(func() {
			for range requests / 64 {
				response, err := client.Do(b.auth0(t, strings.NewReader(`{}`)))
				if err != nil {
					t.Errorf("post: %v", err)
					return
				}
				_ = response.Body.Close()
				if response.StatusCode != http.StatusNoContent {
					t.Errorf("status %d", response.StatusCode)
				}
			}
		})
	}
	wait.Wait()
	require.Equal(t, requests, b.rows(t))
	var commits, waiting, jobs int
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT count(DISTINCT xmin::text), (SELECT count(*) FROM authsync.inbox_pending), (SELECT count(*) FROM authsync.river_job)
		FROM authsync.inbox`).Scan(&commits, &waiting, &jobs))
	require.Less(t, commits, requests/4)
	require.Equal(t, commits, waiting, "one project: one row a commit")
	require.Equal(t, 1, jobs, "and one job")
}
