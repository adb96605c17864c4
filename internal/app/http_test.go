package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/waittest"
)

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
		b.stop = serveHTTP(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		stop := serveHTTP(listener, http.NotFoundHandler(), slog.New(slog.DiscardHandler), failed)
		require.NoError(t, listener.Close())
		require.ErrorIs(t, <-failed, net.ErrClosed)
		require.NoError(t, stop(t.Context()))
	})
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
	h := &health{log: slog.New(slog.DiscardHandler), parts: []part{
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
	require.JSONEq(t, `{"status":"not_ready","parts":{"database":"ok","directory":"is not loaded yet"}}`, body)

	h.parts = h.parts[:1]
	code, body = ask()
	require.Equal(t, http.StatusOK, code)
	require.JSONEq(t, `{"status":"ready","parts":{"database":"ok"}}`, body)

	h.stopping.Store(true)
	code, body = ask()
	require.Equal(t, http.StatusServiceUnavailable, code)
	require.JSONEq(t, `{"status":"not_ready","parts":{"database":"ok","process":"is stopping"}}`, body)
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
