// Package pgdb opens PostgreSQL pools, runs transactions and classifies PostgreSQL errors.
//
// Every package that talks to a database imports it. The class of an error, never its text, decides
// what happens to a message or an event:
//
//   - Unavailable: the database cannot serve right now. The receiver answers 503,
//     a job snoozes without using up an attempt.
//   - Retryable: the same transaction may succeed if it is run again immediately.
//   - anything else: the statement or its data is wrong; a retry changes nothing.
//
// If the process dies, PostgreSQL rolls back what was not committed.
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

// connectTimeout limits one connection attempt unless Options or the URL set a limit.
const connectTimeout = 10 * time.Second

// Options configure a pool. The zero value is usable.
type Options struct {
	// ApplicationName is the name shown in pg_stat_activity; the default is "authsync".
	ApplicationName string
	// MaxConns is the maximum size of the pool; 0 means the greater of 4 and the number of CPUs.
	MaxConns int32
	// MinConns is the number of connections kept open even when idle.
	MinConns int32
	// MaxConnIdleTime is how long a connection may stay idle; 0 means pgx's default of 30 minutes.
	MaxConnIdleTime time.Duration
	// ConnectTimeout limits one connection attempt; 0 means the URL's connect_timeout, or 10 s.
	ConnectTimeout time.Duration
	// RuntimeParams are set in every session, such as statement_timeout. They have no effect behind
	// a transaction pooler; see Pooled.
	RuntimeParams map[string]string
	// Direct refuses a transaction pooler with ErrPooled, for callers that listen, hold advisory
	// locks or migrate.
	Direct bool
	// Project is the id of the project that the connection serves. A control database, or a
	// database that holds another project's mirror, is refused.
	Project uuid.UUID
}

// Open creates a pool for the operator's database at text. It does not connect, so that a program
// can start while its database is down; call Ping to check the connection. The only errors are
// about an invalid URL, and they quote no part of it. For project databases see Tenants.
func Open(ctx context.Context, text string, opts Options) (*pgxpool.Pool, error) {
	return (*Tenants)(nil).Open(ctx, text, opts)
}

// Connect opens a single connection to the operator's database; see Open.
func Connect(ctx context.Context, text string, opts Options) (*pgx.Conn, error) {
	return (*Tenants)(nil).Connect(ctx, text, opts)
}

// Beginner starts a transaction: a pool, a connection, or a transaction, in which it becomes a
// savepoint.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// InTx runs fn in a transaction and commits it. If fn returns an error or panics, or ctx ends, the
// transaction is rolled back. Errors of fn are returned unwrapped; others name the failed step. If
// the connection breaks during the commit, the outcome is unknown: fn must be safe to run again.
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
		// The caller's context may have ended, but the connection must still go back clean.
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
