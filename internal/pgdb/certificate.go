package pgdb

import (
	"crypto/tls"
	"time"

	"github.com/jackc/pgx/v5"
)

// CertificateEnd returns when the certificate expires that the server showed when the connection was made; nil: it has none.
func CertificateEnd(conn *pgx.Conn) *time.Time {
	secured, is := conn.PgConn().Conn().(*tls.Conn)
	if !is {
		return nil
	}
	shown := secured.ConnectionState().PeerCertificates
	if len(shown) == 0 {
		return nil
	}
	return &shown[0].NotAfter
}
