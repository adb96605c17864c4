// Package connlimit limits the connections of an HTTP server, so that they cannot use up the file
// descriptors needed for databases, and no single address can use all of them. At the limit,
// connections without a request are closed first:
//
//	accept ─▶ slot? ─▶ request ─▶ idle ─▶ request ─▶ …
//	            │ no: the oldest new or idle one is closed;
//	            │     all of them busy: accepting waits
//	            └ the address is at its limit: its own oldest, otherwise this one
//
// It also detects requests whose header gives their length twice, which net/http silently accepts
// or corrects: see Conn.LengthIsAmbiguous.
package connlimit

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/clientaddr"
)

// Config sets the limits.
type Config struct {
	// Max is the maximum number of connections; see Files.
	Max int
	// PerAddress is the maximum number of connections of one address.
	PerAddress int
	// Exempt reports whether an address serves many clients, as proxies do.
	Exempt func(netip.Addr) bool
	// Registry registers the metrics; nil means no metrics.
	Registry prometheus.Registerer
}

// Files returns the recommended maximum number of connections: half of the process's limit on open
// files, because the rest is for its connections to databases and other servers.
func Files() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 512 // half of a common limit
	}
	return int(min(limit.Cur/2, 1<<20))
}

// Listener accepts connections within the limits. Its State must be the ConnState of its server.
type Listener struct {
	net.Listener

	config  Config
	dropped *prometheus.CounterVec

	mu        sync.Mutex
	open      map[*Conn]struct{}
	addresses map[netip.Addr]int
	quiet     *list.List // of *Conn: new or idle, oldest first
	freed     chan struct{}
	closed    chan struct{}
	once      sync.Once
}

// Listen limits the connections that a listener accepts.
func Listen(inner net.Listener, config Config) *Listener {
	l := &Listener{
		Listener: inner, config: config,
		open: make(map[*Conn]struct{}), addresses: make(map[netip.Addr]int), quiet: list.New(),
		freed: make(chan struct{}, 1), closed: make(chan struct{}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "authsync_http_connections_dropped_total",
			Help: "Connections closed for want of room, by reason (idle: to make room; address: its share was full).",
		}, []string{"reason"}),
	}
	for _, reason := range []string{"idle", "address"} {
		l.dropped.WithLabelValues(reason) // a counter that begins with its first event shows no increase
	}
	if config.Registry != nil {
		config.Registry.MustRegister(l.dropped, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsync_http_connections",
			Help: "Connections to the HTTP server.",
		}, func() float64 { return float64(l.Len()) }))
	}
	return l
}

// Len returns the number of connections.
func (l *Listener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Accept waits for a connection and for a free slot.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			// Something else used up the files: net/http retries in a moment.
			l.drop("idle", func(*Conn) bool { return true })
		}
		if err != nil {
			return nil, err
		}
		if c := l.add(inner); c != nil {
			return c, nil
		}
		_ = inner.Close() // nothing was sent on it
		if l.isClosed() {
			return nil, net.ErrClosed
		}
	}
}

// Close ends Accept, waiting or not.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

func (l *Listener) isClosed() bool {
	select {
	case <-l.closed:
		return true
	default:
		return false
	}
}

// awaitSlot frees a slot for an accepted connection, or waits for one. It returns false once the
// listener is closed.
func (l *Listener) awaitSlot() bool {
	for {
		if l.Len() < l.config.Max || l.drop("idle", func(*Conn) bool { return true }) {
			return true
		}
		select {
		case <-l.freed:
		case <-l.closed:
			return false
		}
	}
}

// add registers a connection, unless its address is at its limit with busy connections, or the
// listener is closed before there is a slot.
func (l *Listener) add(inner net.Conn) *Conn {
	address := clientaddr.Peer(inner.RemoteAddr().String())
	if l.config.Exempt != nil && l.config.Exempt(address) {
		address = netip.Addr{}
	}
	if address.IsValid() {
		l.mu.Lock()
		full := l.addresses[address] >= l.config.PerAddress
		l.mu.Unlock()
		if full && !l.drop("address", func(c *Conn) bool { return c.address == address }) {
			l.dropped.WithLabelValues("address").Inc()
			return nil
		}
	}
	if !l.awaitSlot() {
		return nil
	}
	c := &Conn{Conn: inner, listener: l, address: address}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	if address.IsValid() {
		l.addresses[address]++
	}
	c.quiet, c.isNew = l.quiet.PushBack(c), true
	return c
}

// drop closes the oldest quiet connection that may be closed, and reports whether there was one.
func (l *Listener) drop(reason string, may func(*Conn) bool) bool {
	l.mu.Lock()
	var oldest *Conn
	for e := l.quiet.Front(); e != nil && oldest == nil; e = e.Next() {
		if c, _ := e.Value.(*Conn); may(c) {
			oldest = c
		}
	}
	l.mu.Unlock()
	if oldest == nil {
		return false
	}
	l.dropped.WithLabelValues(reason).Inc()
	_ = oldest.Close() // the holder's next read or write fails
	return true
}

// State tracks the state of a connection; use it as http.Server.ConnState.
func (l *Listener) State(conn net.Conn, state http.ConnState) {
	c, ok := conn.(*Conn)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[c]; !open {
		return
	}
	switch state {
	case http.StateActive, http.StateHijacked:
		l.unquiet(c)
	case http.StateIdle:
		c.heads.reset()
		l.unquiet(c)
		c.quiet = l.quiet.PushBack(c)
		l.signal()
	case http.StateNew, http.StateClosed:
	}
}

// unquiet marks the connection as in use.
func (l *Listener) unquiet(c *Conn) {
	if c.quiet != nil {
		l.quiet.Remove(c.quiet)
		c.quiet = nil
	}
	c.isNew = false
}

func (l *Listener) signal() {
	select {
	case l.freed <- struct{}{}:
	default:
	}
}

func (l *Listener) remove(c *Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, open := l.open[c]; !open {
		return
	}
	delete(l.open, c)
	l.unquiet(c)
	if c.address.IsValid() {
		if l.addresses[c.address]--; l.addresses[c.address] == 0 {
			delete(l.addresses, c.address)
		}
	}
	l.signal()
}

// Conn is a connection of a Listener.
type Conn struct {
	net.Conn

	listener *Listener
	address  netip.Addr // invalid if it is not counted
	heads    heads
	doubtful atomic.Bool // see LengthIsAmbiguous

	// Guarded by Listener.mu. quiet is nil during a request; isNew is set before the first.
	quiet *list.Element
	isNew bool
}

// Read reads and scans request headers.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.doubtful.Store(c.heads.look(b[:n]))
		c.begins()
	}
	return n, err
}

// begins handles the first bytes of another request, after which it is too late to close the
// connection as idle. A new connection stays new until its first request has a complete header:
// otherwise a single byte would keep it open.
func (c *Conn) begins() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if !c.isNew {
		c.listener.unquiet(c)
	}
}

// Close closes the connection and frees its slot.
func (c *Conn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

// CloseWrite lets net/http close a connection gracefully.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// LengthIsAmbiguous reports that the header of the current request, or of one pipelined behind it,
// gives its length more than once: two Content-Length headers, or one beside Transfer-Encoding. Two
// servers in a chain may interpret such a request differently, so the connection must be closed.
func (c *Conn) LengthIsAmbiguous() bool { return c.doubtful.Load() }

type key struct{}

// WithConn is for http.Server.ConnContext, so that From finds the connection of a request.
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, key{}, conn)
}

// From returns the connection of a request; nil if there is none.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(key{}).(*Conn)
	return c
}
