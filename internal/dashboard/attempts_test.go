package dashboard_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestWrongKeysAreLimitedByAddress(t *testing.T) {
	t.Parallel()
	b := setup(t)
	enter := func(from, key string) *httptest.ResponseRecorder {
		return b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {key}}, from: from})
	}
	for _, addresses := range [][2]string{{"192.0.2.7:1", "192.0.2.8:1"}, {"[2001:db8::1]:1", "[2001:db8:0:1::1]:1"}} {
		one, other := addresses[0], addresses[1]
		for range 10 {
			require.Equal(t, http.StatusUnauthorized, enter(one, "capy_live_wrong").Code)
		}
		require.Equal(t, http.StatusSeeOther, enter(other, b.secret).Code, "others are not limited")
		limited := enter(one, b.secret)
		require.Equal(t, http.StatusTooManyRequests, limited.Code)
		require.Equal(t, "61", limited.Header().Get("Retry-After"))
		require.Empty(t, limited.Result().Cookies())
		require.Contains(t, limited.Body.String(), "Too many wrong keys")
	}
	require.Equal(t, http.StatusTooManyRequests, enter("[2001:db8::2]:1", b.secret).Code, "it has the whole network")
	b.now = b.now.Add(time.Minute)
	require.Equal(t, http.StatusSeeOther, enter("192.0.2.7:1", b.secret).Code)
	for range 20 {
		require.Equal(t, http.StatusSeeOther, enter("192.0.2.7:1", b.secret).Code, "right ones are not counted")
	}
}

// A proxy on this machine that is not listed brings everybody: whoever tries keys must not lock the others out.
func TestWrongKeysDoNotLockOutAProxyOnThisMachine(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, from := range []string{"127.0.0.1:1", "[::1]:1"} {
		for _, key := range append(slices.Repeat([]string{"capy_live_wrong"}, 10), b.secret) {
			w := b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {key}}, from: from})
			require.Equal(t, key == b.secret, w.Code == http.StatusSeeOther)
			require.Equal(t, key != b.secret, w.Code == http.StatusUnauthorized)
		}
	}
}

// Otherwise any number of keys could be tried, as long as none of them has its answer.
func TestWrongKeysAreLimitedWhileTheyAreLookedFor(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var looked atomic.Int32
	begun, goOn := make(chan struct{}), make(chan struct{})
	b.beforeSignIn = func() {
		if looked.Add(1) <= 10 {
			begun <- struct{}{}
			<-goOn
		}
	}
	codes := make(chan int)
	for range 10 {
		go func() {
			codes <- b.sendForm(t.Context(), dashboard.SignInPath, url.Values{"key": {"capy_live_wrong"}}).Code
		}()
		waittest.Receive(t, begun)
	}
	require.Equal(t, http.StatusTooManyRequests, b.enter(t, b.secret, "").Code)
	close(goOn)
	for range 10 {
		require.Equal(t, http.StatusUnauthorized, waittest.Receive(t, codes))
	}
	require.Equal(t, http.StatusTooManyRequests, b.enter(t, b.secret, "").Code)
	require.Equal(t, 10, strings.Count(b.log.String(), `"level":"WARN","msg":"sign_in_refused"`), "nor is the log filled")
	b.now = b.now.Add(time.Minute)
	require.Equal(t, http.StatusSeeOther, b.enter(t, b.secret, "").Code)
}
