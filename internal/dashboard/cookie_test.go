package dashboard_test

import (
	"net/http"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/dashboard"
)

// byHTTPS is what a proxy that ends TLS adds to a request.
var byHTTPS = map[string]string{"X-Forwarded-Proto": "https"} //nolint:gochecknoglobals // a constant, if Go had such

// signInBy signs in by way of a proxy that adds a header, and gives the cookie.
func (b *testBundle) signInBy(t *testing.T, header map[string]string) *http.Cookie {
	t.Helper()
	w := b.do(t, request{method: http.MethodPost, path: dashboard.SignInPath, form: url.Values{"key": {b.secret}}, header: header})
	require.Len(t, w.Result().Cookies(), 1)
	return w.Result().Cookies()[0]
}

func TestCookieIsOfThisHostWhereTheBrowserCameByHTTPS(t *testing.T) {
	t.Parallel()
	b := setup(t)
	plain := b.signInBy(t, nil)
	require.Equal(t, "authsync_session", plain.Name)
	require.False(t, plain.Secure)
	for _, cookie := range []*http.Cookie{b.signInBy(t, byHTTPS), setupAt(t, "https://sync.example.com").signInBy(t, nil)} {
		require.Equal(t, "__Host-authsync_session", cookie.Name)
		// Without these, a browser does not take a cookie of this name.
		require.True(t, cookie.Secure)
		require.Equal(t, "/", cookie.Path)
		require.Empty(t, cookie.Domain)
	}
}

// Another host of the same domain can set the plain cookie, also with a genuine session of its owner.
func TestAnotherHostPlantsNoSession(t *testing.T) {
	t.Parallel()
	b := setup(t)
	own := b.signInBy(t, byHTTPS)
	open := func(cookie *http.Cookie) int {
		return b.do(t, request{method: http.MethodGet, path: "/river/api/jobs", cookie: cookie, header: byHTTPS}).Code
	}
	require.Equal(t, http.StatusOK, open(own))
	planted := *own
	planted.Name = "authsync_session"
	require.Equal(t, http.StatusUnauthorized, open(&planted))

	out := b.do(t, request{method: http.MethodPost, path: dashboard.SignOutPath, cookie: own, header: byHTTPS}).Result().Cookies()
	require.Len(t, out, 1)
	require.Equal(t, own.Name, out[0].Name)
	require.True(t, out[0].Secure, "a browser ignores the deletion otherwise")
}
