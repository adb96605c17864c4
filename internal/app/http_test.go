package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/connlimit"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func unbounded(listener net.Listener) *connlimit.Listener {
	return connlimit.Listen(listener, connlimit.Config{Max: 1000, PerAddress: 1000})
}

func TestServeHTTP(t *testing.T) {
	t.Parallel()

	type bundle struct {
		url     string
		stop    stopFunc
		entered chan struct{} // a request has begun
		leave   chan struct{} // lets it end
		failed  chan error
	}
	setup := func(t *testing.T) bundle {
		t.Helper()
		listener, err := Listen(t.Context(), "127.0.0.1:0")
		require.NoError(t, err)
		b := bundle{url: baseURL(listener), entered: make(chan struct{}), leave: make(chan struct{}), failed: make(chan error, 1)}
		b.stop = serveHTTP(unbounded(listener), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b.entered <- struct{}{}
			select {
			case <-b.leave:
				_, _ = io.WriteString(w, "done")
			case <-r.Context().Done():
			}
		}), slog.New(slog.DiscardHandler), b.failed)
		return b
	}
	get := func(ctx context.Context, url string) <-chan string {
		answer := make(chan string, 1)
		go func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				answer <- err.Error()
				return
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				answer <- "error: " + err.Error()
				return
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			answer <- string(body)
		}()
		return answer
	}

	t.Run("RequestsUnderWayFinishWhileNewOnesAreRefused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := get(t.Context(), b.url)
		<-b.entered
		stopped := make(chan error, 1)
		go func() { stopped <- b.stop(context.WithoutCancel(t.Context())) }()
		waittest.Until(t, func() bool {
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.url[len("http://"):])
			if err == nil {
				return conn.Close() != nil
			}
			return true
		})
		select {
		case err := <-stopped:
			require.NoError(t, err)
			require.Fail(t, "stopped before the request under way was answered")
		default:
		}
		close(b.leave)
		require.Equal(t, "done", <-first)
		require.NoError(t, <-stopped)
		require.Empty(t, b.failed)
	})

	t.Run("WhatDoesNotFinishInTimeIsCutOff", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		first := get(t.Context(), b.url)
		<-b.entered
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorContains(t, b.stop(ctx), "cut off")
		require.Contains(t, <-first, "error: ")
	})

	t.Run("AServerThatEndsByItselfIsNoticed", func(t *testing.T) {
		t.Parallel()
		listener, err := Listen(t.Context(), "127.0.0.1:0")
		require.NoError(t, err)
		failed := make(chan error, 1)
		stop := serveHTTP(unbounded(listener), http.NotFoundHandler(), slog.New(slog.DiscardHandler), failed)
		require.NoError(t, listener.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
		require.NoError(t, stop(t.Context()))
	})
}

// TestAmbiguousLengthsEndTheConnection speaks HTTP by hand. Whatever a proxy in front makes
// of such a request, nothing behind it on the connection is read as another one.
func TestAmbiguousLengthsEndTheConnection(t *testing.T) {
	t.Parallel()
	const smuggled = "POST /second HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	const words = `{"a": "content-length: 5\ncontent-length: 5", "transfer-encoding": 1}`
	head := func(lines ...string) string {
		return "POST /first HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, "", ""), "\r\n")
	}
	for name, tc := range map[string]struct {
		first  string
		served bool
	}{
		"OneLength":                 {head("Content-Length: 2") + "{}", true},
		"Chunked":                   {head("Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\n", true},
		"Twice":                     {head("Content-Length: 2", "Content-Length: 2") + "{}", false},
		"TwiceOtherCase":            {head("Content-Length: 2", "CONTENT-LENGTH: 2") + "{}", false},
		"TwiceApart":                {head("Content-Length: 2", "Content-Type: application/json", "content-length:2") + "{}", false},
		"Contradiction":             {head("Content-Length: 2", "Content-Length: 3") + "{} ", false},
		"List":                      {head("Content-Length: 2, 2") + "{}", false},
		"LengthAndChunked":          {head("Content-Length: 12", "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\n", false},
		"ChunkedAndLength":          {head("Transfer-Encoding: chunked", "Content-Length: 2") + "2\r\n{}\r\n0\r\n\r\n", false},
		"ChunkedTwice":              {head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n\r\n", false},
		"UnknownEncoding":           {head("Transfer-Encoding: xchunked", "Content-Length: 2") + "{}", false},
		"Folded":                    {head("Content-Length: 2", " Content-Length: 3") + "{}", false},
		"FoldedValue":               {head("Content-Length:", " 2") + "{}", true},
		"SpaceBeforeColon":          {head("Content-Length : 2") + "{}", false},
		"Negative":                  {head("Content-Length: -2") + "{}", false},
		"Plus":                      {head("Content-Length: +2") + "{}", false},
		"Hexadecimal":               {head("Content-Length: 0x2") + "{}", false},
		"TooLarge":                  {head("Content-Length: 99999999999999999999") + "{}", false},
		"BareLineFeeds":             {strings.ReplaceAll(head("Content-Length: 2", "Content-Length: 2"), "\r\n", "\n") + "{}", false},
		"WordsInTheBody":            {head(fmt.Sprint("Content-Length: ", len(words))) + words, true},
		"AfterAnotherOnTheSameLine": {head("Content-Length: 2") + "{}" + head("Content-Length: 2", "Content-Length: 2") + "{}", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			listener, err := Listen(t.Context(), "127.0.0.1:0")
			require.NoError(t, err)
			second := make(chan struct{}, 1)
			stop := serveHTTP(unbounded(listener), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/second" {
					second <- struct{}{}
				}
				_, _ = io.Copy(io.Discard, r.Body)
				w.WriteHeader(http.StatusNoContent)
			}), slog.New(slog.DiscardHandler), make(chan error, 1))
			defer func() { require.NoError(t, stop(context.WithoutCancel(t.Context()))) }()

			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, tc.first+smuggled)
			require.NoError(t, err)
			if tc.served {
				waittest.Receive(t, second)
				return
			}
			// All that comes until the server closes.
			require.NoError(t, conn.SetReadDeadline(time.Now().Add(waittest.Bound)))
			answers, err := io.ReadAll(conn)
			if err != nil {
				require.ErrorIs(t, err, syscall.ECONNRESET)
			}
			require.Empty(t, second, "%s", answers)
			last := string(answers[strings.LastIndex(string(answers), "HTTP/1.1 "):])
			require.Regexp(t, `^HTTP/1\.1 (400|501) `, last)
			require.Contains(t, last, "Connection: close")
		})
	}
}

func TestListenSaysThatThePortIsTaken(t *testing.T) {
	t.Parallel()
	first, err := Listen(t.Context(), "127.0.0.1:0")
	require.NoError(t, err)
	defer first.Close()
	_, err = Listen(t.Context(), first.Addr().String())
	require.ErrorIs(t, err, ErrPortTaken)
	require.ErrorContains(t, err, first.Addr().String())
	require.ErrorContains(t, err, "AUTHSYNC_LISTEN")
}

func TestReadyzNamesThePartThatIsNotReady(t *testing.T) {
	t.Parallel()
	known := true
	lag := newRecent(func(context.Context) (float64, error) {
		if !known {
			return 0, errors.New("no answer")
		}
		return 7200, nil
	})
	h := &health{log: slog.New(slog.DiscardHandler), lag: lag, parts: []part{
		{"database", func(context.Context) error { return nil }},
		{"directory", func(context.Context) error { return errors.New("is not loaded yet") }},
	}}
	ask := func() (int, string) {
		w := httptest.NewRecorder()
		h.readyz(w, httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody))
		return w.Code, w.Body.String()
	}

	code, body := ask()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"not_ready","parts":{"database":"ok","directory":"is not loaded yet"},"lag_seconds":7200}`, body)

	h.parts = h.parts[:1]
	code, body = ask()
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ready","parts":{"database":"ok"},"lag_seconds":7200}`, body, "a backlog makes nobody unready")

	known = false
	_, body = ask()
	require.JSONEq(t, `{"status":"ready","parts":{"database":"ok"},"lag_seconds":7200}`, body, "it is not looked up for each probe")
	lag.at = lag.at.Add(-recentFor)
	code, body = ask()
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ready","parts":{"database":"ok"},"lag_seconds":null}`, body)

	h.stopping.Store(true)
	code, body = ask()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"not_ready","parts":{"database":"ok","process":"is stopping"},"lag_seconds":null}`, body)
}

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lock, err := lockDir(dir)
	require.NoError(t, err)

	_, err = lockDir(dir)
	require.ErrorIs(t, err, ErrDataDirInUse)
	require.ErrorContains(t, err, dir)
	require.Regexp(t, `\(process \d+\)`, err.Error())

	require.NoError(t, lock.Close())
	again, err := lockDir(dir)
	require.NoError(t, err, "a lock whose owner is gone is free")
	require.NoError(t, again.Close())
}
