// Package pgdb opens PostgreSQL pools, runs transactions and tells what an
// error of PostgreSQL means for the one who got it.
//
// It stands below every station of a webhook's road (provider → receiver →
// inbox → applier → mirror) that talks to a database. What becomes of a
// delivery or an event hangs on the class of the error, never on its text:
//
//   - Unavailable: the database can't serve right now. The receiver answers 503,
//     a job snoozes without using up an attempt.
//   - Retryable: the same transaction may succeed if it is run again at once.
//   - anything else: the statement or its data is wrong; running it again changes nothing.
package pgdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connectTimeout bounds one attempt to connect where Options and URL say nothing.
const connectTimeout = 10 * time.Second

// Options adjust a pool. The zero value is good for most.
type Options struct {
	// ApplicationName is what pg_stat_activity shows; empty: "authsync".
	ApplicationName string
	// MaxConns is the most connections the pool holds; 0: the greater of 4 and the number of CPUs.
	MaxConns int32
	// MinConns are kept open even when idle.
	MinConns int32
	// MaxConnIdleTime closes a connection that was idle for so long; 0: pgx's default of 30 minutes.
	MaxConnIdleTime time.Duration
	// ConnectTimeout bounds one attempt to connect; 0: what the URL says (connect_timeout), else 10 s.
	ConnectTimeout time.Duration
	// RuntimeParams are settings of every session, such as statement_timeout. Behind a pooler
	// they do not hold: see Pooled.
	RuntimeParams map[string]string
	// Direct refuses a pooler that gives each transaction another session, with ErrPooled: for
	// those who listen, hold advisory locks or migrate.
	Direct bool
	// Project is the id of the project for which the connection is. A database that is a control
	// database, or whose mirror is another project's, is refused.
	Project uuid.UUID
}

// Open makes a pool for the operator's own database that text names. It does not connect: the
// first use does, so a program can start while its database is away. Call
// Ping on the pool to know at once. The only errors are those of a URL that
// can't be used, and they hold no part of it. For databases of projects see Tenants.
func Open(ctx context.Context, text string, opts Options) (*pgxpool.Pool, error) {
	return (*Tenants)(nil).Open(ctx, text, opts)
}

// Connect opens one connection to the operator's own database; see Open.
func Connect(ctx context.Context, text string, opts Options) (*pgx.Conn, error) {
	return (*Tenants)(nil).Connect(ctx, text, opts)
}

// Beginner is what a transaction starts from: a pool, a connection, or a
// transaction, inside which it becomes a savepoint.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// InTx runs fn in a transaction and commits. If fn returns an error or panics,
// or ctx ends, the transaction is rolled back and nothing of it stays. An error
// of fn comes back unwrapped; others say which step went wrong. A broken
// connection during the commit leaves open whether it took place: what fn does
// must be safe to run again.
func InTx(ctx context.Context, db Beginner, fn func(tx pgx.Tx) error) (err error) {
	tx, err := db.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	committed := false
	defer func() {
		if committed {
			return
		}
		// The caller's context may be over; the connection shall go back clean all the same.
		rollbackCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if e := tx.Rollback(rollbackCtx); e != nil && !errors.Is(e, pgx.ErrTxClosed) && err == nil {
			err = fmt.Errorf("roll back transaction: %w", e)
		}
	}()
	if err := fn(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	committed = true
	return nil
}
