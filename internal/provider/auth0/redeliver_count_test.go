package auth0_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func TestCountingIsBounded(t *testing.T) {
	t.Parallel()
	t.Run("Pages", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t, demoprovider.Auth0Stream{ID: streamB, Endpoint: receiver})
		fail(server, streamA, 10_001)
		fail(server, streamB, 3)
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Equal(t, 100, server.Requests("/deliveries"))
		require.Equal(t, 10_000, got.Streams[0].Failed)
		require.False(t, got.Streams[0].Complete)
		require.Equal(t, 10_001, server.Streams.With(streamA, "pending"), "all are asked for")
		require.Zero(t, got.Streams[1].Failed)
		require.False(t, got.Streams[1].Complete)
		require.True(t, got.Streams[1].Requested, "what was not counted is asked for")
	})
	t.Run("Time", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		fail(server, streamA, 1000)
		server.Begun = func(r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/deliveries") {
				c.Clock.Advance(11 * time.Second)
			}
		}
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Equal(t, 300, got.Streams[0].Failed)
		require.False(t, got.Streams[0].Complete)
		require.Equal(t, 1000, server.Streams.With(streamA, "pending"))
	})
	t.Run("RateLimit", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		fail(server, streamA, 150)
		server.Begun = func(r *http.Request) {
			if r.URL.Query().Get("from") == "" && strings.HasSuffix(r.URL.Path, "/deliveries") {
				server.Fail(demoprovider.Fault{Path: "/deliveries", Status: 429, Header: http.Header{"Retry-After": {"50"}}})
			}
		}
		got, err := redeliver(t, c, userapi.RedeliverRequest{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, 100, got.Streams[0].Failed)
		require.False(t, got.Streams[0].Complete)
		require.Contains(t, got.Streams[0].Notes[0], "counting ended early")
	})
	t.Run("ListThatGoesInCircles", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		page := func(id, next string) demoprovider.Fault {
			return demoprovider.Fault{Path: "/deliveries", Status: 200, Body: `{"deliveries":[{"id":"` + id + `","status":"failed"}],"next":"` + next + `"}`}
		}
		server.Fail(slices.Repeat([]demoprovider.Fault{page("x", "two"), page("y", "one")}, 50)...)
		got, err := redeliver(t, c, userapi.RedeliverRequest{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, 3, server.Requests("/deliveries"))
		require.Equal(t, 2, got.Streams[0].Failed, "each is counted once")
		require.False(t, got.Streams[0].Complete)
		require.Contains(t, got.Streams[0].Notes[0], "listed deliveries again")
	})
	t.Run("StreamsThatAreListedAgain", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		fail(server, streamA, 3)
		server.Begun = func(r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/event-streams") && server.Requests("/event-streams") < 5 {
				server.Fail(demoprovider.Fault{Path: "/event-streams", Status: 200, Body: `{"eventStreams":[{"id":"` + streamA + `","destination":{"type":"webhook",
					"configuration":{"webhook_endpoint":"https://sync.example.com/api/capydb/v1/integrations/auth0/webhook/` + shopProject + `"}}}],"next":"more"}`})
			}
		}
		got, err := redeliver(t, c, userapi.RedeliverRequest{})
		require.NoError(t, err)
		require.Len(t, got.Streams, 1, "and asked once")
		require.Equal(t, 3, server.Streams.With(streamA, "pending"))
	})
	t.Run("CursorThatStandsStill", func(t *testing.T) {
		t.Parallel()
		server, c := streams(t)
		server.Fail(slices.Repeat([]demoprovider.Fault{{Path: "/deliveries", Status: 200, Body: `{"deliveries":[{"id":"x","status":"failed"}],"next":"same"}`}}, 9)...)
		got, err := redeliver(t, c, userapi.RedeliverRequest{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, 2, server.Requests("/deliveries"))
		require.False(t, got.Streams[0].Complete)
	})
}

func TestOddDeliveriesAreCountedToo(t *testing.T) {
	t.Parallel()
	server, c := streams(t)
	kinds := make([]string, 60)
	for i := range kinds {
		kinds[i] = fmt.Sprintf(`{"status":"failed","event_type":"t%d"}`, i)
	}
	server.Fail(demoprovider.Fault{Path: "/deliveries", Status: 200, Body: `{"deliveries":[
		7, null, {"status":"failed"}, {"status":"pending","event_type":"user.created"},
		{"event_type":"user.deleted","event":"text","attempts":[{"timestamp":"2026-05-03T09:00:00.5Z"}]},
		{"status":"failed","event_type":"user.deleted","event":{"time":"yesterday"},"attempts":{}},
		{"status":"failed","event_type":"user.deleted","event":{"time":"2026-05-03T12:00:00+02:00"}},` + strings.Join(kinds, ",") + `]}`})
	got, err := redeliver(t, c, userapi.RedeliverRequest{DryRun: true})
	require.NoError(t, err)
	one := got.Streams[0]
	require.Equal(t, 66, one.Failed, "one is under way")
	require.Equal(t, 3, one.Types["user.deleted"])
	require.Len(t, one.Types, 50, "the list of types is bounded")
	require.Equal(t, 3+12, one.Types["other"])
	require.Equal(t, time.Date(2026, 5, 3, 9, 0, 0, 5e8, time.UTC), *one.Oldest)
	require.Equal(t, time.Date(2026, 5, 3, 10, 0, 0, 0, time.UTC), *one.Newest)
}
