package pgdb

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ErrBadURL is the cause of an error about a connection string that can't be read.
var ErrBadURL = errors.New(
	"not a PostgreSQL connection URL; it looks like postgres://user:password@host:5432/database, " +
		"and characters such as @ / ? # % in the password must be percent-encoded",
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

// SafeURL returns the part of a connection string that may be shown: user,
// host, port and database. Of a string that can't be read it shows nothing.
func SafeURL(connString string) string {
	config, err := pgx.ParseConfig(connString)
	if err != nil {
		return "(unreadable URL)"
	}
	safe := url.URL{Scheme: "postgres", Path: "/" + config.Database}
	if config.User != "" {
		safe.User = url.User(config.User)
	}
	if strings.HasPrefix(config.Host, "/") {
		safe.RawQuery = "host=" + config.Host
		return safe.String()
	}
	safe.Host = net.JoinHostPort(config.Host, strconv.Itoa(int(config.Port)))
	return safe.String()
}
