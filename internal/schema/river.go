package schema

import (
	"context"
	"fmt"
	"log/slog"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/authsync/authsync/internal/pgdb"
)

// newRiver returns River's migrator; pool may be nil for questions about the binary.
func newRiver(pool *pgxpool.Pool) (*rivermigrate.Migrator[pgx.Tx], error) {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{
		Schema: Control.Name(),
		Logger: slog.New(slog.DiscardHandler), // the result reports what it did
	})
	if err != nil {
		return nil, fmt.Errorf("open River's migrator: %w", err)
	}
	return m, nil
}

// latestRiver returns the newest River migration in this binary; 0 for a project database, which
// has none.
func latestRiver(kind Kind) int {
	if kind != Control {
		return 0
	}
	return newestRiver()
}

// newestRiver reads all of River's migrations, once.
var newestRiver = sync.OnceValue(func() int { //nolint:gochecknoglobals // constant
	m, err := newRiver(nil)
	if err != nil {
		return 0
	}
	all := m.AllVersions()
	return all[len(all)-1].Version
})

// minRiver is the version of River's tables that a binary must know to work with the tables of this
// one. River's older clients work on newer tables unless River's migration notes say otherwise;
// raise it when they do.
func minRiver(kind Kind) int {
	if kind != Control {
		return 0
	}
	return 6
}

// migrateRiver migrates River's tables to the newest version, or removes them. Each migration is a
// transaction.
func (in *installer) migrateRiver(ctx context.Context, direction rivermigrate.Direction) (from, to int, err error) {
	if in.kind != Control {
		return 0, 0, nil
	}
	if from, err = in.riverVersion(ctx); err != nil {
		return 0, 0, err
	}
	if from > latestRiver(in.kind) { // a newer authsync upgraded them, compatibly
		return from, from, nil
	}
	pool, err := in.pool(ctx)
	if err != nil {
		return from, from, err
	}
	defer pool.Close()
	m, err := newRiver(pool)
	if err != nil {
		return from, from, err
	}
	opts := &rivermigrate.MigrateOpts{}
	if direction == rivermigrate.DirectionDown {
		opts.TargetVersion = -1
	}
	if _, err := m.Migrate(ctx, direction, opts); err != nil {
		return from, from, fmt.Errorf("migrate River's tables: %w", err)
	}
	to, err = in.riverVersion(ctx)
	return from, to, err
}

func (in *installer) pool(ctx context.Context) (*pgxpool.Pool, error) {
	return in.opts.Tenants.Open(ctx, in.url, in.options(direct))
}

// riverVersion returns the version of River's tables, 0 if there are none.
func (in *installer) riverVersion(ctx context.Context) (int, error) {
	if in.kind != Control {
		return 0, nil
	}
	var version int
	err := in.conn.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM authsync.river_migration WHERE line = 'main'`).Scan(&version)
	if pgdb.Code(err) == undefinedTable {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read version of River's tables: %w", err)
	}
	return version, nil
}
