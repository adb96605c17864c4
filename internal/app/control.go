package app

import (
	"context"
	"errors"
	"log/slog"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
)

// Control is direct access to the control database, with the key that opens
// the credentials in it. It is for what the API must not do: sign as a provider
// would, and make the first API key.
type Control struct {
	Pool  *pgxpool.Pool
	Store *project.Store

	mirrors *mirror.Mirrors
}

// OpenControl connects to the control database; call Close in the end. It
// refuses a schema that is not the one this binary knows.
func OpenControl(ctx context.Context, databaseURL, encryptionKey config.Secret, maxConns int, log *slog.Logger) (*Control, error) {
	keyring, err := seal.ParseKeys(encryptionKey.Reveal())
	if err != nil {
		return nil, err
	}
	pool, err := openPool(ctx, databaseURL, maxConns, nil)
	if err != nil {
		return nil, err
	}
	c := &Control{Pool: pool}
	tenants := &pgdb.Tenants{Control: databaseURL.Reveal()} // the operator is at work, who may connect to any host
	c.mirrors = mirror.New(mirror.Config{Database: c.database, Tenants: tenants, Log: log})
	if err := mustBeCurrent(ctx, pool); err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	c.Store, err = project.NewStore(project.Config{
		Pool: pool, Keyring: keyring, Mirror: c.mirrors, Targets: egress.New(egress.Config{}), Tenants: tenants, Log: log,
	})
	if err != nil {
		return nil, errors.Join(err, c.Close(ctx))
	}
	return c, nil
}

func (c *Control) database(ctx context.Context, id uuid.UUID) (string, error) {
	return c.Store.DatabaseURL(ctx, id)
}

// Close closes all connections.
func (c *Control) Close(ctx context.Context) error {
	err := c.mirrors.Close(ctx)
	c.Pool.Close()
	return err
}
