package project

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
)

// maxIdentifier is NAMEDATALEN - 1: PostgreSQL silently truncates longer names.
const maxIdentifier = 63

// managed is a database that authsync creates for a project on the control server, with a role that
// owns it and has no other rights: code acting for a project must not be able to reach the control
// database.
type managed struct {
	role, password string
	temporary      string // its name until the project exists
}

// createWithDatabase creates a project and a database with its mirror on the control server. CREATE DATABASE
// cannot run in a transaction, but renaming can: the database is created under a temporary name and
// renamed in the transaction that creates the project.
func (s *Store) createWithDatabase(ctx context.Context, c creation) (p Project, err error) {
	control := s.pool.Config().ConnConfig
	unique := strings.ToLower(rand.Text()[:12])
	m := managed{
		role: databaseName(control.Database, c.Name+"_"+unique), password: rand.Text(),
		temporary: databaseName(control.Database, "new_"+unique),
	}
	defer func() {
		if err != nil {
			s.dropManaged(ctx, m)
		}
	}()
	if err := s.makeManaged(ctx, m, control.User); err != nil {
		return Project{}, err
	}
	id := uuid.New()
	if err := s.install(ctx, pgdb.ManagedURL(m.role, m.password, m.temporary), id, false); err != nil {
		return Project{}, err
	}
	name := databaseName(control.Database, c.Name)
	err = pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		p, err = s.insert(ctx, tx, c, id, pgdb.ManagedURL(m.role, m.password, name))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "ALTER DATABASE "+quote(m.temporary)+" RENAME TO "+quote(name))
		switch {
		case pgdb.Code(err) == pgerrcode.DuplicateDatabase:
			return fmt.Errorf("%w: %s. Set database_url to use it, or drop or rename it", ErrDatabaseExists, quote(name))
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

// makeManaged creates the role and database and checks that the role can connect.
func (s *Store) makeManaged(ctx context.Context, m managed, controlRole string) error {
	verifier, err := scramVerifier(m.password)
	if err != nil {
		return err
	}
	for _, statement := range []string{
		// The server may log the statement, so it contains no password.
		"CREATE ROLE " + quote(m.role) + " LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD '" + verifier + "'",
		// Allows us to give it the database, and to rename and drop that.
		"GRANT " + quote(m.role) + " TO CURRENT_USER",
		// template0 has no sessions that could block, and accepts any encoding.
		"CREATE DATABASE " + quote(m.temporary) + " TEMPLATE template0 ENCODING 'UTF8' OWNER " + quote(m.role),
		"REVOKE ALL ON DATABASE " + quote(m.temporary) + " FROM PUBLIC",
	} {
		if _, err := s.pool.Exec(ctx, statement); err != nil {
			return createError(err, controlRole)
		}
	}
	conn, err := s.tenants.Connect(ctx, pgdb.ManagedURL(m.role, m.password, m.temporary), pgdb.Options{ApplicationName: "authsync"})
	if err != nil {
		return fault.Wrap(fault.DatabaseUnusable, err, "the control server does not let the role of the project's database log in: allow password authentication there (pg_hba.conf), "+
			"or set database_url. "+pgdb.Describe(err))
	}
	return conn.Close(ctx)
}

// dropManaged removes what was created for a project that could not be created. Missing parts are
// not an error.
func (s *Store) dropManaged(ctx context.Context, m managed) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + quote(m.temporary),
		"DROP ROLE IF EXISTS " + quote(m.role),
	} {
		if _, err := s.pool.Exec(ctx, statement); err != nil {
			s.log.WarnContext(ctx, "empty_database_left", slog.String("database", m.temporary), slog.String("role", m.role), slog.Any("error", err))
			return
		}
	}
}

func createError(err error, role string) error {
	if pgdb.Code(err) == pgerrcode.InsufficientPrivilege {
		return fault.Wrap(fault.DatabaseUnusable, err, fmt.Sprintf("the role %s may not create databases and roles on the control server: "+
			"run ALTER ROLE %s CREATEDB CREATEROLE there as an administrator, or set database_url", quote(role), quote(role)))
	}
	return fmt.Errorf("create the project's database: %w", err)
}

// scramVerifier returns what PostgreSQL stores for a password (RFC 5802, as in
// pg_authid.rolpassword). A password of letters and digits needs no SASLprep.
func scramVerifier(password string) (string, error) {
	const rounds = 4096 // PostgreSQL's default
	salt := make([]byte, 16)
	_, _ = rand.Read(salt) // never fails: crypto/rand aborts the program instead
	salted, err := pbkdf2.Key(sha256.New, password, salt, rounds, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("make the role's password: %w", err)
	}
	sign := func(text string) []byte {
		mac := hmac.New(sha256.New, salted)
		mac.Write([]byte(text))
		return mac.Sum(nil)
	}
	stored := sha256.Sum256(sign("Client Key"))
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", rounds, encode(salt), encode(stored[:]), encode(sign("Server Key"))), nil
}

// databaseName names a project's database after the control database, so that two installations on
// one server do not collide. Long names end in a hash.
func databaseName(control, project string) string {
	name := control + "_" + project
	if len(name) <= maxIdentifier {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	tail := "_" + hex.EncodeToString(sum[:4])
	return strings.ToValidUTF8(name[:maxIdentifier-len(tail)], "") + tail
}
