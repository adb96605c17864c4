package pgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"
)

// Redact returns err without any part of a connection string in its text. Parse errors lose their
// text and become ErrBadURL, or name the file that could not be read (sslrootcert and the like),
// because pgx does not always manage to mask the password of malformed input. All other errors are
// returned unchanged: connection errors name host, user and database, never the password.
func Redact(err error) error {
	_, isParse := errors.AsType[*pgconn.ParseConfigError](err)
	_, isURL := errors.AsType[*url.Error](err)
	if !isParse && !isURL {
		return err
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("it names a file that cannot be read: %w", file)
	}
	return ErrBadURL
}

const unreadable = "(unreadable URL)"

// SafeURL returns the part of an operator's connection string that is safe to show: user, host,
// port and database. If the string is invalid it returns a placeholder.
func SafeURL(text string) string { return (*Tenants)(nil).SafeURL(text) }
