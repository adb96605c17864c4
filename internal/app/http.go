package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Limits of the HTTP server. A provider's webhook is small and its sender
// gives up after some ten seconds; the slowest management call installs a
// mirror in a database far away.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 30 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// ErrPortTaken says that another process listens on the address.
var ErrPortTaken = errors.New("another program listens there already: stop it, or choose another address with AUTHSYNC_LISTEN")

// Listen takes the address. The error says what to do when it is taken.
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

// serveHTTP starts answering on the listener. Should the server end by itself,
// failed hears of it. Stopping refuses new connections, lets the requests under
// way finish, and cuts them off when its context ends.
func serveHTTP(listener net.Listener, handler http.Handler, log *slog.Logger, failed chan<- error) stopFunc {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
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

// baseURL is how this machine reaches the listener; a wildcard address becomes
// the loopback.
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
