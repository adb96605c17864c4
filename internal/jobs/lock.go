package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// lockTimeout limits connecting and each statement on the lock's connection.
	lockTimeout = 5 * time.Second
	// relockPause is the pause between two attempts to retake the lock.
	relockPause = 200 * time.Millisecond
)

// Makes the server notice within seconds that a process and its machine are gone. Over a Unix
// socket these settings are accepted and have no effect.
const lockSession = `
	SELECT set_config(s.name, s.value, false)
	FROM (VALUES
		('tcp_keepalives_idle', '2'), ('tcp_keepalives_interval', '1'), ('tcp_keepalives_count', '3'),
		('tcp_user_timeout', '5000'), ('idle_session_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
		('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0')
	) AS s (name, value)
	WHERE s.name <> 'transaction_timeout' OR current_setting(s.name, true) IS NOT NULL -- PostgreSQL 17 brought it`

const takeLock = `SELECT pg_advisory_lock(authsync.client_lock_key($1))`

// lock is the session lock that marks a client as alive.
type lock struct {
	config   *pgx.ConnConfig
	clientID string
	log      *slog.Logger
}

// take connects and takes the lock.
func (l *lock) take(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, lockTimeout, errors.New("PostgreSQL does not answer"))
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return nil, fmt.Errorf("connect for the lock of this process: %w", err)
	}
	if pgdb.Pooled(conn) {
		// The pooler keeps a session for us as long as a transaction lasts. This one never ends: it
		// has neither a snapshot nor an id, so it does not hold back vacuum.
		_, err = conn.Exec(ctx, `BEGIN ISOLATION LEVEL READ COMMITTED`)
	}
	if err == nil {
		_, err = conn.Exec(ctx, lockSession)
	}
	if err == nil {
		// The simple protocol: in a transaction, an extended query's portal would stay open with
		// its snapshot.
		_, err = conn.Exec(ctx, takeLock, pgx.QueryExecModeSimpleProtocol, l.clientID)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("take the lock of this process: %w", err), conn.Close(ctx))
	}
	return conn, nil
}

// hold keeps the lock until ctx ends: it retakes it whenever its connection breaks. Jobs running
// here in the meantime may be rescued by others, which costs only repeated work.
func (l *lock) hold(ctx context.Context, conn *pgx.Conn) {
	look := time.NewTicker(sweepEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			l.giveUp(ctx, conn)
			return
		case <-look.C:
		}
		if err := l.ping(ctx, conn); err == nil || ctx.Err() != nil {
			continue
		}
		l.log.WarnContext(ctx, "process_lock_lost", slog.String("client_id", l.clientID))
		l.giveUp(ctx, conn)
		if conn = l.retake(ctx); conn == nil {
			return
		}
	}
}

func (l *lock) ping(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	return conn.Ping(ctx)
}

// retake returns nil once ctx has ended.
func (l *lock) retake(ctx context.Context) *pgx.Conn {
	pause := time.NewTicker(relockPause)
	defer pause.Stop()
	for {
		conn, err := l.take(ctx)
		if err == nil {
			return conn
		}
		l.log.DebugContext(ctx, "process_lock_not_taken", slog.Any("error", err))
		select {
		case <-pause.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *lock) giveUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it is closed or broken
}
