package pgdb

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
)

// Code returns the SQLSTATE of err, or "" if the server did not send the error. Codes:
// https://www.postgresql.org/docs/current/errcodes-appendix.html
func Code(err error) string {
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pgErr.Code
	}
	return ""
}

// Retryable reports whether the same transaction may succeed if it is run again immediately: it
// conflicted with another one and had no effect.
func Retryable(err error) bool {
	switch Code(err) {
	case "40001", // serialization_failure
		"40P01", // deadlock_detected
		"55P03": // lock_not_available
		return true
	default:
		return false
	}
}

// Unavailable reports whether the database could not serve, for a reason outside the statement: it
// is unreachable, starting, stopping, full, read-only, refuses the credentials, or does not exist.
// The same work may succeed later.
//
// A context deadline that passed while waiting for the server counts: a hung server shows in no
// other way. To tell a slow statement from a hung server, set statement_timeout below the deadline;
// it produces SQLSTATE 57014, which does not count. A cancelled context does not count either,
// because the caller gave up.
func Unavailable(err error) bool {
	if err == nil || errors.Is(err, context.Canceled) {
		return false
	}
	_, isConnect := errors.AsType[*pgconn.ConnectError](err)
	if code := Code(err); code != "" {
		// object_not_in_prerequisite_state: the database takes no connections (ALLOW_CONNECTIONS false)
		return unavailableCode(code) || isConnect && code == "55000"
	}
	if isConnect || pgconn.Timeout(err) || errors.Is(err, pgconn.ErrConnClosed) {
		return true
	}
	if _, ok := errors.AsType[*FloodError](err); ok {
		return true
	}
	// Not net.Error: every syscall.Errno is one, including those about unreadable files.
	_, isNet := errors.AsType[*net.OpError](err)
	return isNet ||
		errors.Is(err, context.DeadlineExceeded) || // includes waiting for a connection from the pool
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func unavailableCode(code string) bool {
	if len(code) != 5 {
		return false
	}
	switch code[:2] {
	case "08", // connection exception
		"28", // invalid authorization: password changed, role dropped, pg_hba
		"53", // insufficient resources: disk full, out of memory, too many connections
		"58": // system error: I/O error
		return true
	}
	switch code {
	case "57P01", // admin_shutdown
		"57P02", // crash_shutdown
		"57P03", // cannot_connect_now
		"57P04", // database_dropped
		"57P05", // idle_session_timeout
		"25006", // read_only_sql_transaction: a standby, or set by the owner
		"25P03", // idle_in_transaction_session_timeout; it ends the session, as the next one does
		"25P04", // transaction_timeout
		"3D000": // invalid_catalog_name: no such database
		return true
	default:
		return false
	}
}
