package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/authsync/authsync/internal/connlimit"
	"github.com/authsync/authsync/internal/problem"
)

// Limits of the HTTP server. A provider's webhook is small and its sender gives up after about ten
// seconds; the slowest management call installs a mirror in a remote database.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// ErrPortTaken reports that another process listens on the address.
var ErrPortTaken = errors.New("another program listens there already: stop it, or choose another address with AUTHSYNC_LISTEN")

// Listen listens on the address. If it is taken, the error says what to do.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("listen on %s: %w", address, ErrPortTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w: choose another address with AUTHSYNC_LISTEN", address, err)
	}
	return listener, nil
}

// serveHTTP starts serving on the listener. failed receives an error if the server ends by itself.
// Stopping refuses new connections, waits for current requests, and aborts them when its context
// ends.
func serveHTTP(listener net.Listener, handler http.Handler, log *slog.Logger, failed chan<- error) stopFunc {
	server := &http.Server{
		Handler:           refuseAmbiguous(handler),
		ConnContext:       connlimit.WithConn,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if bounded, ok := listener.(*connlimit.Listener); ok {
		server.ConnState = bounded.State
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve HTTP: %w", err)
		}
	}()
	return func(ctx context.Context) error {
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(fmt.Errorf("requests were cut off: %w", err), server.Close())
		}
		<-done
		return err
	}
}

// refuseAmbiguous rejects requests whose header gives their length more than once, and closes the
// connection: a proxy may have read another request in the same bytes (RFC 9112, section 6.3).
// net/http itself rejects contradictory lengths.
func refuseAmbiguous(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if conn := connlimit.From(r.Context()); conn != nil && conn.LengthIsAmbiguous() {
			w.Header().Set("Connection", "close")
			problem.Write(w, r, http.StatusBadRequest,
				"the request gives its length more than once (Content-Length, Transfer-Encoding): send one of the two, once")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// closing makes every answer close its connection while the server drains, so that clients use
// another process for their next request.
func closing(draining *atomic.Bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

// Drain precedes Stop behind a load balancer: for AUTHSYNC_DRAIN_DELAY the server still serves
// everything, but /readyz reports that it is not ready, and every answer closes its connection. It
// returns early if ctx ends.
func (a *App) Drain(ctx context.Context) {
	a.health.stopping.Store(true)
	if a.settings.DrainDelay == 0 || !a.settings.Roles.HTTP() {
		return
	}
	a.log.InfoContext(ctx, "server_drain_started", slog.Duration("delay", a.settings.DrainDelay))
	delay := time.NewTimer(a.settings.DrainDelay)
	defer delay.Stop()
	select {
	case <-delay.C:
	case <-ctx.Done():
	}
}

// bounded limits the server's connections.
func (a *App) bounded(listener net.Listener) *connlimit.Listener {
	most := min(a.settings.MaxConnections, connlimit.Files())
	return connlimit.Listen(listener, connlimit.Config{
		Max: most, PerAddress: max(most/4, 1), Registry: a.metrics.registry,
		// A proxy holds the connections of all its clients.
		Exempt: func(address netip.Addr) bool {
			return address.IsLoopback() || a.settings.TrustedProxies.Contains(address)
		},
	})
}

// baseURL returns the listener's address from this machine; a wildcard address becomes the
// loopback.
func baseURL(listener net.Listener) string {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		return "http://" + listener.Addr().String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// noReceiver answers webhooks that were routed to a process without that role. Providers never
// retry a 404; they do retry this.
func noReceiver(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, r, http.StatusServiceUnavailable,
		"this process does not take webhooks (AUTHSYNC_ROLES): route them to one that does, and send this one again",
		problem.RetryAfter(30*time.Second))
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, r, http.StatusNotFound, "there is nothing at this path: GET / lists what there is",
		problem.Code("path_not_found"))
}
