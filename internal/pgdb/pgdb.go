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
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// connectTimeout bounds one attempt to connect where Options and URL say nothing.
const connectTimeout = 10 * time.Second

// Options adjust a pool. The zero value is good for most.
type Options struct {
	// ApplicationName is what pg_stat_activity shows; empty: "authsync".
	ApplicationName string
	// MaxConns is the most connections the pool holds; 0: what the URL says
	// (pool_max_conns), else pgx's default, the greater of 4 and the number of CPUs.
	MaxConns int32
	// MinConns are kept open even when idle.
	MinConns int32
	// MaxConnIdleTime closes a connection that was idle for so long; 0: pgx's default of 30 minutes.
	MaxConnIdleTime time.Duration
	// ConnectTimeout bounds one attempt to connect; 0: what the URL says (connect_timeout), else 10 s.
	ConnectTimeout time.Duration
	// RuntimeParams are settings of every session, such as statement_timeout.
	// They win over those of the URL.
	RuntimeParams map[string]string
}

// FreshPlans are settings for the sessions of workers. River's statements, kept by
// pgx, would else be planned once for all: in a table that is small then they read the whole
// of it, and go on to after it has grown, until autovacuum comes by. With 20,000 jobs
// that is 10 ms a job. Planning anew each time costs far less.
func FreshPlans() map[string]string {
	return map[string]string{"plan_cache_mode": "force_custom_plan"}
}

// Session is what every session of ours rests on, whatever role, database or
// URL have set: text is UTF-8, as pgx sends it; a statement sees what was committed
// before it began, so what it reads after waiting for a lock is current; a
// commit that was answered is on disk; what becomes text or is read from it (bytes, numbers, times, NULLs in arrays, names,
// backslashes) has one form; rows are not hidden, but by a policy that is forced upon us; and nothing
// ends before those who began it say so. Statements are not compiled: they are short, and where a
// function forbids a way to join, the planner takes them for long ones, and compiles for half a second.
//
// Left as they are: search_path, which some sessions need and others set; default_transaction_read_only, by which hosts
// protect a disk that is full; and where tables are put.
func Session() map[string]string {
	return map[string]string{
		"client_encoding":                     "UTF8",
		"default_transaction_isolation":       "read committed",
		"default_transaction_deferrable":      "off",
		"synchronous_commit":                  "on",
		"standard_conforming_strings":         "on",
		"DateStyle":                           "ISO, MDY",
		"IntervalStyle":                       "postgres",
		"TimeZone":                            "UTC",
		"bytea_output":                        "hex",
		"extra_float_digits":                  "1",
		"array_nulls":                         "on",
		"transform_null_equals":               "off",
		"quote_all_identifiers":               "off",
		"row_security":                        "on",
		"statement_timeout":                   "0",
		"lock_timeout":                        "0",
		"idle_in_transaction_session_timeout": "0",
		"idle_session_timeout":                "0",
		"exit_on_error":                       "off",
		"jit":                                 "off",
	}
}

// Open makes a pool for the database that url names. It does not connect: the
// first use does, so a program can start while its database is away. Call
// Ping on the pool to know at once. The only errors are those of a url that
// can't be read, and they hold no part of it.
func Open(ctx context.Context, url string, opts Options) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", Redact(err))
	}
	conn := config.ConnConfig
	switch {
	case opts.ConnectTimeout > 0:
		conn.ConnectTimeout = opts.ConnectTimeout
	case conn.ConnectTimeout == 0:
		conn.ConnectTimeout = connectTimeout
	}
	switch {
	case opts.ApplicationName != "":
		conn.RuntimeParams["application_name"] = opts.ApplicationName
	case conn.RuntimeParams["application_name"] == "":
		conn.RuntimeParams["application_name"] = "authsync"
	}
	maps.Copy(conn.RuntimeParams, Session())
	maps.Copy(conn.RuntimeParams, opts.RuntimeParams)
	if opts.MaxConns > 0 {
		config.MaxConns = opts.MaxConns
		config.MinConns = min(config.MinConns, opts.MaxConns)
	}
	if opts.MinConns > 0 {
		config.MinConns = min(opts.MinConns, config.MaxConns)
	}
	if opts.MaxConnIdleTime > 0 {
		config.MaxConnIdleTime = opts.MaxConnIdleTime
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make pool for %s: %w", SafeURL(url), Redact(err))
	}
	return pool, nil
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
