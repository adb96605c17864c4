package pgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"
)

// Redact returns err such that its text holds no part of a connection string.
// Errors of parsing one lose their text and become ErrBadURL, or name the file
// that could not be read (sslrootcert and the like): pgx masks passwords in them
// as well as it can, which with malformed input is not always. All other errors
// come back as they are: those of connecting name host, user and database,
// never the password.
func Redact(err error) error {
	_, isParse := errors.AsType[*pgconn.ParseConfigError](err)
	_, isURL := errors.AsType[*url.Error](err)
	if !isParse && !isURL {
		return err
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("it names a file that can't be read: %w", file)
	}
	return ErrBadURL
}

const unreadable = "(unreadable URL)"

// SafeURL returns the part of a connection string of the operator's that may be shown: user,
// host, port and database. Of a string that can't be read it shows nothing.
func SafeURL(text string) string { return (*Tenants)(nil).SafeURL(text) }
