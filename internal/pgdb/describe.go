package pgdb

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// ConnectionsNeeded is the maximum number of connections that one authsync process opens to a
// project database: four to apply events and read the feed, three while the mirror is installed or
// upgraded, and one to read Better Auth's tables.
const ConnectionsNeeded = 8

// Describe explains an error and what to do about it, in one sentence for a person. For errors sent
// by the server, the SQLSTATE decides. Connection errors are described without addresses, because a
// name may resolve to an address that the operator keeps private. Statement errors are described by
// message, code and hint, but not detail, which often quotes the row.
//
// The command, the API, doctor and the wait reasons of jobs all use it. Errors that do not come
// from PostgreSQL keep their own text.
func Describe(err error) string {
	if err == nil {
		return ""
	}
	if text := Trouble(err); text != "" {
		return text
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pg.Code == "57014" && pg.Routine != "exec_stmt_raise" { // query_canceled
			return tooSlow + " (server message: " + said(pg) + ")"
		}
		return "the database reports: " + said(pg)
	}
	return Redact(err).Error()
}

// tooSlow is about a statement that statement_timeout ended, or somebody who cancelled it.
const tooSlow = "the statement took longer than authsync allows (it sets statement_timeout for its sessions), or somebody cancelled it: " +
	"if it writes to the mirror, look for a slow trigger or constraint on the tables of schema capydb_auth, otherwise at the load of the database"

// Trouble is Describe for errors that are not about a statement: the database cannot be reached,
// refuses the login, or cannot serve. It returns "" for all others. It never quotes a row.
func Trouble(err error) string {
	if err == nil {
		return ""
	}
	if text := ours(err); text != "" {
		return text
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pg.Routine == "exec_stmt_raise" { // raised by a trigger, with any code and any text
			return ""
		}
		if text := refusedBy(pg, err); text != "" {
			return text
		}
		if text := state(pg.Code); text != "" {
			return text + " (server message: " + said(pg) + ")"
		}
		return ""
	}
	if text := onTheWay(err); text != "" {
		return text
	}
	if Connecting(err) {
		return "cannot connect to the server: check the host and port, and that PostgreSQL listens there"
	}
	return ""
}

// Connecting reports whether err occurred while connecting rather than while running a statement.
func Connecting(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// ours returns the text of errors that already explain themselves.
func ours(err error) string {
	if refusal, ok := errors.AsType[interface {
		error
		Refused() bool
	}](err); ok {
		return refusal.Error()
	}
	if owned, ok := errors.AsType[*OwnedError](err); ok {
		return owned.Error()
	}
	switch {
	case errors.Is(err, ErrControlDatabase):
		return ErrControlDatabase.Error() + ", which holds projects and credentials: use the database of the project's application"
	case errors.Is(err, ErrNotPostgres):
		return ErrNotPostgres.Error() + ": check both; PostgreSQL's default port is 5432"
	case errors.Is(err, ErrPooled):
		return ErrPooled.Error() + ": use a direct connection or the pooler's session mode"
	}
	if flooded, ok := errors.AsType[*FloodError](err); ok {
		return flooded.Error()
	}
	if unfit, ok := errors.AsType[*unfitError](err); ok {
		return unfit.Error()
	}
	return ""
}

// refusedBy describes a connection attempt that the server refused; "" for other errors.
func refusedBy(pg *pgconn.PgError, err error) string {
	user, database := "…", "…"
	theUser, theDatabase := "the user", "such a database"
	connecting, isConnecting := errors.AsType[*pgconn.ConnectError](err)
	if isConnecting {
		user, database = quoted(connecting.Config.User), quoted(connecting.Config.Database)
		theUser, theDatabase = "user "+user, "database "+database
	}
	what := ""
	switch pg.Code {
	case "28P01": // invalid_password; also sent for an unknown user
		what = fmt.Sprintf("the server rejected %s or the password: correct them", theUser)
	case "28000": // invalid_authorization_specification
		what = fmt.Sprintf("the server does not let %s log in: pg_hba.conf needs an entry for this user, database, address and encryption "+
			"(if the server accepts only encrypted connections, add sslmode=require)", theUser)
	case "3D000": // invalid_catalog_name
		what = fmt.Sprintf("the server has no %s: create it or correct the name", theDatabase)
	case "53300": // too_many_connections
		what = tooMany(pg, user, database)
	default:
		if !isConnecting {
			return ""
		}
		what = refusal(pg.Code, user, database)
	}
	return what + " (server message: " + said(pg) + ")"
}

// refusal describes codes that have a different meaning in a statement.
func refusal(code, user, database string) string {
	switch code {
	case "42501": // insufficient_privilege
		return fmt.Sprintf("user %[1]s may not connect to database %[2]s: run GRANT CONNECT ON DATABASE %[2]s TO %[1]s", user, database)
	case "55000": // object_not_in_prerequisite_state
		return fmt.Sprintf("database %s accepts no connections: run ALTER DATABASE %[1]s ALLOW_CONNECTIONS true", database)
	case "08P01": // protocol_violation; PgBouncer uses it for almost everything
		return "the server, or a pooler in front of it, refused the connection"
	}
	if text := state(code); text != "" {
		return text
	}
	return "the server refused the connection"
}

// tooMany distinguishes the limits by the function that raised the error, because the message is
// localized.
func tooMany(pg *pgconn.PgError, user, database string) string {
	const need = "each authsync process needs up to %d connections to a project database"
	switch pg.Routine {
	case "InitializeSessionUserId":
		return fmt.Sprintf("user %s has reached its connection limit, and "+need+": run ALTER ROLE %[1]s CONNECTION LIMIT %[2]d or higher", user, ConnectionsNeeded)
	case "CheckMyDatabase":
		return fmt.Sprintf("database %s has reached its connection limit, and "+need+": raise the limit with ALTER DATABASE %[1]s CONNECTION LIMIT",
			database, ConnectionsNeeded)
	default:
		return fmt.Sprintf("the server has reached its connection limit, and "+need+": raise max_connections or close other connections", ConnectionsNeeded)
	}
}

// state describes the state of a server from an error that is not about the statement.
func state(code string) string {
	switch code {
	case "25006": // read_only_sql_transaction
		return "the database is read-only: it is a standby, or default_transaction_read_only is set for it or the role. " +
			"Use the address of the primary, or run ALTER ROLE … RESET default_transaction_read_only"
	case "53100": // disk_full
		return "the database's disk is full: free some space"
	case "53200": // out_of_memory
		return "the database server is out of memory"
	case "57P01", "57P02": // admin_shutdown, crash_shutdown
		return "the server closed the connection: it is shutting down or restarting, or someone terminated this session"
	case "57P03": // cannot_connect_now
		return "the server is starting up, shutting down or recovering: wait until it accepts connections again"
	case "57P04": // database_dropped
		return "the database was dropped"
	case "55P03": // lock_not_available
		return "another transaction holds a lock on a table or row that is needed: work continues when it ends (pg_stat_activity shows what is blocking)"
	case "25P04": // transaction_timeout
		return "the server ended the session because a transaction took longer than transaction_timeout, which authsync cannot lift behind a pooler: " +
			"run ALTER ROLE … SET transaction_timeout = 0 for authsync's role, and ALTER DATABASE … likewise if it is set there, or use a direct connection"
	case "25P03": // idle_in_transaction_session_timeout
		return "the server ended the session because a transaction was idle for longer than idle_in_transaction_session_timeout: " +
			"if it is below 10s for authsync's role or the database, raise it; work is repeated"
	case "57P05": // idle_session_timeout
		return "the server closed the idle session"
	default:
		return ""
	}
}

func said(pg *pgconn.PgError) string {
	s := Cut(pg.Message) + " (SQLSTATE " + Cut(pg.Code)
	if pg.ConstraintName != "" {
		s += ", constraint " + Cut(pg.ConstraintName)
	}
	s += ")"
	if pg.Hint != "" {
		s += "; hint: " + Cut(pg.Hint)
	}
	return s
}

// noTLS is pgconn's untyped error text for a server without TLS.
const noTLS = "server refused TLS connection"

// onTheWay describes errors that occurred before a server answered.
func onTheWay(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "DNS has no host " + quoted(dns.Name) + ": correct the host"
		}
		return "DNS did not answer for host " + quoted(dns.Name) + ": try again, or check this machine's resolver"
	}
	if text := aboutTLS(err); text != "" {
		return text
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens on the host and port: check both, and that PostgreSQL is running and listens on that address"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no socket in that directory: check the directory and port, and that PostgreSQL is running"
	case errors.Is(err, fs.ErrPermission):
		return "this process has no permission to use the socket"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route to host: check the host and the network in between"
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "the server did not answer in time: check host, port, firewall and the load on the server"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server closed the connection: check that PostgreSQL listens on the host and port, and whether it requires encryption (sslmode)"
	case errors.Is(err, net.ErrClosed), errors.Is(err, pgconn.ErrConnClosed):
		return "the connection was closed"
	default:
		return ""
	}
}

func aboutTLS(err error) string {
	verification, isVerification := errors.AsType[*tls.CertificateVerificationError](err)
	_, isHost := errors.AsType[x509.HostnameError](err)
	_, isAuthority := errors.AsType[x509.UnknownAuthorityError](err)
	_, isRecord := errors.AsType[tls.RecordHeaderError](err)
	_, isAlert := errors.AsType[tls.AlertError](err)
	switch {
	case strings.Contains(err.Error(), noTLS):
		return "the server does not support TLS, which sslmode requires: enable ssl there, or use sslmode=disable if the network is trusted"
	case isHost:
		return "the server's certificate is for another host: correct the host, or use sslmode=verify-ca"
	case isAuthority:
		return "the server's certificate is from an untrusted authority: use sslmode=require to encrypt without verifying it"
	case isVerification:
		return "the server's certificate is invalid: " + Cut(verification.Err.Error())
	case isRecord, isAlert:
		return "TLS handshake failed: check sslmode, and that PostgreSQL listens on the host and port"
	default:
		return ""
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// maxForeign is the maximum length, in bytes, of stored text that came from another server.
const maxForeign = 1 << 10

// Cut shortens text from another server to 1 kB, so that it can be stored and logged.
func Cut(text string) string {
	if len(text) <= maxForeign {
		return text
	}
	return strings.ToValidUTF8(text[:maxForeign], "") + "…"
}

// quoted returns name as a quoted SQL identifier.
func quoted(name string) string { return `"` + strings.ReplaceAll(Cut(name), `"`, `""`) + `"` }

// Passing reports whether a connection error may go away by itself: the server is down, starting,
// or full. A wrong password, a missing database or a failed TLS handshake persists until someone
// fixes it.
func Passing(err error) bool {
	if !Unavailable(err) || errors.Is(err, ErrControlDatabase) || errors.Is(err, ErrPooled) || errors.Is(err, ErrNotPostgres) {
		return false
	}
	if _, ok := errors.AsType[*OwnedError](err); ok {
		return false
	}
	if _, ok := errors.AsType[*unfitError](err); ok {
		return false
	}
	switch code := Code(err); code {
	case "":
		return aboutTLS(err) == ""
	case "3D000", "42501", "55000":
		return false
	default:
		return !strings.HasPrefix(code, "28")
	}
}
