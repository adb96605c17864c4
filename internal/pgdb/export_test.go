package pgdb

import (
	"bufio"
	"io"
)

// NewWire reads a stream as the connection to a tenant's server is read.
func NewWire(r io.Reader) io.Reader {
	return &wire{in: bufio.NewReaderSize(r, wireBuffer), meter: &meter{}}
}
