package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/tenantdb"
)

// Control is direct access to the control database, with the encryption key. It does what the API
// must not: sign as a provider would, and create the first API key.
type Control struct {
	Pool  *pgxpool.Pool
	Store *project.Store
	// Audit records what is done with this access.
	Audit *audit.Log

	databases *tenantdb.Databases
}

// OpenControl connects to the control database; call Close at the end. It refuses a schema that
// this binary does not know.
func OpenControl(ctx context.Context, databaseURL, encryptionKey config.Secret, maxConns int, log *slog.Logger) (*Control, error) {
	keyring, err := seal.ParseKeys(encryptionKey.Reveal())
	if err != nil {
		return nil, err
	}
	pool, err := openPool(ctx, databaseURL, maxConns, nil)
	if err != nil {
		return nil, err
	}
	c := &Control{Pool: pool, Audit: &audit.Log{Database: pool, Now: time.Now}}
	tenants := &pgdb.Tenants{Control: databaseURL.Reveal()} // this is the operator, who may connect to any host
	c.databases = tenantdb.New(tenantdb.Config{URL: c.databaseURL, Tenants: tenants, Log: log})
	if err := mustBeCurrent(ctx, pool); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	c.Store, err = project.NewStore(project.Config{
		Pool: pool, Keyring: keyring, Mirror: mirror.New(mirror.Config{Databases: c.databases, Log: log}), Targets: egress.New(egress.Config{}), Tenants: tenants, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

func (c *Control) databaseURL(ctx context.Context, id uuid.UUID) (string, error) {
	return c.Store.DatabaseURL(ctx, id)
}

// Close closes all connections.
func (c *Control) Close(ctx context.Context) error {
	err := c.databases.Close(ctx)
	c.Pool.Close()
	return err
}

// tenantsOf returns how a server connects to project databases.
func tenantsOf(c config.Config) *pgdb.Tenants {
	return &pgdb.Tenants{
		Control: c.DatabaseURL.Reveal(),
		Guard:   egress.New(egress.Config{Allow: c.AllowDatabaseTargets, Setting: egress.DatabaseSetting}),
	}
}

// mustBeCurrent refuses a schema that this binary cannot work with. It accepts one that a newer
// authsync has upgraded compatibly: during an upgrade old processes may be restarted, too.
func mustBeCurrent(ctx context.Context, pool *pgxpool.Pool) error {
	state, err := schema.Inspect(ctx, pool, schema.Control)
	if err == nil {
		err = state.Refused()
	}
	switch {
	case err != nil:
		return err
	case state.UpToDate():
		return nil
	case state.Word() == "damaged":
		return fmt.Errorf("the control database is damaged (%s): run authsync migrate up, or authsync doctor, which tells more", state.Problems[0])
	default:
		return errors.New("the schema of the control database is older than this authsync, or missing: run authsync migrate up")
	}
}
