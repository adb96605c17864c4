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

// ConnectionsNeeded is how many connections one process of authsync opens to a project's database
// at most: four to apply events and read the feed, three while the mirror is installed or upgraded, and one
// to read Better Auth's tables there.
const ConnectionsNeeded = 8

// Describe says what an error means and what to do about it, in a sentence for a person. Where the
// server sent the error, its SQLSTATE decides. What is wrong with a connection is told without
// addresses: a name may lead to one that is the operator's secret. Of an error of a statement it
// gives message, code and hint, but not the detail, which tends to quote the row.
//
// Command, API, doctor and the reasons of waiting jobs all use it. An error that is not PostgreSQL's
// comes back as its own text.
func Describe(err error) string {
	if err == nil {
		return ""
	}
	if text := Trouble(err); text != "" {
		return text
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return "the database says: " + said(pg)
	}
	return Redact(err).Error()
}

// Trouble is Describe for errors that are not about a statement: the database cannot be
// reached, lets nobody in, or cannot serve. It is empty for others. It quotes no rows.
func Trouble(err error) string {
	if err == nil {
		return ""
	}
	if text := ours(err); text != "" {
		return text
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		if pg.Routine == "exec_stmt_raise" { // a trigger's, which may have any code, and any text
			return ""
		}
		if text := refusedBy(pg, err); text != "" {
			return text
		}
		if text := state(pg.Code); text != "" {
			return text + " (it says: " + said(pg) + ")"
		}
		return ""
	}
	if text := onTheWay(err); text != "" {
		return text
	}
	if Connecting(err) {
		return "cannot connect to the server: check host and port, and that PostgreSQL listens there"
	}
	return ""
}

// Connecting reports an error of connecting, not of a statement.
func Connecting(err error) bool {
	_, ok := errors.AsType[*pgconn.ConnectError](err)
	return ok
}

// ours are errors that say it themselves.
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
		return ErrControlDatabase.Error() + ", where projects and credentials are kept: give the database that the project's application uses"
	case errors.Is(err, ErrNotPostgres):
		return ErrNotPostgres.Error() + ": check both; PostgreSQL's port is 5432 unless it was given another"
	case errors.Is(err, ErrPooled):
		return ErrPooled.Error() + ": give a direct connection, or one through the pooler's session mode"
	}
	if flooded, ok := errors.AsType[*FloodError](err); ok {
		return flooded.Error()
	}
	if unfit, ok := errors.AsType[*unfitError](err); ok {
		return unfit.Error()
	}
	return ""
}

// refusedBy is for errors that the server answered an attempt to connect with; empty for others.
func refusedBy(pg *pgconn.PgError, err error) string {
	user, database := "…", "…"
	theUser, theDatabase := "the user", "such database"
	connecting, isConnecting := errors.AsType[*pgconn.ConnectError](err)
	if isConnecting {
		user, database = quoted(connecting.Config.User), quoted(connecting.Config.Database)
		theUser, theDatabase = "user "+user, "database "+database
	}
	what := ""
	switch pg.Code {
	case "28P01": // invalid_password; also for a user that does not exist
		what = fmt.Sprintf("the server refuses %s or the password: correct them", theUser)
	case "28000": // invalid_authorization_specification
		what = fmt.Sprintf("the server does not let %s in that way: pg_hba.conf there needs an entry for this user, database, address and encryption "+
			"(if it only takes encrypted connections, add sslmode=require)", theUser)
	case "3D000": // invalid_catalog_name
		what = fmt.Sprintf("the server has no %s: create it, or correct the name", theDatabase)
	case "53300": // too_many_connections
		what = tooMany(pg, user, database)
	default:
		if !isConnecting {
			return ""
		}
		what = refusal(pg.Code, user, database)
	}
	return what + " (it says: " + said(pg) + ")"
}

// refusal is for codes that mean something else where a statement gets them.
func refusal(code, user, database string) string {
	switch code {
	case "42501": // insufficient_privilege
		return fmt.Sprintf("user %[1]s may not connect to database %[2]s: run GRANT CONNECT ON DATABASE %[2]s TO %[1]s", user, database)
	case "55000": // object_not_in_prerequisite_state
		return fmt.Sprintf("database %s takes no connections: run ALTER DATABASE %[1]s ALLOW_CONNECTIONS true", database)
	case "08P01": // protocol_violation; PgBouncer's code for nearly everything
		return "the server, or a pooler before it, refuses the connection"
	}
	if text := state(code); text != "" {
		return text
	}
	return "the server refuses the connection"
}

// tooMany tells by the function that raised the error, for the text is in the server's language.
func tooMany(pg *pgconn.PgError, user, database string) string {
	const need = "each process of authsync needs up to %d connections to a project's database"
	switch pg.Routine {
	case "InitializeSessionUserId":
		return fmt.Sprintf("user %s has as many connections as it may (CONNECTION LIMIT), and "+need+": run ALTER ROLE %[1]s CONNECTION LIMIT %[2]d, or more", user, ConnectionsNeeded)
	case "CheckMyDatabase":
		return fmt.Sprintf("database %s has as many connections as it may (CONNECTION LIMIT), and "+need+": run ALTER DATABASE %[1]s CONNECTION LIMIT with so many more",
			database, ConnectionsNeeded)
	default:
		return fmt.Sprintf("the server has as many connections as it may, and "+need+": raise max_connections there, or close others", ConnectionsNeeded)
	}
}

// state says what state a server is in, by an error that is not about the statement.
func state(code string) string {
	switch code {
	case "25006": // read_only_sql_transaction
		return "the database takes no writes: it is a standby, or default_transaction_read_only is on for it or the role. " +
			"Give the address of the primary, or run ALTER ROLE … RESET default_transaction_read_only"
	case "53100": // disk_full
		return "the disk of the database is full: make room there"
	case "53200": // out_of_memory
		return "the server of the database has no memory left"
	case "57P01", "57P02": // admin_shutdown, crash_shutdown
		return "the server ended the connection: it is being stopped or started again, or somebody ended this session"
	case "57P03": // cannot_connect_now
		return "the server is starting, stopping or recovering: it will take connections again by itself"
	case "57P04": // database_dropped
		return "the database was dropped"
	case "55P03": // lock_not_available
		return "another transaction has locked a table or a row that is needed: it goes on once that one ends (pg_stat_activity shows who waits for whom)"
	case "57P05": // idle_session_timeout
		return "the server ended the idle session"
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

// noTLS is pgconn's text, which has no type, for a server that answers that it speaks no TLS.
const noTLS = "server refused TLS connection"

// onTheWay is for what went wrong before a server answered.
func onTheWay(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		if dns.IsNotFound {
			return "DNS knows no host of the name " + quoted(dns.Name) + ": correct the host"
		}
		return "DNS does not answer for the host " + quoted(dns.Name) + ": try again, or check the resolver of this machine"
	}
	if text := aboutTLS(err); text != "" {
		return text
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the host and port: check both, and that PostgreSQL runs and listens on that address"
	case errors.Is(err, fs.ErrNotExist):
		return "there is no socket in that directory: check it and the port, and that PostgreSQL runs"
	case errors.Is(err, fs.ErrPermission):
		return "this process may not use the socket"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "no route leads to the host: check it and the network between"
	case pgconn.Timeout(err), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return "the server does not answer in time: check host, port and firewall, and the load of the server"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the other side closed the connection: check that PostgreSQL listens at the host and port, and whether it wants encryption (sslmode)"
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
		return "the server speaks no TLS, which sslmode demands: turn ssl on there, or write sslmode=disable if the network between is trusted"
	case isHost:
		return "the server's certificate is for another host: correct the host, or write sslmode=verify-ca"
	case isAuthority:
		return "the server's certificate comes from an authority that is not trusted here: write sslmode=require to encrypt without checking it"
	case isVerification:
		return "the server's certificate is refused: " + Cut(verification.Err.Error())
	case isRecord, isAlert:
		return "TLS does not come about: check that PostgreSQL listens at the host and port, and sslmode"
	default:
		return ""
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

// maxForeign is the most that is kept of a text that somebody else's server sent.
const maxForeign = 1 << 10

// Cut keeps a text of somebody else's short enough to be stored and logged: 1 kB.
func Cut(text string) string {
	if len(text) <= maxForeign {
		return text
	}
	return strings.ToValidUTF8(text[:maxForeign], "") + "…"
}

// quoted writes an identifier as it stands in SQL.
func quoted(name string) string { return `"` + strings.ReplaceAll(Cut(name), `"`, `""`) + `"` }

// Passing reports whether waiting may help with an error of connecting: the server is away,
// starting, or full. A wrong password, a database that does not exist or TLS that does not come about
// stay until somebody changes them.
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
