package pgdb

import (
	"context"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrNotPostgres reports that the peer does not speak PostgreSQL's protocol.
var ErrNotPostgres = errors.New("the server at the host and port does not speak PostgreSQL's protocol")

// firstWords are the bytes that a PostgreSQL server or pooler may begin with: the answer to an
// SSLRequest, or a message allowed before authentication ends.
const firstWords = "SNREKZv"

// refuseStrangers makes connections fail with ErrNotPostgres if the peer does not begin like
// PostgreSQL. The driver would take its text for message lengths or for a refusal of TLS.
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

// greeted is a connection whose first byte is checked.
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
