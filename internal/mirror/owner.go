package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/schema"
)

// ownerLooks is how often a lane looks whether the mirror is still its project's.
const ownerLooks = 10 * time.Second

const (
	selectOwner = `SELECT o.project_id FROM capydb_auth.owner AS o`

	insertOwner = `INSERT INTO capydb_auth.owner (project_id) VALUES ($1) ON CONFLICT (is_only) DO NOTHING`

	takeOwner = `
		INSERT INTO capydb_auth.owner AS o (project_id) VALUES ($1)
		ON CONFLICT (is_only) DO UPDATE SET project_id = excluded.project_id, since = excluded.since
		WHERE o.project_id <> excluded.project_id`

	deleteOwner = `DELETE FROM capydb_auth.owner AS o WHERE o.project_id = $1`

	selectPlace = `SELECT to_regclass('authsync.projects') IS NOT NULL AS is_control, to_regclass('capydb_auth.owner') IS NOT NULL AS is_ours`
)

// database is a pool or a connection.
type database interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Install creates the mirror in a project database, or upgrades it, and makes it the
// project's. It is repeatable and safe to run from several processes at once. A database
// that is another's is not touched: the error is project.ErrControlDatabase, or
// *project.OwnedError unless takeOver says that another project's mirror is meant.
// Others are fit for the person who gave the URL: they say what is wrong with it and
// what to do.
func (m *Mirrors) Install(ctx context.Context, databaseURL string, projectID uuid.UUID, takeOver bool) error {
	conn, err := connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	if err := mayBeOf(ctx, conn, projectID, takeOver); err != nil {
		return err
	}
	if _, err := schema.Up(ctx, databaseURL, schema.Project, schema.Options{Logger: m.config.Log.With(slog.String("project_id", projectID.String()))}); err != nil {
		return err
	}
	if !takeOver {
		return own(ctx, conn, projectID)
	}
	if _, err := conn.Exec(ctx, takeOwner, projectID); err != nil {
		return fmt.Errorf("take the mirror over: %w", err)
	}
	return nil
}

// Release lets the next project have the mirror, if it is this project's.
func (m *Mirrors) Release(ctx context.Context, databaseURL string, projectID uuid.UUID) error {
	conn, err := connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	place, err := placeOf(ctx, conn)
	if err != nil || !place.IsOurs {
		return err
	}
	if _, err := conn.Exec(ctx, deleteOwner, projectID); err != nil {
		return fmt.Errorf("release the mirror: %w", err)
	}
	return nil
}

func connect(ctx context.Context, databaseURL string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", pgdb.Redact(err))
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	maps.Copy(config.RuntimeParams, pgdb.Session())
	config.RuntimeParams["application_name"] = "authsync mirror"
	config.RuntimeParams["search_path"] = "pg_catalog, pg_temp"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the project database: %w", err)
	}
	return conn, nil
}

func disconnect(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // nothing is open on it
}

// place is what a database is, before anything is done to it.
type place struct{ IsControl, IsOurs bool }

func placeOf(ctx context.Context, db database) (place, error) {
	rows, err := db.Query(ctx, selectPlace)
	if err != nil {
		return place{}, fmt.Errorf("look what the database is: %w", err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[place])
	if err != nil {
		return place{}, fmt.Errorf("look what the database is: %w", err)
	}
	return p, nil
}

// mayBeOf refuses a database that is another's, before it is touched.
func mayBeOf(ctx context.Context, db database, projectID uuid.UUID, takeOver bool) error {
	p, err := placeOf(ctx, db)
	switch {
	case err != nil:
		return err
	case p.IsControl:
		return project.ErrControlDatabase
	case !p.IsOurs || takeOver:
		return nil
	}
	_, err = hasOwner(ctx, db, projectID)
	return err
}

// hasOwner tells whether the mirror is the project's; if not, it is nobody's. The
// error is *project.OwnedError if it is another's.
func hasOwner(ctx context.Context, db database, projectID uuid.UUID) (bool, error) {
	rows, err := db.Query(ctx, selectOwner)
	if err != nil {
		return false, fmt.Errorf("look whose the mirror is: %w", err)
	}
	owner, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[uuid.UUID])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look whose the mirror is: %w", err)
	case owner != projectID:
		return false, &project.OwnedError{Owner: owner}
	}
	return true, nil
}

// own makes the mirror the project's, if it is nobody's. The error is
// *project.OwnedError if it is another's.
func own(ctx context.Context, db database, projectID uuid.UUID) error {
	has, err := hasOwner(ctx, db, projectID)
	if err != nil || has {
		return err
	}
	if _, err := db.Exec(ctx, insertOwner, projectID); err != nil {
		return fmt.Errorf("make the mirror the project's: %w", err)
	}
	_, err = hasOwner(ctx, db, projectID) // somebody may have been faster
	return err
}
