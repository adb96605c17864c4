package pgdb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrPooled says that a connection has to be a direct one, and is not.
var ErrPooled = errors.New("a pooler in transaction mode stands before the database")

const pooledKey = "authsync pooled"

// Pooled reports that a pooler stands between us and the server. Then each transaction may be
// another session: nothing that belongs to a session may be used (SET, LISTEN, advisory locks of a
// session, temporary tables, prepared statements).
func Pooled(conn *pgx.Conn) bool { return conn.PgConn().CustomData()[pooledKey] != nil }

// fitsPooled refuses a database whose own settings are not those that we would give the session.
func fitsPooled(name, value string) error {
	switch {
	case name == "default_transaction_isolation" && value != "read committed":
	case name == "synchronous_commit" && value == "off":
	default:
		return nil
	}
	return &unfitError{name, value}
}

// unfitError says that a setting which only the database can have behind a pooler is wrong there.
type unfitError struct{ name, value string }

func (e *unfitError) Error() string {
	return fmt.Sprintf("a pooler stands before the database, so authsync cannot set %[1]s, which is %[2]q there: "+
		"as its owner run ALTER DATABASE … SET %[1]s = '%[3]s', or give a direct connection", e.name, Cut(e.value), Session()[e.name])
}

// lookers is how often another client looks for the mark of the first. A pooler hands out the
// connection that was used last, or the one that has rested longest; either comes up in that.
const lookers = 4

// mustKeepSessions returns ErrPooled if two clients of the pooler can get the same session. One
// marks its session; where another one finds the mark, sessions are shared. In session mode, each
// client has one of its own for as long as it is connected.
func (s *session) mustKeepSessions(ctx context.Context, conn *pgconn.PgConn, config pgconn.Config) error {
	const setMark, readMark = "SELECT pg_catalog.set_config('authsync.client', $1, false)", "SELECT pg_catalog.current_setting('authsync.client', true)"
	mark := rand.Text()
	if err := conn.ExecParams(ctx, setMark, [][]byte{[]byte(mark)}, nil, nil, nil).Read().Err; err != nil {
		return fmt.Errorf("look whether sessions are kept: %w", err)
	}
	config.AfterConnect = nil
	other, err := pgconn.ConnectConfig(ctx, &config)
	if err != nil {
		return fmt.Errorf("look whether sessions are kept: %w", err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	for range lookers {
		result := other.ExecParams(ctx, readMark, nil, nil, nil, nil).Read()
		if result.Err != nil {
			return fmt.Errorf("look whether sessions are kept: %w", result.Err)
		}
		if len(result.Rows) == 1 && string(result.Rows[0][0]) == mark {
			return ErrPooled
		}
	}
	return s.set(ctx, conn)
}
