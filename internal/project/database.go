package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/schema"
)

// releaseTimeout limits how long deleting a project waits for its database.
const releaseTimeout = 5 * time.Second

// install ensures that the mirror is installed in a project's database and belongs to the project.
func (s *Store) install(ctx context.Context, databaseURL string, projectID uuid.UUID, adopt bool) error {
	return s.databaseError(ctx, databaseURL, s.mirror.Install(ctx, databaseURL, projectID, adopt))
}

// databaseError makes an error of a project's database one for the person who gave its URL.
func (s *Store) databaseError(ctx context.Context, databaseURL string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	shown := s.tenants.SafeURL(databaseURL)
	if owned, is := errors.AsType[*pgdb.OwnedError](err); is {
		return fault.Wrap(fault.DatabaseUnusable, err, fmt.Sprintf("database %s: %s", shown, s.ownedBy(ctx, owned.Owner)))
	}
	if _, is := errors.AsType[*pgdb.URLError](err); is {
		return invalid("%v", err)
	}
	if schema.NeedsPerson(err) {
		return fault.Wrap(fault.DatabaseUnusable, err, fmt.Sprintf("database %s: %v", shown, err))
	}
	if pgdb.Code(err) == pgerrcode.InsufficientPrivilege && s.tenants.IsControl(databaseURL) {
		err = pgdb.ErrControlDatabase // do not suggest granting a role access to it
	}
	detail := pgdb.Describe(err)
	switch {
	case errors.Is(err, pgdb.ErrSourceDatabase):
		detail = "this is the database of the project that is to be cloned: give another one"
	case errors.Is(err, pgdb.ErrMirrorNotEmpty):
		detail = "there is a mirror with records already, which is no clone of this project: give an empty database; or, if it is a copy of the " +
			"project's database or a mirror that is not needed any more, have it become the clone (--adopt, \"adopt\": true), which removes from it what " +
			"the project does not have"
	case pgdb.Code(err) == pgerrcode.InsufficientPrivilege && !pgdb.Connecting(err):
		config, parseErr := s.tenants.ConnConfig(databaseURL, pgdb.Options{})
		if parseErr != nil {
			return invalid("%v", parseErr)
		}
		detail = fmt.Sprintf("the role lacks a right: run GRANT CREATE, CONNECT ON DATABASE %s TO %s there; "+
			"if schema capydb_auth belongs to another role, connect as that one (%s)", quote(config.Database), quote(config.User), detail)
	case !pgdb.Unavailable(err) && !pgdb.Connecting(err) && !errors.Is(err, pgdb.ErrControlDatabase):
		detail = "the mirror could not be installed there: " + pgdb.Cut(pgdb.Redact(err).Error())
	}
	return fault.Wrap(fault.DatabaseUnusable, err, fmt.Sprintf("database %s: %s", shown, detail))
}

// ownedBy says which project owns a mirror, and what to do. An unknown project may belong to
// another installation.
func (s *Store) ownedBy(ctx context.Context, owner uuid.UUID) string {
	const because = "Two projects in one mirror would mix their users"
	if p, err := s.FindProject(ctx, owner.String()); err == nil {
		return fmt.Sprintf("the mirror there belongs to project %s. %s: use a different database, or delete project %[1]s first; "+
			"if that project has moved to another database, take the mirror over (--adopt, \"adopt\": true)", p.Name, because)
	}
	return fmt.Sprintf("the mirror there belongs to project %s, which this authsync does not know: another installation may be writing to it. "+
		"%s: use a different database; or, if that project no longer exists or this is a copy of its database, take the mirror over "+
		"(--adopt, \"adopt\": true)", owner, because)
}

// release gives up ownership of a mirror that the project no longer uses. If that fails, the next
// project must adopt it.
func (s *Store) release(ctx context.Context, databaseURL string, projectID uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
	defer cancel()
	if err := s.mirror.Release(ctx, databaseURL, projectID); err != nil {
		s.log.WarnContext(ctx, "mirror_not_released", slog.String("project_id", projectID.String()), slog.Any("error", pgdb.Redact(err)))
	}
}

func quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }
