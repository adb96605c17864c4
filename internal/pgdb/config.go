package pgdb

import (
	"cmp"
	"errors"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// CheckURL checks a connection URL that the operator set, such as DATABASE_URL, and returns it
// without the whitespace and invisible characters that copying adds. The URL may name sockets and
// files and may rely on the PG* environment variables. The error is a *URLError.
func CheckURL(text string) (string, error) {
	if _, err := checked(text, operators); err != nil {
		return "", err
	}
	return tidy(text)
}

// CheckTenantURL is CheckURL for a URL supplied by a customer. The URL must be complete: missing
// parts would be taken from the environment and home directory of this process, and a socket or
// file would lend the customer the server's own identity.
func CheckTenantURL(text string) (string, error) {
	if _, err := checked(text, tenants); err != nil {
		return "", err
	}
	return tidy(text)
}

// checked parses a connection string and applies the rules for its owner.
func checked(text string, by whose) (settings, error) {
	s, err := read(text, by == operators)
	if err != nil {
		return nil, err
	}
	if err := s.check(by); err != nil {
		return nil, err
	}
	hosts, err := s.hosts()
	if err != nil || by == operators {
		return s, err
	}
	for _, host := range hosts {
		switch {
		case host == "":
			return nil, badURL("has no host: " + urlForm)
		case isSocket(host):
			return nil, badURL("names a local socket, which would lend the server's own identity: " + urlForm)
		}
	}
	switch {
	case s[databaseParam] == "":
		return nil, badURL("has no database name: add it after the host, as in postgres://user:password@host:5432/database")
	case s[userParam] == "":
		return nil, badURL("has no user: " + urlForm)
	}
	return s, nil
}

// alone fills in every missing setting, so that nothing is taken from the environment, the home
// directory or a service file.
func (s settings) alone() settings {
	all := settings{
		portParam: "5432", passwordParam: "", "passfile": "",
		"sslmode": "prefer", "sslrootcert": "", "sslcert": "", "sslkey": "", "sslpassword": "", "sslcertmode": "disable", "sslsni": "1",
		"sslnegotiation": "postgres", "channel_binding": "prefer", "require_auth": "",
		"application_name": "authsync", "connect_timeout": strconv.Itoa(int(connectTimeout / time.Second)),
		"target_session_attrs": "any", "min_protocol_version": "3.0", "max_protocol_version": "3.0",
	}
	maps.Copy(all, s)
	return all
}

// config builds the pool configuration. Session settings from a service file or PGOPTIONS are
// ignored; see begin.
func (s settings) config(by whose, opts Options) (*pgxpool.Config, error) {
	if by == tenants {
		s = s.alone()
	}
	config, err := pgxpool.ParseConfig(s.connString())
	if err != nil {
		return nil, unfit(err)
	}
	config.MaxConns = cmp.Or(opts.MaxConns, max(4, int32(min(runtime.NumCPU(), 64)))) //nolint:gosec // at most 64
	config.MinConns, config.MinIdleConns = min(opts.MinConns, config.MaxConns), 0
	config.MaxConnLifetime, config.MaxConnLifetimeJitter = time.Hour, 0
	config.MaxConnIdleTime = cmp.Or(opts.MaxConnIdleTime, 30*time.Minute)
	config.HealthCheckPeriod = time.Minute

	conn := config.ConnConfig
	conn.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = 512, 512
	conn.ConnectTimeout = cmp.Or(opts.ConnectTimeout, conn.ConnectTimeout, connectTimeout)
	conn.RuntimeParams = startup(cmp.Or(opts.ApplicationName, conn.RuntimeParams["application_name"], "authsync"))
	conn.Tracer = &session{settings: sessionSettings(opts), options: opts, checks: by == tenants || opts.Project != uuid.Nil, bounds: by == tenants}
	return config, nil
}

// unfit explains why settings that are valid by themselves do not make a configuration: a file
// cannot be read, or they conflict with the environment.
func unfit(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return badURL("names a file that cannot be read: " + file.Error())
	}
	text := "conflicts with the PG* environment variables of this process, or with the files they name"
	if cause := errors.Unwrap(err); cause != nil {
		text += ": " + cause.Error()
	}
	return badURL(text)
}

// shownURL returns the part of the settings that is safe to show: user, host, port and database.
func (s settings) shownURL() string {
	safe := url.URL{Scheme: "postgres", Path: "/" + s[databaseParam]}
	if s[userParam] != "" {
		safe.User = url.User(s[userParam])
	}
	hosts, ports := strings.Split(s[hostParam], ","), strings.Split(s[portParam], ",")
	if isSocket(hosts[0]) {
		safe.RawQuery = "host=" + hosts[0]
		return safe.String()
	}
	if hosts[0] != "" {
		safe.Host = net.JoinHostPort(hosts[0], cmp.Or(ports[0], "5432"))
	}
	return safe.String()
}

// url formats the settings, including the password, as a URL for psql and other clients.
func (s settings) url() string {
	u := url.URL{Scheme: "postgres", Path: "/" + s[databaseParam]}
	query := url.Values{}
	hosts, ports := strings.Split(s[hostParam], ","), strings.Split(s[portParam], ",")
	var authority []string
	for i, host := range hosts {
		port := ports[min(i, len(ports)-1)]
		switch {
		case isSocket(s[hostParam]):
			query.Set(hostParam, s[hostParam])
			if s[portParam] != "" {
				query.Set(portParam, s[portParam])
			}
		case port != "":
			authority = append(authority, net.JoinHostPort(host, port))
		case strings.Contains(host, ":"):
			authority = append(authority, "["+host+"]")
		default:
			authority = append(authority, host)
		}
	}
	u.Host = strings.Join(authority, ",")
	if s[userParam] != "" {
		u.User = url.UserPassword(s[userParam], s[passwordParam])
		if s[passwordParam] == "" {
			u.User = url.User(s[userParam])
		}
	}
	for name, value := range s {
		if !slices.Contains([]string{hostParam, portParam, userParam, passwordParam, databaseParam}, name) {
			query.Set(name, value)
		}
	}
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // psql does not decode + as a space
	return u.String()
}
