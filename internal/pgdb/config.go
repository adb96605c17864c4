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

// CheckURL checks a connection URL of the operator's, such as DATABASE_URL, and gives it
// without what came along when it was copied. It may name sockets and files, and leave out what the
// PG… variables say. The error is a *URLError.
func CheckURL(text string) (string, error) {
	if _, err := checked(text, operators); err != nil {
		return "", err
	}
	return tidy(text)
}

// CheckTenantURL is CheckURL for a URL that a customer gave. It has to stand for itself: what
// a connection string leaves out would be taken from the environment and the home directory of
// this process, and a socket or a file would lend the server's own identity.
func CheckTenantURL(text string) (string, error) {
	if _, err := checked(text, tenants); err != nil {
		return "", err
	}
	return tidy(text)
}

// checked reads a connection string and applies the rules.
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
			return nil, badURL("names no host: " + urlForm)
		case isSocket(host):
			return nil, badURL("names a socket of the server, which would lend its identity: " + urlForm)
		}
	}
	switch {
	case s[databaseParam] == "":
		return nil, badURL("names no database: write it behind the host, as in postgres://user:password@host:5432/database")
	case s[userParam] == "":
		return nil, badURL("names no user: " + urlForm)
	}
	return s, nil
}

// alone adds what is left out, so that nothing comes from the environment, the home directory
// or a service file.
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

// config makes of settings how to connect. What a service file or PGOPTIONS say of the session
// does not count: the session is ours, see begin.
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

// unfit says why settings that are right by themselves make no configuration: a file cannot be
// read, or the environment says what does not go together with them.
func unfit(err error) error {
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		return badURL("names a file that can't be read: " + file.Error())
	}
	text := "does not go together with the PG… variables of this process, or with the files that they name"
	if cause := errors.Unwrap(err); cause != nil {
		text += ": " + cause.Error()
	}
	return badURL(text)
}

// shownURL is the part of settings that may be shown: user, host, port and database.
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

// url writes settings such that psql and others take them, password and all.
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
	u.RawQuery = strings.ReplaceAll(query.Encode(), "+", "%20") // psql takes + for itself
	return u.String()
}
