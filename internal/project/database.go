package project

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
)

// maxIdentifier is NAMEDATALEN - 1: PostgreSQL cuts longer names silently.
const maxIdentifier = 63

// releaseTimeout bounds how long the deletion of a project waits for its database.
const releaseTimeout = 5 * time.Second

// createWithDatabase makes a project and a database for it on the control
// server. CREATE DATABASE cannot share a transaction with anything, but
// renaming can: the database is made under a name that nobody uses, and gets
// its own in the transaction that makes the project.
func (s *Store) createWithDatabase(ctx context.Context, project string) (p Project, err error) {
	control := s.pool.Config().ConnConfig
	temporary := quote(databaseName(control.Database, "new_"+strings.ToLower(rand.Text()[:12])))
	name := databaseName(control.Database, project)

	// template0 has no sessions that could be in the way, and takes any encoding.
	if _, err := s.pool.Exec(ctx, "CREATE DATABASE "+temporary+" TEMPLATE template0 ENCODING 'UTF8'"); err != nil {
		return Project{}, createError(err, control.User)
	}
	defer func() {
		if err == nil {
			return
		}
		dropCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if _, e := s.pool.Exec(dropCtx, "DROP DATABASE IF EXISTS "+temporary); e != nil {
			s.log.WarnContext(ctx, "empty_database_left", slog.String("database", temporary), slog.Any("error", e))
		}
	}()

	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err = s.insert(ctx, tx, uuid.New(), project, replaceDatabase(control.ConnString(), name))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "ALTER DATABASE "+temporary+" RENAME TO "+quote(name))
		switch {
		case pgdb.Code(err) == pgerrcode.DuplicateDatabase:
			return fmt.Errorf("%w: %s. Give its connection URL as database_url to use it, or drop or rename it", ErrDatabaseExists, quote(name))
		case err != nil:
			return fmt.Errorf("name the project's database: %w", err)
		}
		return nil
	})
	if err != nil {
		return Project{}, err
	}
	return p, nil
}

func createError(err error, role string) error {
	if pgdb.Code(err) == pgerrcode.InsufficientPrivilege {
		return &DatabaseError{
			Detail: fmt.Sprintf("the role %s may not create databases on the control server: "+
				"run ALTER ROLE %s CREATEDB there as an administrator, or give database_url", quote(role), quote(role)),
			Err: err,
		}
	}
	return fmt.Errorf("create the project's database: %w", err)
}

// install makes sure that the mirror is in a project's database, and is the project's.
func (s *Store) install(ctx context.Context, databaseURL string, projectID uuid.UUID, takeOver bool) error {
	err := s.mirror.Install(ctx, databaseURL, projectID, takeOver)
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if errors.Is(err, ErrControlDatabase) {
		return &DatabaseError{Err: err, Detail: fmt.Sprintf("database %s: %v, where projects and credentials are kept: "+
			"give the database that the project's application uses", pgdb.SafeURL(databaseURL), err)}
	}
	if owned, is := errors.AsType[*OwnedError](err); is {
		return &DatabaseError{Err: err, Detail: fmt.Sprintf("database %s: %s", pgdb.SafeURL(databaseURL), s.ownedBy(ctx, owned.Owner))}
	}
	if schema.NeedsPerson(err) {
		return &DatabaseError{Err: err, Detail: fmt.Sprintf("database %s: %v", pgdb.SafeURL(databaseURL), err)}
	}
	config, parseErr := pgx.ParseConfig(databaseURL)
	if parseErr != nil {
		return invalid("database_url is %v", pgdb.Redact(parseErr))
	}
	err = pgdb.Redact(err)
	var detail string
	switch code := pgdb.Code(err); {
	case pgerrcode.IsInvalidAuthorizationSpecification(code):
		detail = "the server refuses the user or the password: correct database_url"
	case code == pgerrcode.InvalidCatalogName:
		detail = "the server has no such database: create it, or correct database_url"
	case code == pgerrcode.InsufficientPrivilege:
		detail = fmt.Sprintf("the role lacks a right: run GRANT CREATE, CONNECT ON DATABASE %s TO %s there; "+
			"if schema capydb_auth belongs to another role, connect as that one", quote(config.Database), quote(config.User))
	case pgdb.Unavailable(err):
		detail = "the server cannot be reached or cannot serve now: check host, port and firewall, then try again"
	default:
		detail = "the mirror could not be put there"
	}
	return &DatabaseError{Detail: fmt.Sprintf("database %s: %s (%v)", pgdb.SafeURL(databaseURL), detail, err), Err: err}
}

// ownedBy says whose a mirror is, and what to do. A project of which this
// installation does not know may be another's.
func (s *Store) ownedBy(ctx context.Context, owner uuid.UUID) string {
	const because = "Two projects in one mirror would mix their users"
	if p, err := s.FindProject(ctx, owner.String()); err == nil {
		return fmt.Sprintf("the mirror there belongs to project %s. %s: give this one a database of its own, or delete project %[1]s first; "+
			"if that one has moved to another database, take the mirror over (--take-over, \"take_over\": true)", p.Name, because)
	}
	return fmt.Sprintf("the mirror there belongs to project %s, of which this authsync does not know: another installation may be writing to it. "+
		"%s: give a database of its own; or, if that project is gone for good or this is a copy of its database, take the mirror over "+
		"(--take-over, \"take_over\": true)", owner, because)
}

// release gives a mirror free that the project does not have any more. Where that is
// not possible, whoever has it next must say that it is to be taken over.
func (s *Store) release(ctx context.Context, databaseURL string, projectID uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.mirror.Release(ctx, databaseURL, projectID); err != nil {
		s.log.WarnContext(ctx, "mirror_not_released", slog.String("project_id", projectID.String()), slog.Any("error", pgdb.Redact(err)))
	}
}

// databaseName names a project's database after the control database, so that
// two installations on one server do not meet. What is too long ends in a hash.
func databaseName(control, project string) string {
	name := control + "_" + project
	if len(name) <= maxIdentifier {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	tail := "_" + hex.EncodeToString(sum[:4])
	return strings.ToValidUTF8(name[:maxIdentifier-len(tail)], "") + tail
}

// replaceDatabase gives the connection string of another database on the same
// server: a URL, or the keyword/value form, in which the last dbname counts.
// Settings of the pool stay behind: they are the control database's.
func replaceDatabase(connString, name string) string {
	u, err := url.Parse(connString)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return connString + " dbname='" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(name) + "'"
	}
	query := u.Query()
	for key := range query {
		if strings.HasPrefix(key, "pool_") || key == "dbname" || key == "database" {
			query.Del(key)
		}
	}
	u.Path, u.RawPath = "/"+name, ""
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // psql takes + for itself
	return u.String()
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
