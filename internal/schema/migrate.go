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
		lost, err := in.prepare(ctx)
		if err != nil {
			return err
		}
		if report.From, err = in.checkVersion(ctx); err != nil {
			return err
		}
		if report.From, err = in.restoreVersion(ctx, report.From); err != nil {
			return err
		}
		if report.To = report.From; report.From > in.latest() {
			return in.applyCode(ctx, &report) // finds nothing to do, or reports who can do it
		}
		if err := in.migrateUp(ctx, &report, lost); err != nil {
			return err
		}
		if report.RiverFrom, report.RiverTo, err = in.migrateRiver(ctx, rivermigrate.DirectionUp); err != nil {
			return err
		}
		return in.applyCode(ctx, &report)
	})
	return report, err
}

// migrateUp runs the pending migrations and records what they created.
func (in *installer) migrateUp(ctx context.Context, report *Report, lost bool) error {
	if lost { // the tables are ours, because our version table has a version
		if err := in.recordTables(ctx, definitions{}, report.From); err != nil {
			return err
		}
	}
	if err := in.repairTables(ctx, report); err != nil {
		return err
	}
	before, err := in.mayMigrate(ctx, report.From)
	if err != nil {
		return err
	}
	if report.From < in.latest() {
		if err := in.announce(ctx); err != nil {
			return err
		}
		if err := in.migrate(ctx, up, func(m *migrate.Migrate) error { return m.Up() }); err != nil {
			return err
		}
		if report.To, err = in.checkVersion(ctx); err != nil {
			return err
		}
	}
	return in.recordTables(ctx, before, report.To)
}

// mayMigrate checks that nothing conflicts with the pending migrations. It returns the current
// schema.
func (in *installer) mayMigrate(ctx context.Context, version uint) (before definitions, err error) {
	err = pgdb.InTx(ctx, in.conn, func(tx pgx.Tx) error {
		if before, err = in.readCatalog(ctx, tx); err != nil {
			return err
		}
		record, err := in.record(ctx, tx)
		if err != nil {
			return err
		}
		foreign, err := in.taken(ctx, tx, record, version)
		if err == nil && len(foreign) > 0 {
			err = in.foreignError(foreign)
		}
		return err
	})
	return before, err
}

// restoreVersion records the version again if golang-migrate's table was emptied or dropped;
// schema_code has a copy.
func (in *installer) restoreVersion(ctx context.Context, version uint) (uint, error) {
	if version > 0 {
		return version, nil
	}
	var noted int64
	err := in.conn.QueryRow(ctx, `SELECT coalesce(max(c.version), 0) FROM `+in.quoted("schema_code")+` AS c`).Scan(&noted)
	if err != nil {
		return 0, fmt.Errorf("read table schema_code: %w", err)
	}
	if noted == 0 {
		return 0, nil
	}
	_, err = in.conn.Exec(ctx, `INSERT INTO `+in.quoted(versionTable)+` (version, dirty) VALUES ($1, false)`, noted)
	if err != nil {
		return 0, fmt.Errorf("record the version again: %w", err)
	}
	return uint(max(0, noted)), nil
}

func (in *installer) runDown(ctx context.Context, steps int) (report Report, err error) {
	err = in.withLock(ctx, func() error {
		if report.From, err = in.checkVersion(ctx); err != nil {
			return err
		}
		if report.From > in.latest() {
			return in.downError(report.From)
		}
		if report.RiverFrom, err = in.riverVersion(ctx); err != nil {
			return err
		}
		report.To, report.RiverTo = report.From, report.RiverFrom
		if report.From == 0 {
			return nil
		}
		lost, err := in.prepare(ctx)
		if err == nil && lost {
			err = in.recordTables(ctx, definitions{}, report.From)
		}
		if err != nil {
			return err
		}
		if report.Dropped, err = in.dropCode(ctx); err != nil {
			return err
		}
		if err = in.migrateDown(ctx, &report, steps); err != nil && report.To == in.latest() {
			// Nothing was reverted, so the dropped code is still needed.
			err = errors.Join(err, in.applyCode(context.WithoutCancel(ctx), &report))
		}
		return err
	})
	return report, err
}

func (in *installer) migrateDown(ctx context.Context, report *Report, steps int) error {
	applied := slices.DeleteFunc(in.versions(), func(v uint) bool { return v > report.From })
	before, err := in.catalog(ctx)
	if err != nil {
		return err
	}
	if steps >= len(applied) {
		if _, report.RiverTo, err = in.migrateRiver(ctx, rivermigrate.DirectionDown); err != nil {
			return err
		}
	}
	err = in.migrate(ctx, down, func(m *migrate.Migrate) error { return m.Steps(-min(steps, len(applied))) })
	return errors.Join(err, in.wentDown(ctx, before, report))
}

// wentDown records the remaining migrations, also after a failure.
func (in *installer) wentDown(ctx context.Context, before definitions, report *Report) (err error) {
	if report.To, err = in.checkVersion(ctx); err != nil {
		return err
	}
	if report.To > 0 {
		_, err = in.conn.Exec(ctx, `UPDATE `+in.quoted("schema_code")+` SET version = $1, min_version = least(min_version, $1)`, report.To)
		if err != nil {
			return fmt.Errorf("record the version: %w", err)
		}
		return in.recordTables(ctx, before, report.To)
	}
	if _, err := in.conn.Exec(ctx, `DROP TABLE `+in.quoted("schema_objects")+`, `+in.quoted("schema_code")); err != nil {
		return fmt.Errorf("drop the record: %w", err)
	}
	return nil
}

// checkVersion returns the version of the last applied migration, 0 if none, or ErrDirty.
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
	default:
		return uint(max(0, version)), nil
	}
}

// migrate runs fn with golang-migrate on a separate connection, because that library needs
// database/sql.
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
	stopAsking := context.AfterFunc(ctx, func() { m.GracefulStop <- true }) // after the current file
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

// cleanUp makes err readable and, if the failed file certainly left nothing behind, sets the
// version before it as clean: golang-migrate leaves the version dirty after any error. It is
// certain if the server itself reported the error, because the file ran as one implicit
// transaction; only files with CONCURRENTLY run without one.
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

// plain replaces golang-migrate's error, whose text is the whole file, with the cause and line.
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
