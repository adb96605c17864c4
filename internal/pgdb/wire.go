package pgdb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// What a server that somebody else chose may send. What is more ends the connection, before it is
// in memory.
const (
	// maxRow is the size of a row. A profile of a user is some kilobytes.
	maxRow = 16 << 20
	// maxAnswer is how much may come in answer to what was sent together.
	maxAnswer = 64 << 20
	// maxMessage is the size of any other message, and maxColumns that of the description of rows.
	maxMessage = 64 << 10
	maxColumns = 1 << 20
	// maxStartup is how much may come until the server is ready for the first time.
	maxStartup = 1 << 20
	// maxParameters is how much is kept of the settings that the server reports.
	maxParameters = 64 << 10
	// maxError is the size of an error that is kept whole; of a larger one each field is cut.
	maxError = 8 << 10
	// maxWaiting is how much may wait to be read while the server does not take what we send.
	maxWaiting = 32 << 20
	// maxRounds of hashing a password: PostgreSQL does 4096, and a million take a third of a second.
	maxRounds = 1_000_000
	// perMessage is what a message takes at least where it is kept.
	perMessage = 128
	// wireBuffer is what each connection keeps to read with.
	wireBuffer = 8 << 10
)

// FloodError says that a server sends more than is taken.
type FloodError struct{ what string }

func (e *FloodError) Error() string { return "the server sends " + e.what }

func flood(what string, size, most int) error {
	return &FloodError{fmt.Sprintf("%s of %d bytes, which is more than authsync takes (%d)", what, size, most)}
}

// wire reads the messages of a server for pgx: it bounds them, leaves out notices, notifications
// and what is too much of settings, and cuts errors that are too long.
//
// Read may end anywhere with a timeout, and goes on there.
type wire struct {
	in    *bufio.Reader
	meter *meter

	pass    int    // bytes of the message at hand that are passed on
	skip    int    // bytes of it that are left out
	cut     *cut   // the error at hand, where it is cut
	made    []byte // what was made of it
	started bool   // the server was ready once
	got     int    // bytes since the server was ready
	params  int    // bytes of settings
	failed  error
}

// bound has each attempt to connect by the configuration read by a wire.
func bound(config *pgconn.Config) {
	m, dial := &meter{}, config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &meteredConn{Conn: conn, meter: m}, nil
	}
	config.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		m.reset()
		return pgproto3.NewFrontend(&wire{in: bufio.NewReaderSize(r, wireBuffer), meter: m}, w)
	}
}

// Read gives as much as there is without waiting, but at least one byte.
func (w *wire) Read(p []byte) (n int, err error) {
	for n < len(p) {
		if n > 0 && len(w.made) == 0 && w.in.Buffered() < headerSize {
			return n, nil
		}
		k, err := w.step(p[n:])
		n += k
		w.meter.taken.Add(int64(k))
		if err != nil && n == 0 {
			return 0, err
		}
		if err != nil { // it comes again
			return n, nil //nolint:nilerr // the next read gives it again
		}
	}
	return n, nil
}

const headerSize = 5 // type and length

// step does one thing with the message at hand, or begins the next.
func (w *wire) step(p []byte) (n int, err error) {
	switch {
	case w.failed != nil:
		return 0, w.failed
	case len(w.made) > 0:
		n = copy(p, w.made)
		w.made = w.made[n:]
		return n, nil
	case w.pass > 0:
		n, err = w.in.Read(p[:min(len(p), w.pass)])
		w.pass -= n
		return n, err
	case w.skip > 0:
		n, err = w.in.Discard(min(w.skip, wireBuffer))
		w.skip -= n
		w.meter.taken.Add(int64(n))
		return 0, err
	case w.cut != nil:
		return 0, w.goOnCutting()
	}
	header, err := w.in.Peek(headerSize)
	if err != nil {
		return 0, err
	}
	kind, body := header[0], int(int32(binary.BigEndian.Uint32(header[1:])))-4 //nolint:gosec // negative ones are refused
	if kind == authentication {
		if err := w.checkRounds(body); err != nil {
			return 0, err
		}
	}
	w.failed = w.begin(kind, body)
	return 0, w.failed
}

// begin decides about a message by its type and the size of its body.
func (w *wire) begin(kind byte, body int) error {
	if body < 0 {
		return &FloodError{"a message of no length, as PostgreSQL does not"}
	}
	whole := headerSize + body
	w.pass, w.skip = whole, 0
	switch kind {
	case notice, notification:
		w.pass, w.skip = 0, whole
	case parameter:
		if w.params += whole; w.params > maxParameters {
			w.pass, w.skip = 0, whole
		}
	case errorMessage:
		if body > maxError { // as long as it may be, this much is made of it
			w.cut, w.pass, w.skip = &cut{remaining: body}, 0, headerSize
			whole = maxError
		}
	case row, copied, result:
		if body > maxRow {
			return flood("a row", body, maxRow)
		}
	case columns, parameters:
		if body > maxColumns {
			return flood("a description of columns", body, maxColumns)
		}
	case ready:
		w.started, w.got = true, 0
		w.meter.reset()
	default:
		if body > maxMessage {
			return flood("a message", body, maxMessage)
		}
	}
	return w.count(whole)
}

// count adds a message to what has come since the server was ready. Many small ones take room too.
func (w *wire) count(size int) error {
	w.got += size + perMessage
	switch {
	case !w.started && w.got > maxStartup:
		return flood("messages before it is ready", w.got, maxStartup)
	case w.got > maxAnswer:
		return flood("an answer", w.got, maxAnswer)
	default:
		return nil
	}
}

// The types of messages (https://www.postgresql.org/docs/current/protocol-message-formats.html).
const (
	authentication = 'R'
	columns        = 'T'
	copied         = 'd'
	errorMessage   = 'E'
	notice         = 'N'
	notification   = 'A'
	parameter      = 'S'
	parameters     = 't'
	ready          = 'Z'
	result         = 'V'
	row            = 'D'
)

// checkRounds refuses a server that has us hash the password for ever, which nothing could interrupt.
func (w *wire) checkRounds(body int) error {
	const challenge = 11 // AuthenticationSASLContinue
	if headerSize+body > wireBuffer {
		return flood("a message", body, wireBuffer-headerSize)
	}
	if body < 4 { // pgx refuses it
		return nil
	}
	text, err := w.in.Peek(headerSize + body)
	if err != nil || binary.BigEndian.Uint32(text[headerSize:]) != challenge {
		return err
	}
	_, rounds, _ := bytes.Cut(text[headerSize+4:], []byte(",i="))
	if n, err := strconv.Atoi(string(rounds)); err == nil && n > maxRounds {
		return &FloodError{fmt.Sprintf("a password to be hashed %d times, which is more than authsync does (%d)", n, maxRounds)}
	}
	return nil
}

// cut is an error that is cut: its fields begin with a letter and end with a zero.
type cut struct {
	remaining int
	field     []byte // with its letter
	body      []byte
}

// goOnCutting takes what has come of the error.
func (w *wire) goOnCutting() error {
	c := w.cut
	if c.remaining == 0 {
		if len(c.field) > 0 { // it breaks off
			c.body = append(append(c.body, c.field...), 0)
		}
		c.body = append(c.body, 0)
		w.made = append([]byte{errorMessage}, binary.BigEndian.AppendUint32(nil, uint32(len(c.body)+4))...) //nolint:gosec // it is short
		w.made = append(w.made, c.body...)
		w.cut = nil
		return nil
	}
	if _, err := w.in.Peek(1); err != nil {
		return err
	}
	text, err := w.in.Peek(min(w.in.Buffered(), c.remaining))
	if err != nil {
		return err
	}
	for part := text; len(part) > 0; {
		end := bytes.IndexByte(part, 0)
		piece := part
		if end >= 0 {
			piece = part[:end]
		}
		c.field = append(c.field, piece[:min(len(piece), maxForeign-min(len(c.field), maxForeign))]...)
		if end < 0 {
			break
		}
		if len(c.field) > 0 && len(c.body) < maxError {
			c.body = append(append(c.body, c.field...), 0)
		}
		c.field, part = c.field[:0], part[end+1:]
	}
	n, err := w.in.Discard(len(text))
	c.remaining -= n
	w.meter.taken.Add(int64(n))
	return err
}

// meter counts what has come and was not taken yet. While the server does not take what is
// sent to it, pgx keeps all that comes.
type meter struct{ read, taken atomic.Int64 }

func (m *meter) reset() {
	m.read.Store(0)
	m.taken.Store(0)
}

type meteredConn struct {
	net.Conn

	meter *meter
}

func (c *meteredConn) Read(p []byte) (int, error) {
	if waiting := c.meter.read.Load() - c.meter.taken.Load(); waiting > maxWaiting {
		return 0, flood("without taking, and by now", int(waiting), maxWaiting)
	}
	n, err := c.Conn.Read(p)
	c.meter.read.Add(int64(n))
	return n, err
}

// cutError bounds what is kept of an error that a server sent.
func cutError(config *pgconn.Config) {
	handle := config.OnPgError
	config.OnPgError = func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		for _, text := range []*string{
			&e.Severity, &e.SeverityUnlocalized, &e.Code, &e.Message, &e.Detail, &e.Hint, &e.InternalQuery, &e.Where, &e.SchemaName, &e.TableName,
			&e.ColumnName, &e.DataTypeName, &e.ConstraintName, &e.File, &e.Routine,
		} {
			*text = Cut(*text)
		}
		return handle(conn, e)
	}
}
