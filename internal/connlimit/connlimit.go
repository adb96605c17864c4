// Package connlimit bounds the connections of an HTTP server, so that no number of
// them takes the files that the process needs for its databases, and no single address
// takes all of them. Where there is no room the connections that do nothing go first:
//
//	accept ─▶ room? ─▶ request ─▶ idle ─▶ request ─▶ …
//	            │ no: the oldest of those that are new or idle is closed;
//	            │     all of them busy: accepting waits
//	            └ the address has its share already: its own oldest, or else this one
//
// It also notices requests whose head tells their length twice, which net/http takes
// or puts right without a word: see Conn.LengthIsAmbiguous.
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

// Config says how many connections there may be.
type Config struct {
	// Max is how many there may be at the same time; see Files.
	Max int
	// PerAddress is how many of them one address may have.
	PerAddress int
	// Exempt reports addresses that stand for many clients, as proxies do.
	Exempt func(netip.Addr) bool
	// Registry takes the metrics; nil: there are none.
	Registry prometheus.Registerer
}

// Files is how many connections a process should take at most: half of the files that it
// may open, for the others are its connections to databases and to other servers.
func Files() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 512 // half of a common limit
	}
	return int(min(limit.Cur/2, 1<<20))
}

// Listener accepts connections within the bounds. Its State must be the ConnState of the
// server that serves it.
type Listener struct {
	net.Listener

	config  Config
	dropped *prometheus.CounterVec

	mu        sync.Mutex
	open      map[*Conn]struct{}
	addresses map[netip.Addr]int
	quiet     *list.List // of *Conn: new or idle ones, oldest first
	freed     chan struct{}
	closed    chan struct{}
	once      sync.Once
}

// Listen bounds what a listener accepts.
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
	if config.Registry != nil {
		config.Registry.MustRegister(l.dropped, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "authsync_http_connections",
			Help: "Connections to the HTTP server.",
		}, func() float64 { return float64(l.Len()) }))
	}
	return l
}

// Len is how many connections there are.
func (l *Listener) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Accept waits for a connection and for room for it.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
			// Something else took the files: net/http tries again in a moment.
			l.drop("idle", func(*Conn) bool { return true })
		}
		if err != nil {
			return nil, err
		}
		if c := l.add(inner); c != nil {
			return c, nil
		}
		_ = inner.Close() // nothing was said on it
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

// awaitSlot makes room for a connection that was accepted, or waits for it. It reports
// false once the listener is closed.
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

// add takes a connection in, unless its address has its share already and is using it, or
// the listener is closed before there is room.
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

// drop closes the oldest quiet connection of which one may, and reports whether there was one.
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
	_ = oldest.Close() // whoever held it is told so
	return true
}

// State follows the state of a connection; it is for http.Server.ConnState.
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

// unquiet: the connection is in use.
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
	address  netip.Addr // invalid: it counts for none
	heads    heads
	doubtful atomic.Bool // see LengthIsAmbiguous

	// Of Listener.mu. quiet is nil while a request is under way; isNew, that none ever was.
	quiet *list.Element
	isNew bool
}

// Read reads, and looks at the heads of requests.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.doubtful.Store(c.heads.look(b[:n]))
		c.begins()
	}
	return n, err
}

// begins: the first bytes of another request are here, so it is too late to close the
// connection as an idle one. A new connection stays what it is until its first request has a
// whole head: otherwise a byte would be enough to keep it.
func (c *Conn) begins() {
	c.listener.mu.Lock()
	defer c.listener.mu.Unlock()
	if !c.isNew {
		c.listener.unquiet(c)
	}
}

// Close closes the connection and gives its place to another one.
func (c *Conn) Close() error {
	c.listener.remove(c)
	return c.Conn.Close()
}

// CloseWrite lets net/http end a connection gently.
func (c *Conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// LengthIsAmbiguous reports that the head of a request, the one under way or one that was
// sent behind it without a pause, gives its length more than once: two Content-Length, or one
// beside Transfer-Encoding. Two servers on the way may read such a request as different ones,
// so the connection must end.
func (c *Conn) LengthIsAmbiguous() bool { return c.doubtful.Load() }

type key struct{}

// WithConn is for http.Server.ConnContext: From finds the connection in the contexts of its requests.
func WithConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, key{}, conn)
}

// From is the connection of a request; nil where it came in another way.
func From(ctx context.Context) *Conn {
	c, _ := ctx.Value(key{}).(*Conn)
	return c
}
