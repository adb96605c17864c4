package probe_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/watch"
)

// secured is a real TLS server in front of a database, as PostgreSQL's own: it answers the request for TLS, shows its
// certificate, and passes on what comes then.
type secured struct {
	listener net.Listener
	to       string

	mu          sync.Mutex
	certificate tls.Certificate
	open        sync.WaitGroup
}

// secure starts one for the database of a URL, and returns the URL that leads through it.
func secure(t *testing.T, databaseURL string) (s *secured, through string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s = &secured{listener: listener, to: u.Host}
	s.open.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			s.open.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() {
		require.NoError(t, listener.Close())
		s.open.Wait()
	})
	query := u.Query()
	query.Set("sslmode", "require")
	u.Host, u.RawQuery = listener.Addr().String(), query.Encode()
	return s, u.String()
}

// renew has the server show a certificate with an end from now on.
func (s *secured) renew(t *testing.T, notAfter time.Time) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	of := &x509.Certificate{
		SerialNumber: big.NewInt(notAfter.Unix()), Subject: pkix.Name{CommonName: "db.example.com"}, DNSNames: []string{"db.example.com"},
		NotBefore: notAfter.Add(-90 * 24 * time.Hour), NotAfter: notAfter,
	}
	der, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	require.NoError(t, err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// sslRequest is the code of PostgreSQL's request for TLS.
const sslRequest = 80877103

func (s *secured) serve(client net.Conn) {
	defer client.Close()
	var asked [8]byte
	if _, err := io.ReadFull(client, asked[:]); err != nil || binary.BigEndian.Uint32(asked[4:]) != sslRequest {
		return
	}
	if _, err := client.Write([]byte{'S'}); err != nil {
		return
	}
	s.mu.Lock()
	certificate := s.certificate
	s.mu.Unlock()
	hidden := tls.Server(client, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	server, err := net.Dial("tcp", s.to)
	if err != nil {
		return
	}
	defer server.Close()
	s.open.Go(func() {
		_, _ = io.Copy(hidden, server) // it ends with the connection
		_ = client.Close()
	})
	_, _ = io.Copy(server, hidden)
}

// The end of a certificate is read off a real handshake; the problem opens once two weeks before it, and closes when the server
// shows another.
func TestACertificateOfARealServerExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server, through := secure(t, pgtest.URL(t, pgtest.Project(t)))
	b.urls[b.shop] = through
	// Others open as well while the clock runs ahead of the database: no partitions, for one.
	isOpen := func(after time.Duration) (open bool) {
		b.mu.Lock()
		b.at = b.at.Add(after)
		b.mu.Unlock()
		require.NoError(t, b.worker.Look(t.Context()))
		_, err := b.watcher.Evaluate(t.Context())
		require.NoError(t, err)
		require.NoError(t, b.pool.QueryRow(t.Context(),
			`SELECT EXISTS (SELECT FROM authsync.problems WHERE kind = 'certificate_expiring' AND project_id = $1 AND closed_at IS NULL)`, b.shop).Scan(&open))
		return open
	}
	expires := b.now().Add(20 * 24 * time.Hour)
	server.renew(t, expires)
	require.False(t, isOpen(0), "it is good for a while")
	var seen *time.Time
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT certificate_expires_at FROM authsync.probes WHERE subject = 'database'`).Scan(&seen))
	require.NotNil(t, seen)
	require.WithinDuration(t, expires, *seen, time.Second)

	require.False(t, isOpen(6*24*time.Hour-2*time.Minute))
	require.True(t, isOpen(4*time.Minute))
	require.True(t, isOpen(2*time.Minute))
	require.True(t, isOpen(14*24*time.Hour), "it has expired, and sslmode=require does not look at it")

	server.renew(t, b.now().Add(90*24*time.Hour))
	require.False(t, isOpen(5*time.Minute), "it closes by itself")
	var opened int
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.problems WHERE kind = 'certificate_expiring'`).Scan(&opened))
	require.Equal(t, 1, opened, "it opened once")
}

// The control database's own certificate is read off the connection of the evaluation.
func TestTheCertificateOfTheControlDatabaseExpires(t *testing.T) {
	t.Parallel()
	b := setup(t)
	server, through := secure(t, pgtest.URL(t, b.pool))
	server.renew(t, b.now().Add(15*24*time.Hour))
	pool, err := pgdb.Open(t.Context(), through, pgdb.Options{MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	watcher := watch.New(watch.Config{Pool: pool, Now: b.now})
	found := func(after time.Duration) (details []string) {
		b.mu.Lock()
		b.at = b.at.Add(after)
		b.mu.Unlock()
		_, err := watcher.Evaluate(t.Context())
		require.NoError(t, err)
		problems, err := watch.Open(t.Context(), b.pool, nil)
		require.NoError(t, err)
		for _, p := range problems {
			if p.Kind == watch.CertificateExpiring {
				require.Nil(t, p.ProjectID)
				details = append(details, p.Subject+": "+p.Detail)
			}
		}
		return details
	}
	require.Empty(t, found(0))
	open := found(25 * time.Hour)
	require.Len(t, open, 1)
	require.Contains(t, open[0], "control database: the TLS certificate of the control database expires at ")
	require.Equal(t, open, found(time.Minute))

	server.renew(t, b.now().Add(90*24*time.Hour))
	pool.Reset() // as the connections of a pool end by themselves
	require.Empty(t, found(time.Minute))
}
