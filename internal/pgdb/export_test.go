package pgdb

import (
	"bufio"
	"io"
)

// NewWire reads a stream the way a tenant's connection is read.
func NewWire(r io.Reader) io.Reader {
	return &wire{in: bufio.NewReaderSize(r, wireBuffer), meter: &meter{}}
}
