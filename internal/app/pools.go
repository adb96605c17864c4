package app

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/pgdb"
)

// The pools to the control database. Each kind of work has its own, so that none waits for
// another's connections: a slow project affects neither the receiver nor /readyz.
const (
	// receiverConns store messages: one for the current commit, one to wake the workers after it,
	// one to record rejections and usage, and one to spare.
	receiverConns = 4
	// vitalConns are for the directory and for /readyz.
	vitalConns = 2
	// managementConns are for the calls of the API.
	managementConns = 8
)

// Session settings of a pool. Users' queries and probes must not hold a lock or a connection for
// long; the receiver's and workers' statements have their own deadlines, and these end what those
// have abandoned.
func managementSession() map[string]string {
	return map[string]string{
		"statement_timeout": "15s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s",
	}
}

func vitalSession() map[string]string {
	return map[string]string{"statement_timeout": "10s", "lock_timeout": "2s", "idle_in_transaction_session_timeout": "10s"}
}

func workerSession() map[string]string {
	session := pgdb.FreshPlans()
	session["statement_timeout"] = "60s"
	session["lock_timeout"] = "20s"
	session["idle_in_transaction_session_timeout"] = "60s"
	return session
}

func receiverSession() map[string]string {
	return map[string]string{"statement_timeout": "15s", "lock_timeout": "5s", "idle_in_transaction_session_timeout": "15s"}
}

func watchSession() map[string]string {
	session := pgdb.FreshPlans()
	session["statement_timeout"] = "10s"
	session["lock_timeout"] = "5s"
	session["idle_in_transaction_session_timeout"] = "10s"
	return session
}

func openPool(ctx context.Context, url config.Secret, conns int, session map[string]string) (*pgxpool.Pool, error) {
	pool, err := pgdb.Open(ctx, url.Reveal(), pgdb.Options{MaxConns: int32(conns), RuntimeParams: session}) //nolint:gosec // config bounds it by 1000
	if err != nil {
		return nil, fmt.Errorf("DATABASE_URL: %w", err)
	}
	return pool, nil
}

// named opens a pool and adds it to the metrics.
func (a *App) named(ctx context.Context, name string, conns int, session map[string]string) (*pgxpool.Pool, error) {
	pool, err := openPool(ctx, a.settings.DatabaseURL, conns, session)
	if err != nil {
		return nil, err
	}
	a.metrics.pool(name, pool)
	return pool, nil
}
