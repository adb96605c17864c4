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

// Limits on what an untrusted server may send. Exceeding one closes the connection before the data
// is in memory.
const (
	// maxRow limits a row. A user's profile is a few kilobytes.
	maxRow = 16 << 20
	// maxAnswer limits the answer to one batch of requests.
	maxAnswer = 64 << 20
	// maxMessage limits any other message, and maxColumns the description of a row.
	maxMessage = 64 << 10
	maxColumns = 1 << 20
	// maxStartup limits what may arrive before the server is first ready.
	maxStartup = 1 << 20
	// maxParameters limits the reported server settings that are kept.
	maxParameters = 64 << 10
	// maxError is the largest error that is kept whole; the fields of larger ones are truncated.
	maxError = 8 << 10
	// maxWaiting limits unread data while the server does not accept what is sent to it.
	maxWaiting = 32 << 20
	// maxRounds limits the rounds of password hashing: PostgreSQL uses 4096; a million take a third
	// of a second.
	maxRounds = 1_000_000
	// perMessage is the assumed minimum memory use of a kept message.
	perMessage = 128
	// wireBuffer is the read buffer of a connection.
	wireBuffer = 8 << 10
)

// FloodError reports that a server sent more than the limits allow.
type FloodError struct{ what string }

func (e *FloodError) Error() string { return "the server sent " + e.what }

func flood(what string, size, most int) error {
	return &FloodError{fmt.Sprintf("%s of %d bytes, over authsync's limit of %d", what, size, most)}
}

// wire reads a server's messages for pgx: it enforces the limits, drops notices, notifications and
// surplus settings, and truncates long errors.
//
// Read may be interrupted at any point by a timeout and resumes there.
type wire struct {
	in    *bufio.Reader
	meter *meter

	pass    int    // bytes of the current message to pass on
	skip    int    // bytes of it to drop
	cut     *cut   // the current error, if it is truncated
	made    []byte // its truncated form
	started bool   // the server has been ready once
	got     int    // bytes received since the server was ready
	params  int    // bytes of reported settings
	failed  error
}

// bound makes every connection of the configuration read through a wire.
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

// Read returns what is available without waiting, but at least one byte.
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
		if err != nil { // the next Read returns it again
			return n, nil //nolint:nilerr // the next read gives it again
		}
	}
	return n, nil
}

const headerSize = 5 // type and length

// step handles one part of the current message, or starts the next.
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

// begin decides what to do with a message by its type and body size.
func (w *wire) begin(kind byte, body int) error {
	if body < 0 {
		return &FloodError{"a message with an invalid length"}
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
		if body > maxError { // whatever its length, at most this much is kept
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

// count adds a message to the bytes received since the server was ready. It includes overhead,
// because many small messages use memory too.
func (w *wire) count(size int) error {
	w.got += size + perMessage
	switch {
	case !w.started && w.got > maxStartup:
		return flood("startup messages", w.got, maxStartup)
	case w.got > maxAnswer:
		return flood("an answer", w.got, maxAnswer)
	default:
		return nil
	}
}

// Message types (https://www.postgresql.org/docs/current/protocol-message-formats.html).
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

// checkRounds refuses a server that demands too many rounds of password hashing, which cannot be
// interrupted.
func (w *wire) checkRounds(body int) error {
	const challenge = 11 // AuthenticationSASLContinue
	if headerSize+body > wireBuffer {
		return flood("a message", body, wireBuffer-headerSize)
	}
	if body < 4 { // pgx rejects it
		return nil
	}
	text, err := w.in.Peek(headerSize + body)
	if err != nil || binary.BigEndian.Uint32(text[headerSize:]) != challenge {
		return err
	}
	_, rounds, _ := bytes.Cut(text[headerSize+4:], []byte(",i="))
	if n, err := strconv.Atoi(string(rounds)); err == nil && n > maxRounds {
		return &FloodError{fmt.Sprintf("a request to hash the password %d times, over authsync's limit of %d", n, maxRounds)}
	}
	return nil
}

// cut is an error being truncated. Its fields begin with a letter and end with a zero byte.
type cut struct {
	remaining int
	field     []byte // including its letter
	body      []byte
}

// goOnCutting consumes the next part of the error.
func (w *wire) goOnCutting() error {
	c := w.cut
	if c.remaining == 0 {
		if len(c.field) > 0 { // it is truncated
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

// meter counts bytes received but not yet consumed. While the server does not accept what is sent
// to it, pgx buffers everything that arrives.
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
		return 0, flood("without reading, and so far", int(waiting), maxWaiting)
	}
	n, err := c.Conn.Read(p)
	c.meter.read.Add(int64(n))
	return n, err
}

// cutError limits the size of a kept server error.
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
