package svixrelay_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/svixrelay"
	"github.com/authsync/authsync/internal/testkit/relaytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, c svixrelay.Config) <-chan error {
	t.Helper()
	ended := make(chan error, 1)
	ctx, cancel := context.WithCancelCause(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		ended <- svixrelay.Listen(ctx, c)
	}()
	t.Cleanup(func() {
		cancel(errEnough)
		<-done
	})
	return ended
}

var errEnough = errors.New("enough")

func noPause(context.Context, time.Duration) error { return nil }

// A request goes on as it came, and its answer comes back.
func TestRequestsAreDeliveredAndAnswered(t *testing.T) {
	t.Parallel()
	r := relaytest.New(t)
	got := make(chan svixrelay.Request, 1)
	listen(t, svixrelay.Config{URL: r.URL, Token: "c_0123456789", Deliver: func(_ context.Context, req svixrelay.Request) svixrelay.Response {
		got <- req
		return svixrelay.Response{Status: 204, Header: http.Header{"X-Request-Id": {"7"}}, Body: []byte("ok")}
	}})
	start := waittest.Receive(t, r.Started)
	require.Equal(t, "start", start["type"])
	require.EqualValues(t, 1, start["version"])
	require.Equal(t, map[string]any{"token": "c_0123456789", "body": nil}, start["data"])
	r.Send <- `{"type":"news"}`
	r.Send <- `oops`
	r.Send <- `{"type":"event","version":1,"data":{"id":"e1","method":"POST","headers":{"svix-id":"msg_1","host":"webhooks.clerk.com","content-length":"4"},"body":"eyJ9"}}`
	req := waittest.Receive(t, got)
	require.Equal(t, svixrelay.Request{Method: http.MethodPost, Header: http.Header{"Svix-Id": {"msg_1"}}, Body: []byte(`{"}`)}, req)
	reply := waittest.Receive(t, r.Got)
	require.Equal(t, "event", reply["type"])
	require.Equal(t, map[string]any{"id": "e1", "status": float64(204), "headers": map[string]any{"x-request-id": "7"}, "body": "b2s="}, reply["data"])
}

// A lost connection is made again, with the same token.
func TestLostConnectionIsMadeAgain(t *testing.T) {
	t.Parallel()
	r := relaytest.New(t)
	var mu sync.Mutex
	var pauses []time.Duration
	listen(t, svixrelay.Config{
		URL: r.URL, Token: "c_0123456789", Sleep: noPause,
		Lost: func(_ error, pause time.Duration) {
			mu.Lock()
			defer mu.Unlock()
			pauses = append(pauses, pause)
		},
	})
	for range 3 {
		start := waittest.Receive(t, r.Started)
		require.Equal(t, map[string]any{"token": "c_0123456789", "body": nil}, start["data"])
		r.Drop <- struct{}{}
	}
	waittest.Receive(t, r.Started)
	mu.Lock()
	defer mu.Unlock()
	require.Equal(t, []time.Duration{500 * time.Millisecond, 500 * time.Millisecond, 500 * time.Millisecond}, pauses, "each was accepted before")
}

// A token that stays in use elsewhere is given up after a minute.
func TestTokenInUse(t *testing.T) {
	t.Parallel()
	r := relaytest.New(t)
	close(r.Refuse)
	now := time.Now()
	var pauses []time.Duration
	ended := listen(t, svixrelay.Config{
		URL: r.URL, Token: "c_0123456789", Now: func() time.Time { return now },
		Sleep: func(_ context.Context, d time.Duration) error {
			pauses = append(pauses, d)
			now = now.Add(d)
			return nil
		},
	})
	require.ErrorIs(t, waittest.Receive(t, ended), svixrelay.ErrInUse)
	var sum time.Duration
	for _, pause := range pauses {
		sum += pause
		require.LessOrEqual(t, pause, 15*time.Second)
	}
	require.GreaterOrEqual(t, sum, time.Minute)
}

// What is no relay is not taken for one, and tried again.
func TestOtherServer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	lost := make(chan error, 100)
	listen(t, svixrelay.Config{
		URL: "ws" + strings.TrimPrefix(server.URL, "http"), Token: "c_0123456789",
		Lost:  func(err error, _ time.Duration) { lost <- err },
		Sleep: func(ctx context.Context, _ time.Duration) error { <-ctx.Done(); return context.Cause(ctx) },
	})
	require.ErrorContains(t, waittest.Receive(t, lost), "reach the relay")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 100 {
		token := svixrelay.NewToken()
		require.True(t, svixrelay.IsToken(token), token)
		seen[token] = true
	}
	require.Len(t, seen, 100)
	require.False(t, svixrelay.IsToken("c_../../etc"))
	require.Equal(t, "https://webhooks.clerk.com/in/c_0123456789/", svixrelay.InboxURL("c_0123456789"))
}
