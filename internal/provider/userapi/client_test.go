package userapi_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// setup makes a client of a server that answers with the handler.
func setup(t *testing.T, d userapi.Deps, h http.HandlerFunc) (client *userapi.Client, address string) {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return userapi.NewClient("the server", d, userapi.Rate{}, "hush"), server.URL
}

func TestNoAttemptBeginsAfterTenSeconds(t *testing.T) {
	t.Parallel()
	clock, requests := userapitest.NewClock(), 0
	client, address := setup(t, clock.Deps(), func(w http.ResponseWriter, _ *http.Request) {
		requests++
		clock.Advance(6 * time.Second)
		w.WriteHeader(http.StatusBadGateway)
	})
	_, err := client.Do(t.Context(), userapi.Request{What: "ask", URL: address})
	require.EqualError(t, err, "ask of the server: the server answered 502 Bad Gateway (attempts: 2)")
	require.Equal(t, 2, requests)
}

func TestLongAnswersAreRefused(t *testing.T) {
	t.Parallel()
	client, address := setup(t, userapitest.NewClock().Deps(), func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 2<<20+1)) //nolint:errcheck // the client leaves early
	})
	_, err := client.Do(t.Context(), userapi.Request{What: "ask", URL: address, MaxBody: 2 << 20})
	require.True(t, fault.Is(err, fault.ProviderError), err)
	require.ErrorContains(t, err, "longer than 2 MiB")
}

func TestPauseBeyondTheDeadlineIsLeftToTheCaller(t *testing.T) {
	t.Parallel()
	clock := userapitest.NewClock()
	client, address := setup(t, clock.Deps(), func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "240")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
	defer cancel()
	_, err := client.Do(ctx, userapi.Request{What: "ask", URL: address})
	var limited *userapi.RateLimitError
	require.ErrorAs(t, err, &limited)
	require.InDelta(t, 240, limited.After.Seconds(), 1)
	require.Zero(t, clock.Slept())
}

func TestRefusedAddressesAreNotTriedAgain(t *testing.T) {
	t.Parallel()
	client, address := setup(t, userapi.Deps{}, func(http.ResponseWriter, *http.Request) {})
	for refused, says := range map[string]string{
		"file:///etc/passwd": "the address is no https:// address",
		"://s1gned":          "the address is no https:// address",
		"http://app.example.com/x?Signature=s1gned": "http://app.example.com is not encrypted",
		"https://10.0.0.5/x?Signature=s1gned":       "https://10.0.0.5 is a private address",
		address + "/x?Signature=s1gned":             address + " is a loopback address",
	} {
		_, err := client.Open(t.Context(), userapi.Request{What: "download", URL: refused})
		require.True(t, fault.Is(err, fault.ProviderError), err)
		require.ErrorContains(t, err, "download of the server: "+says)
		require.NotContains(t, err.Error(), "s1gned")
	}
}

func TestSlowReaderKeepsItsDownload(t *testing.T) {
	t.Parallel()
	deps := userapitest.NewClock().Deps()
	deps.Timeout = time.Second // of the server, not of the reader
	read := make(chan struct{})
	client, address := setup(t, deps, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "first") //nolint:errcheck // the reader tells
		http.NewResponseController(w).Flush()
		<-read                                        // the reader has the first part
		io.WriteString(w, "second, after some pause") //nolint:errcheck // the same
	})
	stream, err := client.Open(t.Context(), userapi.Request{What: "download", URL: address})
	require.NoError(t, err)
	defer stream.Close()
	part := make([]byte, 5)
	_, err = io.ReadFull(stream, part)
	require.NoError(t, err)
	close(read)
	<-time.After(2 * deps.Timeout)
	rest, err := io.ReadAll(stream)
	require.NoError(t, err)
	require.Equal(t, "second, after some pause", string(rest))
}

func TestBoundContextEndsTheDownload(t *testing.T) {
	t.Parallel()
	client, address := setup(t, userapitest.NewClock().Deps(), func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	stream, err := client.Open(t.Context(), userapi.Request{What: "download", URL: address})
	require.NoError(t, err)
	defer stream.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer stream.Bind(ctx)()
	cancel(errors.New("the worker stops"))
	_, err = io.ReadAll(stream)
	require.ErrorContains(t, err, "the worker stops")
}
