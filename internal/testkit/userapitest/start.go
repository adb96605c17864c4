package userapitest

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// StandIn is a provider of package demoprovider.
type StandIn interface {
	http.Handler
	// At takes the address it is served at, and returns the base URL of its API.
	At(url string) string
}

// Start serves a stand-in until the test ends and returns the base URL of its API.
func Start(tb testing.TB, s StandIn) string {
	tb.Helper()
	return s.At(Serve(tb, s))
}

// Serve serves a handler on this machine until the test ends and returns its address.
func Serve(tb testing.TB, h http.Handler) string {
	tb.Helper()
	server := httptest.NewServer(h)
	tb.Cleanup(server.Close)
	return server.URL
}

// Deps are those of a source that lives by this clock and never takes chances.
func (c *Clock) Deps() userapi.Deps {
	return userapi.Deps{
		Transport: Transport(), Now: c.Now, Sleep: c.Sleep, Jitter: func() float64 { return 0.5 },
		UserAgent: "authsync/test", Timeout: 10 * time.Second,
	}
}

// Transport reaches the stand-ins, which run on this machine.
func Transport() *http.Transport {
	return egress.New(egress.Config{Allow: egress.Loopback()}).Transport()
}
