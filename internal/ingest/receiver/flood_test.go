package receiver_test

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/receiver"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// TestFloodOfBodiesRefusesNobodyElse: whoever knows a project's URL, and no secret, holds
// as much memory as there is to be had.
func TestFloodOfBodiesRefusesNobodyElse(t *testing.T) {
	t.Parallel()
	const large = 120_000
	flood := func(t *testing.T, b *bundle, n int) {
		t.Helper()
		var slow []net.Conn
		for range n {
			conn := raw(t, b, large)
			_, err := conn.Write(make([]byte, large-1))
			require.NoError(t, err)
			slow = append(slow, conn)
		}
		t.Cleanup(func() {
			for _, conn := range slow {
				_ = conn.Close()
			}
		})
		// Those that are not refused yet hold all they can get.
		waittest.Until(t, func() bool { return b.count(t, "auth0", "memory_full") > 0 })
	}
	bounded := func(c *receiver.Config) {
		c.MaxBody, c.MaxBuffered, c.ReadTimeout = 128<<10, 2<<20, waittest.Bound
		c.WaitTimeout = 1 // nanosecond: nobody waits, so that who is refused is known
	}

	t.Run("OfAnotherProject", func(t *testing.T) {
		t.Parallel()
		b := setup(t, pgtest.Control(t), bounded)
		other := uuid.New()
		b.add(endpoint(t, other, "auth0", provider.Credentials{WebhookSigningSecret: provider.Secrets{token}}))
		flood(t, b, 40)
		for range 100 {
			for _, body := range []string{`{}`, `"` + strings.Repeat("x", large) + `"`} {
				got := send(t, b.auth0(t, strings.NewReader(body), func(r *http.Request) {
					r.URL.Path = strings.Replace(r.URL.Path, b.project.String(), other.String(), 1)
				}))
				require.NotEqual(t, http.StatusServiceUnavailable, got.status, got.detail)
			}
		}
	})

	t.Run("NorASmallBodyOfTheSame", func(t *testing.T) {
		t.Parallel()
		b := setup(t, pgtest.Control(t), bounded)
		flood(t, b, 40)
		for range 100 {
			require.Equal(t, http.StatusNoContent, send(t, b.auth0(t, strings.NewReader(`{}`))).status)
		}
		requireRetryAfter(t, send(t, b.auth0(t, strings.NewReader(strings.Repeat(" ", large)))))
	})

	t.Run("AndLeavesNothingBehind", func(t *testing.T) {
		t.Parallel()
		b := setup(t, pgtest.Control(t), bounded)
		conn := raw(t, b, large)
		require.NoError(t, conn.Close())
		chunked := func() int { // of a size that is known only in the end
			return send(t, b.auth0(t, strings.NewReader(`"`+strings.Repeat("x", large)+`"`), func(r *http.Request) { r.ContentLength = -1 })).status
		}
		for range 50 {
			require.Equal(t, http.StatusBadRequest, chunked(), "it is stored, though it is no event")
		}
	})
}

// A sender who waits for memory is held back, not refused.
func TestRequestWaitsForMemory(t *testing.T) {
	t.Parallel()
	const large = 120_000
	b := setup(t, pgtest.Control(t), func(c *receiver.Config) {
		c.MaxBody, c.MaxBuffered, c.ReadTimeout = 128<<10, 1, waittest.Bound // room for one
		c.WaitTimeout = waittest.Bound
	})
	first := raw(t, b, large)
	_, err := first.Write([]byte(`"`))
	require.NoError(t, err)
	second := make(chan int, 1)
	request := b.auth0(t, strings.NewReader(`"`+strings.Repeat("x", large-2)+`"`))
	go func() {
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			second <- 0
			return
		}
		_ = response.Body.Close()
		second <- response.StatusCode
	}()
	_, err = first.Write([]byte(strings.Repeat("x", large-2) + `"`))
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, answerOn(t, first).status)
	require.Equal(t, http.StatusBadRequest, waittest.Receive(t, second))
	require.Equal(t, 2, b.rows(t))
}
