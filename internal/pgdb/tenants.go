package pgdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Guard decides which addresses connections to project databases may reach; see package egress.
type Guard interface {
	// DialContext resolves the host, checks the addresses, and connects to a checked one.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// CheckHost returns an error if the host alone shows that connections to it are not allowed.
	CheckHost(host string) error
}

// Tenants connects to project databases. Their URLs are either supplied by a customer or written by
// authsync for databases that it created beside the control database (see ManagedURL). With a nil
// Tenants every URL counts as the operator's own.
type Tenants struct {
	// Control is the URL of the control database.
	Control string
	// Guard checks the URLs supplied by customers; nil means that connections may go anywhere.
	Guard Guard
}

// managedScheme marks a URL that authsync stored itself.
const managedScheme = "managed"

// ManagedURL returns the URL stored for a database that authsync created on the control server: it
// has its own role and otherwise uses the connection settings of the control database, so it
// follows when those change.
func ManagedURL(role, password, database string) string {
	u := url.URL{Scheme: managedScheme, User: url.UserPassword(role, password), Path: "/" + database}
	return u.String()
}

// Check is CheckTenantURL that also consults the guard about the hosts.
func (t *Tenants) Check(text string) (string, error) {
	if t == nil {
		return CheckURL(text)
	}
	s, err := checked(text, tenants)
	if err != nil {
		return "", err
	}
	if t.Guard != nil {
		for host := range strings.SplitSeq(s[hostParam], ",") {
			if err := t.Guard.CheckHost(host); err != nil {
				return "", badURL("names a host that connections are not allowed to: " + err.Error())
			}
		}
	}
	return tidy(text)
}

// settings parses a stored URL.
func (t *Tenants) settings(text string) (settings, whose, error) {
	if t == nil {
		s, err := checked(text, operators)
		return s, operators, err
	}
	if !strings.HasPrefix(text, managedScheme+"://") {
		s, err := checked(text, tenants)
		return s, tenants, err
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, operators, errors.New("the stored URL of a managed database cannot be read") // the cause would quote it
	}
	s, err := checked(t.Control, operators)
	if err != nil {
		return nil, operators, fmt.Errorf("DATABASE_URL %w", err)
	}
	s[userParam], s[databaseParam] = u.User.Username(), strings.TrimPrefix(u.Path, "/")
	s[passwordParam], _ = u.User.Password()
	return s, operators, nil
}

func (t *Tenants) config(text string, opts Options) (*pgxpool.Config, error) {
	s, by, err := t.settings(text)
	if err != nil {
		return nil, fmt.Errorf("the database URL %w", err)
	}
	config, err := s.config(by, opts)
	if err != nil {
		return nil, fmt.Errorf("the database URL %w", err)
	}
	if by == tenants && t.Guard != nil {
		config.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // the guard resolves the name
		config.ConnConfig.DialFunc = t.Guard.DialContext
	}
	return config, nil
}

// ConnConfig returns the configuration for a connection to a project database.
func (t *Tenants) ConnConfig(text string, opts Options) (*pgx.ConnConfig, error) {
	config, err := t.config(text, opts)
	if err != nil {
		return nil, err
	}
	return config.ConnConfig, nil
}

// Open creates a pool for a project database; see the function Open.
func (t *Tenants) Open(ctx context.Context, text string, opts Options) (*pgxpool.Pool, error) {
	config, err := t.config(text, opts)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("create pool for %s: %w", t.SafeURL(text), err)
	}
	return pool, nil
}

// Connect opens a single connection to a project database.
func (t *Tenants) Connect(ctx context.Context, text string, opts Options) (*pgx.Conn, error) {
	config, err := t.ConnConfig(text, opts)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// IsControl reports whether a stored URL has the address of the control database, for use when its
// role may not connect there. An address written differently is not recognised.
func (t *Tenants) IsControl(text string) bool {
	if t == nil {
		return false
	}
	given, _, err := t.settings(text)
	if err != nil {
		return false
	}
	control, err := checked(t.Control, operators)
	return err == nil && given.place() == control.place()
}

// place identifies a database by its address.
func (s settings) place() string {
	host, port, database := s[hostParam], s[portParam], s[databaseParam]
	if ip, err := netip.ParseAddr(host); host == "localhost" || host == "" || err == nil && ip.IsLoopback() {
		host = "localhost"
	}
	if port == "" {
		port = "5432"
	}
	if database == "" {
		database = s[userParam]
	}
	return strings.ToLower(host) + " " + port + " " + database
}

// SafeURL is the function SafeURL for a stored URL.
func (t *Tenants) SafeURL(text string) string {
	s, _, err := t.settings(text)
	if err != nil {
		return unreadable
	}
	return s.shownURL()
}

// URL formats a stored URL, including the password, for psql.
func (t *Tenants) URL(text string) (string, error) {
	s, _, err := t.settings(text)
	if err != nil {
		return "", err
	}
	return s.url(), nil
}
