package demoprovider

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A webhook that was lost is a failed delivery of the endpoints there are, until it is sent again; also after a restart.
func TestLostWebhooksAreFailedDeliveries(t *testing.T) {
	t.Parallel()
	got := make(chan string, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- string(body)
	}))
	t.Cleanup(receiver.Close)
	now := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }
	start := func(s *State) *Demo {
		d := NewDemo(s, now)
		d.Send = func(_ context.Context, name string, s provider.Sample, _ bool) ([]byte, error) {
			return fmt.Appendf(nil, `{"id": "evt_%s", "type": %q, "time": "2026-03-01T12:00:00Z"}`, name, s.Type), nil
		}
		d.Auth0.Streams.To = receiver.URL
		d.Auth0.Streams.Streams = []Auth0Stream{{ID: "est_made_by_authsync", Endpoint: receiver.URL + "/auth0"}}
		return d
	}
	d := start(nil)
	d.Clerk.Svix.Add(SvixEndpoint{ID: "ep_1", URL: receiver.URL + "/clerk", Secret: "whsec_c2VjcmV0"})
	for _, name := range []string{provider.Auth0, provider.Clerk, provider.BetterAuth} {
		_, err := d.Apply(t.Context(), Change{Action: Create, Provider: name, LoseWebhook: true})
		require.NoError(t, err)
	}
	require.Equal(t, 1, d.Auth0.Streams.With("est_made_by_authsync", "failed"))
	require.Len(t, d.Clerk.Svix.Messages(), 1)

	state := d.State("http://127.0.0.1:1")
	d = start(&state)
	require.Equal(t, 1, d.Auth0.Streams.With("est_made_by_authsync", "failed"))
	require.Len(t, d.Clerk.Svix.All(), 1, "otherwise authsync sets up another endpoint, with another secret, at every start")
	lost := d.Clerk.Svix.Messages()
	require.Len(t, lost, 1)
	require.Equal(t, "user.created", lost[0].Type)
	require.Equal(t, SvixFailed, lost[0].Status)
	require.Equal(t, now(), lost[0].At)

	kept := make(chan State, 10)
	d.Changed = func() error {
		kept <- d.State("")
		return nil
	}
	ask := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{}`))
	d.Auth0.redeliver(httptest.NewRecorder(), ask, &d.Auth0.Streams.Streams[0])
	ask = httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"since": "2026-03-01T00:00:00Z"}`))
	d.Clerk.Svix.again(httptest.NewRecorder(), ask, d.Clerk.Svix.All()[0], SvixFailed)
	for range 2 {
		require.Contains(t, waittest.Receive(t, got), "user.created")
	}
	waittest.Receive(t, kept)
	require.Empty(t, waittest.Receive(t, kept).Failed, "what was sent again is kept as failed")
}
