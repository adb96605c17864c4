package connlimit_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/authsync/authsync/internal/connlimit"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type bundle struct {
	listener *connlimit.Listener
	address  string
	entered  chan struct{} // a request to /slow has begun
	leave    chan struct{} // lets it end
}

func setup(t *testing.T, config connlimit.Config) bundle {
	t.Helper()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b := bundle{
		listener: connlimit.Listen(inner, config), address: inner.Addr().String(),
		entered: make(chan struct{}, 100), leave: make(chan struct{}),
	}
	server := &http.Server{
		ReadHeaderTimeout: waittest.Bound, ConnState: b.listener.State, ConnContext: connlimit.WithConn,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/slow" {
				b.entered <- struct{}{}
				<-b.leave
			}
			_, _ = io.WriteString(w, "done")
		}),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(b.listener) }()
	t.Cleanup(func() {
		require.NoError(t, server.Close())
		require.ErrorIs(t, <-ended, http.ErrServerClosed)
		waittest.Until(t, func() bool { return b.listener.Len() == 0 })
	})
	return b
}

// dial connects from an address of this machine.
func (b bundle) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	conn, err := dialer.DialContext(t.Context(), "tcp", b.address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func ask(conn net.Conn, path string) error {
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	if err := conn.SetReadDeadline(time.Now().Add(waittest.Bound)); err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	_, err = io.ReadAll(response.Body)
	return err
}

// isClosed waits for what happens to a connection on which nothing is said.
func isClosed(t *testing.T, conn net.Conn) bool {
	t.Helper()
	require.NoError(t, conn.SetReadDeadline(time.Now().Add(waittest.Bound)))
	_, err := conn.Read(make([]byte, 1))
	var timeout net.Error
	return err != nil && (!errors.As(err, &timeout) || !timeout.Timeout())
}

func TestIdleConnectionsGoFirst(t *testing.T) {
	t.Parallel()

	t.Run("NewOnesThatSayNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 5, PerAddress: 1000})
		var quiet []net.Conn
		for range 30 {
			quiet = append(quiet, b.dial(t, "127.0.0.1"))
		}
		require.NoError(t, ask(b.dial(t, "127.0.0.1"), "/"))
		for _, conn := range quiet[:20] { // the oldest of all
			require.True(t, isClosed(t, conn))
		}
		require.LessOrEqual(t, b.listener.Len(), 5)
	})

	t.Run("NewOnesThatBeganToSaySomething", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 5, PerAddress: 1000})
		for range 30 {
			_, err := io.WriteString(b.dial(t, "127.0.0.1"), "POST / HTTP/1.1\r\nHost:")
			if err != nil {
				continue // it was closed already
			}
		}
		require.NoError(t, ask(b.dial(t, "127.0.0.1"), "/"))
	})

	t.Run("KeptOnesTheOldestFirst", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 3, PerAddress: 1000})
		var kept []net.Conn
		for range 3 {
			conn := b.dial(t, "127.0.0.1")
			require.NoError(t, ask(conn, "/"))
			waittest.Until(t, func() bool { return b.listener.Quiet() == b.listener.Len() }) // the server is done with it, too
			kept = append(kept, conn)
		}
		require.NoError(t, ask(kept[0], "/"), "now it is the youngest")
		waittest.Until(t, func() bool { return b.listener.Quiet() == 3 })
		require.NoError(t, ask(b.dial(t, "127.0.0.1"), "/"))
		require.True(t, isClosed(t, kept[1]))
		require.NoError(t, ask(kept[0], "/"))
		require.NoError(t, ask(kept[2], "/"))
	})

	t.Run("BusyOnesStay", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 3, PerAddress: 1000})
		answers := make(chan error, 10)
		for range 3 {
			conn := b.dial(t, "127.0.0.1")
			go func() { answers <- ask(conn, "/slow") }()
			waittest.Receive(t, b.entered)
		}
		waits := b.dial(t, "127.0.0.1")
		answered := make(chan error, 1)
		go func() { answered <- ask(waits, "/") }()
		require.Equal(t, 3, b.listener.Len())
		close(b.leave)
		for range 3 {
			require.NoError(t, waittest.Receive(t, answers))
		}
		require.NoError(t, waittest.Receive(t, answered), "its turn comes when another one is idle")
	})
}

func TestAnAddressHasItsShare(t *testing.T) {
	t.Parallel()

	t.Run("ItsOwnIdleOnesGoFirst", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 100, PerAddress: 3})
		neighbour := b.dial(t, "127.0.0.2")
		require.NoError(t, ask(neighbour, "/"))
		var own []net.Conn
		for range 10 {
			conn := b.dial(t, "127.0.0.1")
			require.NoError(t, ask(conn, "/"))
			waittest.Until(t, func() bool { return b.listener.Quiet() == b.listener.Len() }) // the server is done with it, too
			own = append(own, conn)
		}
		for _, conn := range own[:7] {
			require.True(t, isClosed(t, conn))
		}
		require.NoError(t, ask(own[9], "/"))
		require.NoError(t, ask(neighbour, "/"))
		require.Equal(t, 4, b.listener.Len())
	})

	t.Run("WhoUsesAllOfItIsTurnedAway", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 100, PerAddress: 2})
		answers := make(chan error, 10)
		for range 2 {
			conn := b.dial(t, "127.0.0.1")
			go func() { answers <- ask(conn, "/slow") }()
			waittest.Receive(t, b.entered)
		}
		require.True(t, isClosed(t, b.dial(t, "127.0.0.1")))
		require.NoError(t, ask(b.dial(t, "127.0.0.2"), "/"))
		close(b.leave)
		for range 2 {
			require.NoError(t, waittest.Receive(t, answers))
		}
	})

	t.Run("ProxiesAreExempt", func(t *testing.T) {
		t.Parallel()
		b := setup(t, connlimit.Config{Max: 100, PerAddress: 2, Exempt: netip.Addr.IsLoopback})
		for range 10 {
			require.NoError(t, ask(b.dial(t, "127.0.0.1"), "/"))
		}
		require.Equal(t, 10, b.listener.Len())
	})
}

func TestAcceptEndsWithTheListener(t *testing.T) {
	t.Parallel()
	inner, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := connlimit.Listen(inner, connlimit.Config{Max: 0, PerAddress: 1}) // there is never room
	ended := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		ended <- err
	}()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", inner.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, l.Close())
	require.ErrorIs(t, waittest.Receive(t, ended), net.ErrClosed)
}

func TestRequestsOfAnotherServerHaveNoConnection(t *testing.T) {
	t.Parallel()
	require.Nil(t, connlimit.From(context.Background()))
}

func TestFilesLeaveRoomForDatabases(t *testing.T) {
	t.Parallel()
	require.Positive(t, connlimit.Files())
}
