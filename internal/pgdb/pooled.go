package pgdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPooled reports that a direct connection is required but a pooler answered.
var ErrPooled = errors.New("a pooler in transaction mode is in front of the database")

const pooledKey = "authsync pooled"

// Pooled reports whether conn goes through a transaction pooler. Each transaction may then run in
// another session, so session state must not be used: SET, LISTEN, session advisory locks,
// temporary tables, prepared statements.
func Pooled(conn *pgx.Conn) bool { return conn.PgConn().CustomData()[pooledKey] != nil }

// fitsPooled refuses a database whose own settings differ from those authsync would set in the
// session.
func fitsPooled(name, value string) error {
	switch {
	case name == "default_transaction_isolation" && value != "read committed":
	case name == "synchronous_commit" && value == "off":
	default:
		return nil
	}
	return &unfitError{name, value}
}

// unfitError reports a wrong setting that, behind a pooler, only the database can correct.
type unfitError struct{ name, value string }

func (e *unfitError) Error() string {
	return fmt.Sprintf("a pooler is in front of the database, so authsync cannot set %[1]s, which is %[2]q there: "+
		"as its owner run ALTER DATABASE … SET %[1]s = '%[3]s', or use a direct connection", e.name, Cut(e.value), Session()[e.name])
}

// lookers is the number of times that a second client looks for the first one's mark. A pooler
// hands out either the most recently used connection or the one idle the longest; this many tries
// find both.
const lookers = 4

// mustKeepSessions returns ErrPooled if two clients of the pooler can get the same session. One
// client marks its session; if another finds the mark, sessions are shared. In session mode each
// client keeps its own session while it is connected.
func (s *session) mustKeepSessions(ctx context.Context, conn *pgconn.PgConn, config pgconn.Config) error {
	const setMark, readMark = "SELECT pg_catalog.set_config('authsync.client', $1, false)", "SELECT pg_catalog.current_setting('authsync.client', true)"
	mark := rand.Text()
	if err := conn.ExecParams(ctx, setMark, [][]byte{[]byte(mark)}, nil, nil, nil).Read().Err; err != nil {
		return fmt.Errorf("check that sessions are kept: %w", err)
	}
	config.AfterConnect = nil
	other, err := pgconn.ConnectConfig(ctx, &config)
	if err != nil {
		return fmt.Errorf("check that sessions are kept: %w", err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	for range lookers {
		result := other.ExecParams(ctx, readMark, nil, nil, nil, nil).Read()
		if result.Err != nil {
			return fmt.Errorf("check that sessions are kept: %w", result.Err)
		}
		if len(result.Rows) == 1 && string(result.Rows[0][0]) == mark {
			return ErrPooled
		}
	}
	return s.set(ctx, conn)
}
