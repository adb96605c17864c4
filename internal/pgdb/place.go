package pgdb

import (
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// ErrControlDatabase reports that a database is the control database of an authsync installation.
var ErrControlDatabase = errors.New("this is authsync's own database")

// Errors of a database that is to become a clone of a project's.
var (
	// ErrSourceDatabase means that it is the project's own.
	ErrSourceDatabase = errors.New("it is the database of the project that is to be cloned")
	// ErrMirrorNotEmpty means that it has a mirror with records that are not a clone's.
	ErrMirrorNotEmpty = errors.New("it has a mirror with records already")
)

// OwnedError reports that a database holds the mirror of another project.
type OwnedError struct{ Owner uuid.UUID }

func (e *OwnedError) Error() string {
	return fmt.Sprintf("the mirror in this database belongs to another project (%s): one of the two must use a different database", e.Owner)
}

// OwnerMark is the comment on column capydb_auth.owner.project_id, which records the project that
// owns the mirror. Every role can read comments, so even a role without access to the mirror gets
// the owner's id.
func OwnerMark(projectID uuid.UUID) string { return ownerMark + projectID.String() }

const ownerMark = "The project whose mirror this is: "

// isControl and ownerComment classify a database by its catalog, which every role can read: whether
// it is a control database, and which project owns its mirror.
const (
	isControl = `(EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		WHERE n.nspname = 'authsync' AND c.relname = 'projects'))::text`

	ownerComment = `coalesce((SELECT d.description FROM pg_catalog.pg_class AS c
		JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
		JOIN pg_catalog.pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'project_id'
		JOIN pg_catalog.pg_description AS d ON d.objoid = c.oid AND d.objsubid = a.attnum AND d.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
		WHERE n.nspname = 'capydb_auth' AND c.relname = 'owner'), '')`
)

// mayUse refuses a database that must not serve the project in the options.
func (o Options) mayUse(isControl bool, comment string) error {
	if isControl {
		return ErrControlDatabase
	}
	text, marked := strings.CutPrefix(comment, ownerMark)
	owner, err := uuid.Parse(text)
	if marked && err == nil && o.Project != uuid.Nil && owner != o.Project {
		return &OwnedError{Owner: owner}
	}
	return nil
}
