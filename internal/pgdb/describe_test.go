package pgdb_test

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// role creates a role that may log in and own the database of the pool, and returns its URL.
func role(t *testing.T, pool *pgxpool.Pool, options string) (name string, u *url.URL) {
	t.Helper()
	name = "r_" + strings.ToLower(rand.Text()[:10])
	database := pgx.Identifier{pool.Config().ConnConfig.Database}.Sanitize()
	_, err := pool.Exec(t.Context(), `CREATE ROLE `+name+` LOGIN PASSWORD 's3cret' `+options+`;
		GRANT ALL ON DATABASE `+database+` TO `+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := pool.Exec(context.WithoutCancel(t.Context()), `DROP OWNED BY `+name+`; DROP ROLE `+name)
		require.NoError(t, err)
	})
	u, err = url.Parse(pgtest.URL(t, pool))
	require.NoError(t, err)
	u.User = url.UserPassword(name, "s3cret")
	return name, u
}

// The SQLSTATE decides the description and whether the error may pass.
func TestDescribeSaysWhatAServerRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options string // of the role
		also    string // run in the database, where %s is its name
		change  func(u *url.URL)
		says    []string
		passing bool
	}{
		"WrongPassword": {
			change: func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wr0ng") },
			says:   []string{"the server rejected user \"r_", "or the password: correct them", "SQLSTATE 28P01"},
		},
		"NoSuchUser": {
			change: func(u *url.URL) { u.User = url.UserPassword("nobody_of_that_name", "wr0ng") },
			says:   []string{"the server rejected user \"nobody_of_that_name\" or the password"},
		},
		"RoleMayNotLogIn": {
			also: `ALTER ROLE %[2]s NOLOGIN -- %[1]s`,
			says: []string{"the server does not let user \"r_", "pg_hba.conf", "SQLSTATE 28000"},
		},
		"NoSuchDatabase": {
			change: func(u *url.URL) { u.Path = "/no_database_of_that_name" },
			says:   []string{"the server has no database \"no_database_of_that_name\": create it", "SQLSTATE 3D000"},
		},
		"RoleMayNotConnect": {
			also: `REVOKE CONNECT ON DATABASE %[1]s FROM PUBLIC, %[2]s`,
			says: []string{"may not connect to database", "GRANT CONNECT ON DATABASE \"t_", "SQLSTATE 42501"},
		},
		"NoConnectionsOfTheRoleAreLeft": {
			options: "CONNECTION LIMIT 0",
			says: []string{
				"has reached its connection limit", "each authsync process needs up to 8 connections",
				"ALTER ROLE \"r_", "CONNECTION LIMIT 8", "SQLSTATE 53300",
			},
			passing: true,
		},
		"NoConnectionsOfTheDatabaseAreLeft": {
			also:    `ALTER DATABASE %[1]s CONNECTION LIMIT 0 -- %[2]s`,
			says:    []string{"database \"t_", "has reached its connection limit", "needs up to 8 connections", "ALTER DATABASE"},
			passing: true,
		},
		"DatabaseTakesNoConnections": {
			also: `ALTER DATABASE %[1]s ALLOW_CONNECTIONS false -- %[2]s`,
			says: []string{"accepts no connections: run ALTER DATABASE \"t_", "ALLOW_CONNECTIONS true"},
		},
		"ServerHasNoTLS": {
			change: func(u *url.URL) { u.RawQuery = "sslmode=require" },
			says:   []string{"the server does not support TLS, which sslmode requires", "sslmode=disable"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Empty(t)
			who, u := role(t, pool, c.options)
			if c.also != "" {
				admin, err := pgdb.Connect(t.Context(), pgtest.ServerURL(t), pgdb.Options{})
				require.NoError(t, err)
				_, err = admin.Exec(t.Context(), fmt.Sprintf(c.also, pool.Config().ConnConfig.Database, who))
				require.NoError(t, err)
				require.NoError(t, admin.Close(t.Context()))
			}
			if c.change != nil {
				c.change(u)
			}
			_, err := pgdb.Connect(t.Context(), u.String(), pgdb.Options{})
			require.Error(t, err)
			for _, says := range c.says {
				require.Contains(t, pgdb.Describe(err), says)
			}
			require.Equal(t, c.passing, pgdb.Passing(err), "%v", err)
			require.NotContains(t, pgdb.Describe(err), "s3cret")
			require.NotContains(t, pgdb.Describe(err), "wr0ng")
			require.NotContains(t, pgdb.Describe(err), "127.0.0.1", "no address is told")
		})
	}
}

func TestDescribeSaysWhatIsWrongOnTheWay(t *testing.T) {
	t.Parallel()
	listen := func(t *testing.T, answer func(net.Conn)) string {
		t.Helper()
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { listener.Close() })
		go func() {
			var open []net.Conn // keeps them from being collected and closed
			for {
				conn, err := listener.Accept()
				if err != nil {
					break
				}
				open = append(open, conn)
				answer(conn)
			}
			for _, conn := range open {
				conn.Close()
			}
		}()
		return "postgres://u:s3cret@" + listener.Addr().String() + "/d?sslmode="
	}
	const notPostgres = "the server at the host and port does not speak PostgreSQL's protocol: check both"
	https := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(https.Close)
	// speaksTLS answers like PostgreSQL with ssl on, with a self-signed certificate.
	speaksTLS := func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 8))
		_, _ = conn.Write([]byte("S"))
		go func() { _ = tls.Server(conn, https.TLS).HandshakeContext(context.Background()) }()
	}
	for name, c := range map[string]struct {
		url     string
		says    string
		passing bool
	}{
		"NobodyListens":     {"postgres://u:s3cret@127.0.0.1:1/d?sslmode=disable", "nothing listens on the host and port", true},
		"NoSocket":          {"postgres://u:s3cret@/d?host=/no/such/directory", "there is no socket in that directory", true},
		"NoAnswer":          {listen(t, func(net.Conn) {}) + "disable&connect_timeout=1", "the server did not answer in time", true},
		"ClosesAtOnce":      {listen(t, func(c net.Conn) { c.Close() }) + "disable", "the server closed the connection", true},
		"SpeaksMail":        {listen(t, func(c net.Conn) { _, _ = c.Write([]byte("220 mail ready, how do you do\r\n")) }) + "disable", notPostgres, false},
		"SpeaksHTTP":        {listen(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }) + "disable", notPostgres, false},
		"SpeaksHTTPNotTLS":  {listen(t, func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }) + "require", notPostgres, false},
		"SpeaksMySQL":       {listen(t, func(c net.Conn) { _, _ = c.Write([]byte("J\x00\x00\x00\n8.0.36\x00")) }) + "prefer", notPostgres, false},
		"SpeaksRedis":       {listen(t, func(c net.Conn) { _, _ = c.Write([]byte("-ERR unknown command\r\n")) }) + "disable", notPostgres, false},
		"UnknownAuthority":  {listen(t, speaksTLS) + "verify-ca", "is from an untrusted authority", false},
		"CertificateOfMore": {listen(t, speaksTLS) + "verify-full", "certificate", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := pgdb.Connect(t.Context(), c.url, pgdb.Options{})
			require.Error(t, err)
			require.Contains(t, pgdb.Describe(err), c.says, "%v", err)
			require.Equal(t, c.passing, pgdb.Passing(err), "%v", err)
			require.NotContains(t, pgdb.Describe(err), "s3cret")
			require.NotContains(t, pgdb.Describe(err), "127.0.0.1", "no address is told")
		})
	}

	t.Run("UnknownName", func(t *testing.T) {
		t.Parallel()
		missing := fmt.Errorf("connect: %w", &net.DNSError{Err: "no such host", Name: "db.exmaple.com", IsNotFound: true})
		require.Equal(t, `DNS has no host "db.exmaple.com": correct the host`, pgdb.Describe(missing))
		away := &net.DNSError{Err: "timeout", Name: "db.example.com", IsTimeout: true}
		require.Contains(t, pgdb.Describe(away), `DNS did not answer for host "db.example.com"`)
	})
}

func TestDescribeOfOtherErrors(t *testing.T) {
	t.Parallel()
	require.Empty(t, pgdb.Describe(nil))
	require.Equal(t, "something else", pgdb.Describe(errors.New("something else")))
	require.Equal(t, "the database reports: no user of that id (SQLSTATE P0001, constraint c); hint: make one",
		pgdb.Describe(fmt.Errorf("apply: %w", &pgconn.PgError{Code: "P0001", Message: "no user of that id", ConstraintName: "c", Hint: "make one", Detail: "ada@example.com"})))
	require.Contains(t, pgdb.Describe(&pgconn.PgError{Code: "53100", Message: "could not extend file"}), "the database's disk is full: free some space")
	require.Contains(t, pgdb.Describe(&pgconn.PgError{Code: "57P03", Message: "the database system is starting up"}), "wait until it accepts connections again")
	require.Contains(t, pgdb.Describe(&pgconn.PgError{Code: "53300", Routine: "InitProcess", Message: "Anmeldung abgelehnt"}), "raise max_connections")
	require.Contains(t, pgdb.Describe(fmt.Errorf("x: %w", pgdb.ErrPooled)), "use a direct connection")
	raised := &pgconn.PgError{Code: "57P03", Routine: "exec_stmt_raise", Message: "not for ada@example.com"}
	require.Equal(t, "the database reports: not for ada@example.com (SQLSTATE 57P03)", pgdb.Describe(raised))
	require.Empty(t, pgdb.Trouble(raised))
	require.Contains(t, pgdb.Describe(context.DeadlineExceeded), "the server did not answer in time")
	long := pgdb.Describe(&pgconn.PgError{Code: "P0001", Message: strings.Repeat("ä", 1<<20), Hint: strings.Repeat("x", 1<<20)})
	require.Less(t, len(long), 3<<10)
	require.False(t, pgdb.Passing(nil))
}

// Settings of the role or database must not change what our statements mean.
func TestSessionIsOursWhateverTheRoleHasSet(t *testing.T) {
	t.Parallel()
	pool := pgtest.Empty(t)
	name, u := role(t, pool, "")
	for setting, value := range map[string]string{
		"default_transaction_isolation": "serializable", "synchronous_commit": "off", "bytea_output": "escape", "DateStyle": "German",
		"TimeZone": "Asia/Tokyo", "standard_conforming_strings": "off", "extra_float_digits": "-15", "jit": "on", "client_encoding": "LATIN1",
	} {
		_, err := pool.Exec(t.Context(), `ALTER ROLE `+name+` SET `+setting+` = '`+value+`'`)
		require.NoError(t, err)
	}
	for way, open := range map[string]func() (*pgx.Conn, error){
		"Operator": func() (*pgx.Conn, error) { return pgdb.Connect(t.Context(), u.String(), pgdb.Options{}) },
		"Tenant": func() (*pgx.Conn, error) {
			return (&pgdb.Tenants{}).Connect(t.Context(), u.String(), pgdb.Options{RuntimeParams: map[string]string{"lock_timeout": "7s"}})
		},
	} {
		conn, err := open()
		require.NoError(t, err, way)
		var text string
		require.NoError(t, conn.QueryRow(t.Context(), `SELECT concat_ws(' ', current_setting('default_transaction_isolation'),
			current_setting('synchronous_commit'), '\xff'::bytea::text, timestamptz '2026-01-02 03:04:05Z', '\\', 0.1::float8 + 0.2, current_setting('jit'),
			current_setting('client_encoding'), current_setting('lock_timeout'))`).Scan(&text))
		lock := map[string]string{"Operator": "0", "Tenant": "7s"}[way]
		require.Equal(t, `read committed on \xff 2026-01-02 03:04:05+00 \\ 0.30000000000000004 off UTF8 `+lock, text, way)
		require.False(t, pgdb.Pooled(conn))
		require.NoError(t, conn.Close(t.Context()))
	}
}

// A tenant's URL must not lead to a control database or to another project's mirror.
func TestConnectionOfATenantIsLookedAt(t *testing.T) {
	t.Parallel()
	tenants := &pgdb.Tenants{}
	control := pgtest.Control(t)
	_, u := role(t, control, "") // it has no privileges on the schema
	_, err := tenants.Connect(t.Context(), u.String(), pgdb.Options{})
	require.ErrorIs(t, err, pgdb.ErrControlDatabase)
	require.False(t, pgdb.Passing(err))
	require.Contains(t, pgdb.Describe(err), "this is authsync's own database")
	pool, err := tenants.Open(t.Context(), u.String(), pgdb.Options{})
	require.NoError(t, err)
	defer pool.Close()
	_, err = pool.Exec(t.Context(), `SELECT 1`)
	require.ErrorIs(t, err, pgdb.ErrControlDatabase)

	mirror := pgtest.Project(t)
	first, second := projectID(1), projectID(2)
	_, err = mirror.Exec(t.Context(), `COMMENT ON COLUMN capydb_auth.owner.project_id IS '`+pgdb.OwnerMark(first)+`'`)
	require.NoError(t, err)
	_, u = role(t, mirror, "")
	_, err = tenants.Connect(t.Context(), u.String(), pgdb.Options{Project: second})
	var owned *pgdb.OwnedError
	require.ErrorAs(t, err, &owned)
	require.Equal(t, first, owned.Owner)
	for _, project := range []pgdb.Options{{Project: first}, {}} {
		conn, err := tenants.Connect(t.Context(), u.String(), project)
		require.NoError(t, err)
		require.NoError(t, conn.Close(t.Context()))
	}
}

type closedGuard struct{ asked chan string }

func (g closedGuard) DialContext(_ context.Context, _, address string) (net.Conn, error) {
	g.asked <- address
	return nil, errors.New("closed")
}

func (g closedGuard) CheckHost(host string) error {
	if host == "127.0.0.1" {
		return errors.New("127.0.0.1 is a loopback address")
	}
	return nil
}

// The guard is consulted about each host by name, not by the address it resolves to.
func TestTenantsConnectThroughTheGuard(t *testing.T) {
	t.Parallel()
	guard := closedGuard{make(chan string, 10)}
	tenants := &pgdb.Tenants{Guard: guard, Control: "postgres://me@127.0.0.1:1/authsync?sslmode=disable"}
	for _, given := range []string{"postgres://u@127.0.0.1/d", "postgres://u@h1,127.0.0.1/d"} {
		_, err := tenants.Check(given)
		require.ErrorContains(t, err, "names a host that connections are not allowed to: 127.0.0.1 is a loopback address")
	}
	_, err := tenants.Connect(t.Context(), "postgres://u@h1:1111,h2/d?sslmode=disable", pgdb.Options{ConnectTimeout: time.Minute})
	require.ErrorContains(t, err, "closed")
	require.Equal(t, "h1:1111", <-guard.asked)
	require.Equal(t, "h2:5432", <-guard.asked)

	managed := pgdb.ManagedURL("role of its own", "p@ss/word", "authsync_shop")
	require.Equal(t, "postgres://role%20of%20its%20own@127.0.0.1:1/authsync_shop", tenants.SafeURL(managed))
	_, err = tenants.Connect(t.Context(), managed, pgdb.Options{})
	require.Contains(t, pgdb.Describe(err), "nothing listens", "the control server is the operator's own")
	whole, err := tenants.URL(managed)
	require.NoError(t, err)
	require.Equal(t, "postgres://role%20of%20its%20own:p%40ss%2Fword@127.0.0.1:1/authsync_shop?sslmode=disable", whole)
	for control, want := range map[string]string{
		"postgres://me:p@/authsync?host=/run/postgresql&port=5433":      "postgres://r:p@/d?host=%2Frun%2Fpostgresql&port=5433",
		"host=db.example.com port=5433 user=me password=p dbname=a":     "postgres://r:p@db.example.com:5433/d",
		"postgres://me@h1:1,h2:2/authsync?sslmode=require":              "postgres://r:p@h1:1,h2:2/d?sslmode=require",
		"postgres://me@[fd00::5]/authsync?application_name=it's%20mine": "postgres://r:p@[fd00::5]/d?application_name=it%27s%20mine",
	} {
		got, err := (&pgdb.Tenants{Control: control}).URL(pgdb.ManagedURL("r", "p", "d"))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func projectID(n byte) uuid.UUID { return uuid.UUID{15: n} }

func TestDescribeNamesTheTimeout(t *testing.T) {
	t.Parallel()
	canceled := &pgconn.PgError{Severity: "ERROR", Code: "57014", Message: "canceling statement due to statement timeout", Routine: "ProcessInterrupts"}
	require.Contains(t, pgdb.Describe(canceled), "took longer than authsync allows (it sets statement_timeout for its sessions), or somebody cancelled it: "+
		"if it writes to the mirror, look for a slow trigger")
	require.Empty(t, pgdb.Trouble(canceled), "it is about the statement")
	canceled.Routine = "exec_stmt_raise"
	require.Contains(t, pgdb.Describe(canceled), "the database reports: ")
	for code, says := range map[string]string{
		"25P03": "idle for longer than idle_in_transaction_session_timeout",
		"25P04": "took longer than transaction_timeout, which authsync cannot lift behind a pooler: run ALTER ROLE",
	} {
		err := &pgconn.PgError{Severity: "FATAL", Code: code, Message: "terminating connection"}
		require.Contains(t, pgdb.Describe(err), says)
		require.True(t, pgdb.Passing(err))
	}
}
