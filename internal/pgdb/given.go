package pgdb

import (
	"errors"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
)

const urlForm = "write postgres://user:password@host:5432/database" //nolint:gosec // a form to fill in, which holds no secret

// Given checks a connection URL that a person gave for a database of somebody
// else's than the operator's, and returns it such that it stands for itself. What a
// connection string leaves out is taken from the environment and the home directory of
// this process (PGPASSWORD, .pgpass and the like), which are the operator's: a server of
// a tenant's choice must not be told the operator's password. What is no secret,
// such as PGSSLMODE, counts here as well.
//
// The error says what is wrong, holds nothing of the URL, and goes on from the name
// of the field: "is …", "names …".
func Given(databaseURL string) (string, error) {
	u, err := url.Parse(databaseURL)
	if err != nil || (u.Scheme != "postgres" && u.Scheme != "postgresql") {
		return "", errors.New("is " + ErrBadURL.Error())
	}
	query := u.Query()
	for _, file := range []string{"service", "servicefile", "passfile"} {
		if query.Has(file) {
			return "", errors.New("names a file of the server by " + file + ": leave that out and " + urlForm)
		}
	}
	alone := *u
	password, _ := u.User.Password()
	if query.Has("password") {
		password = query.Get("password")
	}
	if password == "" { // one that is empty would be looked for as well
		alone.RawQuery = also(alone.RawQuery, "password=&passfile=")
	}
	if !query.Has("sslcert") && !query.Has("sslkey") && query.Get("sslmode") != "disable" {
		alone.RawQuery = also(alone.RawQuery, "sslcert=&sslkey=")
	}
	config, err := pgx.ParseConfig(alone.String())
	switch {
	case err != nil:
		return "", errors.New("is " + Redact(err).Error())
	case !namesHosts(u.Host, query):
		return "", errors.New("names no host: " + urlForm)
	case strings.Trim(u.Path, "/") == "" || config.Database == "":
		return "", errors.New("names no database: write it behind the host, as in postgres://user:password@host:5432/database")
	case u.User.Username() == "" && query.Get("user") == "":
		return "", errors.New("names no user: " + urlForm)
	}
	return alone.String(), nil
}

// namesHosts reports that no host of the list is left to the environment.
func namesHosts(host string, query url.Values) bool {
	if query.Has("host") {
		host = query.Get("host")
	}
	for one := range strings.SplitSeq(host, ",") {
		if one == "" || strings.HasPrefix(one, ":") {
			return false
		}
	}
	return true
}

func also(query, more string) string {
	if query == "" {
		return more
	}
	return query + "&" + more
}
