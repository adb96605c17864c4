// Package hostiletest has servers that mean harm, for tests of what talks to servers that
// customers chose. Only tests import it.
//
// Postgres is one that speaks as much of PostgreSQL's protocol as it takes to be let near,
// and then does as it is told: it announces a gigabyte, never stops, says nothing, or
// answers what nobody asked for. What a connection took of it is counted, so that tests
// need not look at the clock or at the memory of the whole process.
package hostiletest

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// Server is a hostile server.
type Server struct {
	// URL is how to connect to it: user u, password s3cret, database d.
	URL string
	// Address is its host and port.
	Address string

	sent atomic.Int64
}

// Sent is how many bytes all connections together took of it, as far as the operating system
// knows: what waits in its buffers counts.
func (s *Server) Sent() int64 { return s.sent.Load() }

// Postgres starts a server. serve gets each connection once the client has said who it is, and
// the connection ends when it returns.
func Postgres(tb testing.TB, serve func(c *Conn)) *Server {
	tb.Helper()
	listener, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	require.NoError(tb, err)
	s := &Server{Address: listener.Addr().String(), URL: "postgres://u:s3cret@" + listener.Addr().String() + "/d?sslmode=disable"}
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		open = map[net.Conn]bool{}
	)
	all.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			all.Go(func() {
				defer conn.Close()
				c := &Conn{conn: conn, server: s, closed: tb.Context().Done()}
				if c.startup() {
					serve(c)
				}
			})
		}
	})
	tb.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for conn := range open {
			_ = conn.Close()
		}
		mu.Unlock()
		all.Wait()
	})
	return s
}

// Conn is one client of the server. Its methods do nothing once the client is gone.
type Conn struct {
	conn   net.Conn
	server *Server
	gone   bool
	closed <-chan struct{}
}

// Gone reports that the client has closed the connection.
func (c *Conn) Gone() bool { return c.gone }

// Write sends bytes as they are.
func (c *Conn) Write(p []byte) {
	if c.gone {
		return
	}
	n, err := c.conn.Write(p)
	c.server.sent.Add(int64(n))
	c.gone = err != nil
}

// Send sends a message.
func (c *Conn) Send(kind byte, body ...[]byte) {
	whole := bytes.Join(body, nil)
	c.Write(append(Header(kind, len(whole)), whole...))
}

// Header is the beginning of a message whose body has a size, or is said to have it.
func Header(kind byte, size int) []byte {
	return binary.BigEndian.AppendUint32([]byte{kind}, uint32(size+4)) //nolint:gosec // tests choose it
}

// Flood sends a message again and again until the client is gone.
func (c *Conn) Flood(kind byte, body []byte) {
	one := append(Header(kind, len(body)), body...)
	many := bytes.Repeat(one, max(1, (256<<10)/len(one)))
	for !c.gone {
		c.Write(many)
	}
}

// Drown sends the header of a message and then bytes without an end.
func (c *Conn) Drown(kind byte, size int) {
	c.Write(Header(kind, size))
	junk := bytes.Repeat([]byte("x"), 256<<10)
	for sent := 0; !c.gone && sent < size; sent += len(junk) {
		c.Write(junk[:min(len(junk), size-sent)])
	}
}

// Part is a text that is sent many times.
type Part struct {
	Text  string
	Times int
}

// Stream sends a message of any size, of which it never holds much.
func (c *Conn) Stream(kind byte, parts ...Part) {
	size := 0
	for _, p := range parts {
		size += len(p.Text) * p.Times
	}
	c.Write(Header(kind, size))
	for _, p := range parts {
		atOnce := max(1, (256<<10)/max(len(p.Text), 1))
		many := []byte(strings.Repeat(p.Text, min(atOnce, p.Times)))
		for left := p.Times; left > 0 && !c.gone; left -= atOnce {
			c.Write(many[:len(p.Text)*min(atOnce, left)])
		}
	}
}

// Wait does nothing until the client or the test is gone. It reads what the client sends.
func (c *Conn) Wait() {
	_, _ = io.Copy(io.Discard, c.conn)
	c.gone = true
}

// WaitDeaf does nothing until the test ends, and does not even read.
func (c *Conn) WaitDeaf() { <-c.closed }

// startup reads who the client is; it refuses encryption.
func (c *Conn) startup() bool {
	const wantsTLS, cancel = 80877103, 80877102
	for {
		var head [8]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			return false
		}
		size, code := binary.BigEndian.Uint32(head[:4]), binary.BigEndian.Uint32(head[4:])
		if size < 8 || size > 10_000 {
			return false
		}
		if _, err := io.CopyN(io.Discard, c.conn, int64(size-8)); err != nil {
			return false
		}
		switch code {
		case wantsTLS:
			c.Write([]byte("N"))
		case cancel:
			return false
		default:
			return true
		}
	}
}

// The process id that the server gives, and the answer of pg_backend_pid() by which a client sees
// that no pooler stands between.
const pid = 4711

// LetIn takes the client without a password, and is ready for statements.
func (c *Conn) LetIn() {
	c.Send('R', []byte{0, 0, 0, 0})
	for _, p := range [][2]string{{"server_version", "15.0"}, {"client_encoding", "UTF8"}, {"standard_conforming_strings", "on"}} {
		c.Send('S', Text(p[0]), Text(p[1]))
	}
	c.Send('K', binary.BigEndian.AppendUint32(nil, pid), []byte{1, 2, 3, 4})
	c.Ready()
}

// Ready says that the next statement may come.
func (c *Conn) Ready() { c.Send('Z', []byte("I")) }

// Text is a text as it stands in a message.
func Text(s string) []byte { return append([]byte(s), 0) }

// Statement is what a client asked for.
type Statement struct {
	// Parameters is how many the statement has.
	Parameters int
	// Describes: the client wants to know its columns, but no rows yet.
	Describes bool
}

// Next waits for the next statement, up to its end.
func (c *Conn) Next() (s Statement) {
	executes := false
	for !c.gone {
		var head [5]byte
		if _, err := io.ReadFull(c.conn, head[:]); err != nil {
			c.gone = true
			return s
		}
		body := make([]byte, min(binary.BigEndian.Uint32(head[1:])-4, 1<<20))
		if _, err := io.ReadFull(c.conn, body); err != nil {
			c.gone = true
			return s
		}
		switch head[0] {
		case 'B':
			s.Parameters = parametersOf(body)
		case 'E':
			executes = true
		case 'X':
			c.gone = true
		case 'Q', 'S':
			s.Describes = head[0] == 'S' && !executes
			return s
		}
	}
	return s
}

// parametersOf reads how many values a Bind has: portal, statement, formats, values.
func parametersOf(body []byte) int {
	for range 2 {
		_, body, _ = bytes.Cut(body, []byte{0})
	}
	formats := int(binary.BigEndian.Uint16(body))
	return int(binary.BigEndian.Uint16(body[2+2*formats:]))
}

// Begin answers the statement by which authsync begins each session, as PostgreSQL itself would: it has
// a column more than twice before the settings, each of which is a parameter.
func (c *Conn) Begin() {
	settings := c.Next().Parameters - 1
	values := []string{"true", "false", ""}
	for range max(settings, 0) {
		values = append(values, "on")
	}
	c.Send('1')
	c.Send('2')
	c.Columns(len(values))
	c.Row(values...)
	c.Send('C', Text("SELECT 1"))
	c.Ready()
}

// Columns describes columns of type text.
func (c *Conn) Columns(n int) { c.ColumnsOf(25, n) }

// ColumnsOf describes columns of a type, which are named after their place.
func (c *Conn) ColumnsOf(oid uint32, n int) {
	body := binary.BigEndian.AppendUint16(nil, uint16(n)) //nolint:gosec // tests choose it
	for i := range n {
		body = append(body, Text("c"+string(rune('a'+i%26)))...)
		body = append(body, make([]byte, 6)...) // no table
		body = binary.BigEndian.AppendUint32(body, oid)
		body = append(body, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0) // of any size, as text
	}
	c.Send('T', body)
}

// RowBody is the body of a row of texts.
func RowBody(values ...string) []byte {
	body := binary.BigEndian.AppendUint16(nil, uint16(len(values))) //nolint:gosec // tests choose it
	for _, v := range values {
		body = binary.BigEndian.AppendUint32(body, uint32(len(v))) //nolint:gosec // tests choose it
		body = append(body, v...)
	}
	return body
}

// Row sends a row of texts.
func (c *Conn) Row(values ...string) { c.Send('D', RowBody(values...)) }

// ErrorBody is the body of an error whose fields are given by their letters.
func ErrorBody(fields map[byte]string) []byte {
	var body []byte
	for letter, text := range fields {
		body = append(append(body, letter), Text(text)...)
	}
	return append(body, 0)
}

// Describe answers a statement that is to be described, with columns of type text.
func (c *Conn) Describe(parameters, columns int) {
	c.Send('1')
	body := binary.BigEndian.AppendUint16(nil, uint16(parameters)) //nolint:gosec // tests choose it
	for range parameters {
		body = binary.BigEndian.AppendUint32(body, 25)
	}
	c.Send('t', body)
	c.Columns(columns)
	c.Ready()
}

// Allocated runs something and gives how many bytes the process allocated meanwhile. Nothing
// else may run beside it.
func Allocated(run func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	run()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc) //nolint:gosec // it only grows
}

// Next1 waits for one message of the client's, such as the beginning of an authentication.
func (c *Conn) Next1() {
	var head [5]byte
	_, err := io.ReadFull(c.conn, head[:])
	if err == nil {
		_, err = io.CopyN(io.Discard, c.conn, int64(min(binary.BigEndian.Uint32(head[1:])-4, 1<<20)))
	}
	c.gone = c.gone || err != nil
}
