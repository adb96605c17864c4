package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/testkit/waittest"
)

// A server that is restarted is unavailable for a while: the connection breaks, or a proxy says so.
func TestFollowingGoesOnWhenTheServerIsBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	target, err := url.Parse(b.env["AUTHSYNC_URL"])
	require.NoError(t, err)
	answer := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
	}
	for name, tc := range map[string]struct {
		away http.HandlerFunc
		says string
	}{
		"TheConnectionBreaks":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		"AProxySaysBadGateway": {answer(http.StatusBadGateway), "502"},
		"ItIsNotReadyYet":      {answer(http.StatusServiceUnavailable), "503"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var away atomic.Bool
			var refused atomic.Int64
			server := httputil.NewSingleHostReverseProxy(target)
			front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if away.Load() {
					refused.Add(1)
					tc.away(w, r)
					return
				}
				server.ServeHTTP(w, r)
			}))
			t.Cleanup(front.Close)
			following := follow(t, b, front.URL, "auth0|"+name)
			for range 2 {
				away.Store(true)
				refused.Store(0)
				waittest.Until(t, func() bool { return refused.Load() >= 3 })
				b.must(t, "send", "shop", "auth0", "user.updated", "--user", "auth0|"+name, "--wait")
				away.Store(false)
				following.shows(t, 1)
			}
			require.Equal(t, 2, strings.Count(following.err.String(), "does not answer"), "once each time: %s", following.err.String())
			require.Contains(t, following.err.String(), tc.says)
			require.Zero(t, following.stop(t))
		})
	}

	t.Run("ARefusalEndsIt", func(t *testing.T) {
		t.Parallel()
		var refuse atomic.Bool
		server := httputil.NewSingleHostReverseProxy(target)
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refuse.Load() {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			server.ServeHTTP(w, r)
		}))
		t.Cleanup(front.Close)
		following := follow(t, b, front.URL, "auth0|refused")
		refuse.Store(true)
		require.Equal(t, 1, waittest.Receive(t, following.ended))
		require.NotContains(t, following.err.String(), "does not answer")
	})

	t.Run("NobodyThereAtFirstEndsIt", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"AUTHSYNC_URL": "http://127.0.0.1:1", "AUTHSYNC_API_KEY": b.env["AUTHSYNC_API_KEY"]}
		r := run(t.Context(), env, "", "events", "list", "shop", "--follow")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "nothing answers at http://127.0.0.1:1")
	})
}

// followed is a command that follows events.
type followed struct {
	out, err output
	cancel   context.CancelFunc
	ended    chan int
	seen     int // events
	user     string
}

// follow follows the events of a user through a server at a URL.
func follow(t *testing.T, b *testBundle, serverURL, user string) *followed {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	f := &followed{cancel: cancel, ended: make(chan int, 1), user: user}
	go func() {
		f.ended <- Main(ctx, Process{
			Program: programName, Args: []string{"events", "list", "shop", "--follow", "--limit", "0"},
			In: strings.NewReader(""), Out: &f.out, Err: &f.err, Now: time.Now,
			Lookup: func(name string) string {
				if name == "AUTHSYNC_URL" {
					return serverURL
				}
				return b.env[name]
			},
		})
	}()
	waittest.Until(t, func() bool { return strings.Contains(f.err.String(), "Following") })
	return f
}

// shows waits until it has printed so many more events of the user.
func (f *followed) shows(t *testing.T, more int) {
	t.Helper()
	f.seen += more
	waittest.Until(t, func() bool { return strings.Count(f.out.String(), f.user+" ") >= f.seen }, f.user)
	require.Equal(t, f.seen, strings.Count(f.out.String(), f.user+" "), f.out.String())
}

// stop interrupts it and returns its exit status.
func (f *followed) stop(t *testing.T) int {
	t.Helper()
	f.cancel()
	return waittest.Receive(t, f.ended)
}
