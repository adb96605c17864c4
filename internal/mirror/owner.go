package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
	"github.com/authsync/authsync/internal/tenantdb"
)

// ownerLooks is how often the mirror is checked to be still the project's.
const ownerLooks = 10 * time.Second

const (
	selectOwner = `
		SELECT o.project_id,
			coalesce(col_description('capydb_auth.owner'::regclass, a.attnum), '') AS mark
		FROM capydb_auth.owner AS o
		JOIN pg_attribute AS a ON a.attrelid = 'capydb_auth.owner'::regclass AND a.attname = 'project_id'`

	insertOwner = `INSERT INTO capydb_auth.owner (project_id) VALUES ($1) ON CONFLICT (singleton) DO NOTHING`

	takeOwner = `
		INSERT INTO capydb_auth.owner AS o (project_id) VALUES ($1)
		ON CONFLICT (singleton) DO UPDATE SET project_id = excluded.project_id, since = excluded.since
		WHERE o.project_id <> excluded.project_id`

	deleteOwner = `DELETE FROM capydb_auth.owner AS o WHERE o.project_id = $1`

	// Unlike to_regclass, it takes no right to the schemas: whoever lacks one is told by schema.Up whose they are.
	selectContents = `
		SELECT coalesce(bool_or(n.nspname = 'authsync' AND c.relname = 'projects'), false) AS is_control,
			coalesce(bool_or(n.nspname = 'capydb_auth' AND c.relname = 'owner'), false) AS is_ours
		FROM pg_namespace AS n
		JOIN pg_class AS c ON c.relnamespace = n.oid
		WHERE n.nspname IN ('authsync', 'capydb_auth') AND c.relname IN ('projects', 'owner')`
)

// database is a pool or a connection.
type database interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Install creates the mirror in a project database, or upgrades it, and makes it the
// project's. It is repeatable and safe to run from several processes at once. A database
// that is another's is not touched: the error is pgdb.ErrControlDatabase, or
// *pgdb.OwnedError unless adopt allows another project's mirror.
// Others are fit for the person who gave the URL: they say what is wrong with it and
// what to do. A database that does not answer ends it, see Config.SetupTimeout.
func (m *Mirrors) Install(ctx context.Context, databaseURL string, projectID uuid.UUID, adopt bool) error {
	ctx, cancel := context.WithTimeout(ctx, m.config.SetupTimeout)
	defer cancel()
	owner := projectID
	if adopt {
		owner = uuid.Nil
	}
	conn, err := m.connect(ctx, databaseURL, owner)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	if err := mayBeOf(ctx, conn, projectID, adopt); err != nil {
		return err
	}
	options := schema.Options{
		Tenants: m.config.Databases.Tenants(), Project: owner, Logger: m.config.Log.With(slog.String("project_id", projectID.String())),
	}
	if _, err := schema.Up(ctx, databaseURL, schema.Project, options); err != nil {
		return err
	}
	if !adopt {
		return own(ctx, conn, projectID)
	}
	if _, err := conn.Exec(ctx, takeOwner, projectID); err != nil {
		return fmt.Errorf("take the mirror over: %w", err)
	}
	return mark(ctx, conn, projectID)
}

// Release lets the next project have the mirror, if it is this project's.
func (m *Mirrors) Release(ctx context.Context, databaseURL string, projectID uuid.UUID) error {
	conn, err := m.connect(ctx, databaseURL, uuid.Nil)
	if err != nil {
		return err
	}
	defer disconnect(ctx, conn)
	found, err := contentsOf(ctx, conn)
	if err != nil || !found.IsOurs {
		return err
	}
	tag, err := conn.Exec(ctx, deleteOwner, projectID)
	if err != nil {
		return fmt.Errorf("release the mirror: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	return mark(ctx, conn, uuid.Nil)
}

// mark has the catalog say whose the mirror is, for those who may not read it; see
// pgdb.OwnerMark. A role that does not own the table cannot, and goes without.
func mark(ctx context.Context, db database, owner uuid.UUID) error {
	text := "The id of the project in the control database."
	if owner != uuid.Nil {
		text = pgdb.OwnerMark(owner)
	}
	_, err := db.Exec(ctx, `COMMENT ON COLUMN capydb_auth.owner.project_id IS '`+text+`'`)
	if err != nil && pgdb.Code(err) != pgerrcode.InsufficientPrivilege {
		return fmt.Errorf("mark whose the mirror is: %w", err)
	}
	return nil
}

func (m *Mirrors) connect(ctx context.Context, databaseURL string, projectID uuid.UUID) (*pgx.Conn, error) {
	conn, err := m.config.Databases.Tenants().Connect(ctx, databaseURL, pgdb.Options{
		ApplicationName: "authsync mirror", ConnectTimeout: tenantdb.ConnectTimeout, Project: projectID,
	})
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

// contents is what a database holds before anything is done to it.
type contents struct{ IsControl, IsOurs bool }

func contentsOf(ctx context.Context, db database) (contents, error) {
	rows, err := db.Query(ctx, selectContents)
	if err != nil {
		return contents{}, fmt.Errorf("look what the database is: %w", err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[contents])
	if err != nil {
		return contents{}, fmt.Errorf("look what the database is: %w", err)
	}
	return p, nil
}

// mayBeOf refuses a database that is another's, before it is touched.
func mayBeOf(ctx context.Context, db database, projectID uuid.UUID, adopt bool) error {
	found, err := contentsOf(ctx, db)
	switch {
	case err != nil:
		return err
	case found.IsControl:
		return pgdb.ErrControlDatabase
	case !found.IsOurs || adopt:
		return nil
	}
	_, err = hasOwner(ctx, db, projectID)
	return err
}

// hasOwner tells whether the mirror is the project's; if not, it is nobody's. The
// error is *pgdb.OwnedError if it is another's.
func hasOwner(ctx context.Context, db database, projectID uuid.UUID) (bool, error) {
	rows, err := db.Query(ctx, selectOwner)
	if err != nil {
		return false, fmt.Errorf("look whose the mirror is: %w", err)
	}
	owner, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[ownerRow])
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("look whose the mirror is: %w", err)
	case owner.ProjectID != projectID:
		return false, &pgdb.OwnedError{Owner: owner.ProjectID}
	case owner.Mark != pgdb.OwnerMark(projectID):
		return true, mark(ctx, db, projectID)
	}
	return true, nil
}

type ownerRow struct {
	ProjectID uuid.UUID
	Mark      string
}

// own makes the mirror the project's, if it is nobody's. The error is
// *pgdb.OwnedError if it is another's.
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
