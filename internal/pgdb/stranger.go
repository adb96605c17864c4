package pgdb

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotPostgres says that something other than PostgreSQL is at the other end.
var ErrNotPostgres = errors.New("what answers at the host and port does not speak PostgreSQL's protocol")

// firstWords are what a PostgreSQL server or pooler may begin with: an answer to the wish for TLS, or a message
// that may come before it is ready.
const firstWords = "SNREKZv"

// refuseStrangers has connections by the configuration end with ErrNotPostgres where the other side begins as
// PostgreSQL does not. The driver would take its text for sizes of messages, or for the refusal of TLS.
func refuseStrangers(config *pgconn.Config) {
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &greeted{Conn: conn}, nil
	}
}

// greeted is a connection whose first byte is looked at.
type greeted struct {
	net.Conn

	known bool
}

func (c *greeted) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.known {
		if !strings.ContainsRune(firstWords, rune(p[0])) {
			return 0, ErrNotPostgres
		}
		c.known = true
	}
	return n, err
}
