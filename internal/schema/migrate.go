package schema

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/database"
	migratepgx "github.com/golang-migrate/migrate/v4/database/pgx/v5"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	versionTable   = "schema_migrations"
	undefinedTable = "42P01" // SQLSTATE
)

type direction int

const (
	up   direction = +1
	down direction = -1
)

func (in *installer) runUp(ctx context.Context) (report Report, err error) {
	err = in.withLock(ctx, func() error {
		if err := in.createSchema(ctx); err != nil {
			return err
		}
		if report.From, err = in.checkVersion(ctx); err != nil {
			return err
		}
		if report.From < in.latest() {
			// A migration may drop a view that is in its way: all code is applied again
			// after it, even if this process ends in between.
			if err := in.forgetCode(ctx); err != nil {
				return err
			}
		}
		err := in.migrate(ctx, up, func(m *migrate.Migrate) error { return m.Up() })
		if err != nil {
			return err
		}
		if report.To, err = in.checkVersion(ctx); err != nil {
			return err
		}
		if report.RiverFrom, report.RiverTo, err = in.migrateRiver(ctx, rivermigrate.DirectionUp); err != nil {
			return err
		}
		report.CodeApplied, report.Dropped, err = in.applyCode(ctx)
		return err
	})
	return report, err
}

func (in *installer) runDown(ctx context.Context, steps int) (report Report, err error) {
	err = in.withLock(ctx, func() error {
		if report.From, err = in.checkVersion(ctx); err != nil {
			return err
		}
		if report.RiverFrom, err = in.riverVersion(ctx); err != nil {
			return err
		}
		report.To, report.RiverTo = report.From, report.RiverFrom
		if report.From == 0 {
			return nil
		}
		applied := slices.DeleteFunc(in.versions(), func(v uint) bool { return v > report.From })
		if report.Dropped, err = in.dropCode(ctx); err != nil {
			return err
		}
		if steps >= len(applied) {
			if _, report.RiverTo, err = in.migrateRiver(ctx, rivermigrate.DirectionDown); err != nil {
				return err
			}
		}
		err := in.migrate(ctx, down, func(m *migrate.Migrate) error { return m.Steps(-min(steps, len(applied))) })
		if err != nil {
			return err
		}
		report.To, err = in.checkVersion(ctx)
		return err
	})
	return report, err
}

// createSchema makes the schema if it is missing. The question comes first:
// CREATE SCHEMA IF NOT EXISTS wants the right to create even if there is nothing to do.
func (in *installer) createSchema(ctx context.Context) error {
	var exists bool
	err := in.conn.QueryRow(ctx, `SELECT to_regnamespace($1) IS NOT NULL`, in.kind.Name()).Scan(&exists)
	if err != nil {
		return fmt.Errorf("look for schema %s: %w", in.kind.Name(), err)
	}
	if exists {
		return nil
	}
	comment := "authsync: inbox, projects and jobs."
	if in.kind == Project {
		comment = "authsync: the users of the identity provider. Read it, join it; authsync alone writes to it."
	}
	name := pgx.Identifier{in.kind.Name()}.Sanitize()
	if _, err := in.conn.Exec(ctx, `CREATE SCHEMA `+name+`; COMMENT ON SCHEMA `+name+` IS '`+comment+`'`); err != nil {
		return fmt.Errorf("create schema %s: %w", in.kind.Name(), err)
	}
	return nil
}

// checkVersion returns the version of the last migration applied, 0 if none, or
// ErrDirty or ErrNewerSchema.
func (in *installer) checkVersion(ctx context.Context) (uint, error) {
	var version int64
	var dirty bool
	err := in.conn.QueryRow(ctx,
		`SELECT version, dirty FROM `+pgx.Identifier{in.kind.Name(), versionTable}.Sanitize()).Scan(&version, &dirty)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || pgdb.Code(err) == undefinedTable:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read version of schema %s: %w", in.kind.Name(), err)
	case dirty:
		return 0, in.dirtyError(uint(max(0, version)))
	case uint(max(0, version)) > in.latest():
		return 0, in.newerError(uint(max(0, version)))
	default:
		return uint(max(0, version)), nil
	}
}

// migrate runs fn with golang-migrate on a connection of its own, that library
// wanting database/sql.
func (in *installer) migrate(ctx context.Context, direction direction, fn func(*migrate.Migrate) error) (err error) {
	config, err := in.connConfig(direct)
	if err != nil {
		return err
	}
	files, err := iofs.New(in.migrations, string(in.kind))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	db := stdlib.OpenDB(*config)
	driver, err := migratepgx.WithInstance(db, &migratepgx.Config{
		DatabaseName:          config.Database,
		SchemaName:            in.kind.Name(),
		MigrationsTable:       pgx.Identifier{in.kind.Name(), versionTable}.Sanitize(),
		MigrationsTableQuoted: true,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("open migrator: %w", plain(err)), db.Close())
	}
	m, err := migrate.NewWithInstance("iofs", files, "pgx5", driver)
	if err != nil {
		return errors.Join(fmt.Errorf("open migrator: %w", err), driver.Close())
	}
	defer func() {
		sourceErr, driverErr := m.Close()
		err = errors.Join(err, sourceErr, driverErr)
	}()
	stopAsking := context.AfterFunc(ctx, func() { m.GracefulStop <- true }) // after the file that runs now
	defer stopAsking()
	err = fn(m)
	if errors.Is(err, migrate.ErrNoChange) {
		err = nil
	}
	if err != nil {
		return in.cleanUp(driver, direction, err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("migrate schema %s: %w", in.kind.Name(), context.Cause(ctx))
	}
	return nil
}

// cleanUp makes err readable and, where it is certain that nothing of the failed
// file stays, notes the version before it as clean: golang-migrate leaves the
// version dirty after any error. It is certain if the server itself reported
// the error, for it ran the file as one implicit transaction; only a file with
// CONCURRENTLY runs without one.
func (in *installer) cleanUp(driver database.Driver, direction direction, err error) error {
	err = plain(err)
	target, dirty, versionErr := driver.Version()
	if versionErr != nil || !dirty {
		return fmt.Errorf("migrate schema %s: %w", in.kind.Name(), err)
	}
	file := in.fileOf(target, direction)
	err = fmt.Errorf("migrate schema %s: %s: %w", in.kind.Name(), file.name, err)
	if pgdb.Code(err) == "" || file.concurrently() {
		return errors.Join(err, in.dirtyError(uint(max(0, target))))
	}
	if cleanErr := driver.SetVersion(file.versionBefore, false); cleanErr != nil {
		return errors.Join(err, in.dirtyError(uint(max(0, target))))
	}
	return err
}

// plain replaces golang-migrate's error, whose text is the whole file, by its cause and line.
func plain(err error) error {
	value, ok := errors.AsType[database.Error](err)
	if pointer, isPointer := errors.AsType[*database.Error](err); isPointer {
		value, ok = *pointer, true
	}
	if !ok {
		return err
	}
	if pgErr, ok := errors.AsType[*pgconn.PgError](value.OrigErr); ok && pgErr.Position > 0 && value.Line > 0 {
		return fmt.Errorf("line %d: %w", value.Line, value.OrigErr)
	}
	return value.OrigErr
}
