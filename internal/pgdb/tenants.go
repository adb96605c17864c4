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

// Guard decides where connections to databases of tenants may go; see package outbound.
type Guard interface {
	// DialContext resolves the host, checks where it leads, and connects to what it checked.
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
	// CheckHost says why no connection to a host will be made, as far as the host alone tells it.
	CheckHost(host string) error
}

// Tenants connects to the databases of projects. Their URLs are of two kinds: those that a
// customer gave, and those of databases that authsync made beside the control database (see
// ManagedURL). Nil takes every URL for the operator's own.
type Tenants struct {
	// Control is the URL of the control database.
	Control string
	// Guard is for the URLs that customers gave; nil: connections may go anywhere.
	Guard Guard
}

// managedScheme marks a URL that authsync stored itself.
const managedScheme = "managed"

// ManagedURL writes, for the store, how to reach a database that authsync made on the control
// server: as a role of its own, and otherwise as the control database is reached. It
// moves with that.
func ManagedURL(role, password, database string) string {
	u := url.URL{Scheme: managedScheme, User: url.UserPassword(role, password), Path: "/" + database}
	return u.String()
}

// Check is CheckTenantURL, and asks the guard about the hosts.
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
				return "", badURL("names a host to which no connection is made: " + err.Error())
			}
		}
	}
	return tidy(text)
}

// settings reads a URL as it is stored.
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
		config.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil } // the guard looks it up
		config.ConnConfig.DialFunc = t.Guard.DialContext
	}
	return config, nil
}

// ConnConfig is how to connect to a project's database.
func (t *Tenants) ConnConfig(text string, opts Options) (*pgx.ConnConfig, error) {
	config, err := t.config(text, opts)
	if err != nil {
		return nil, err
	}
	return config.ConnConfig, nil
}

// Open makes a pool for a project's database; see the function Open.
func (t *Tenants) Open(ctx context.Context, text string, opts Options) (*pgxpool.Pool, error) {
	config, err := t.config(text, opts)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("make pool for %s: %w", t.SafeURL(text), err)
	}
	return pool, nil
}

// Connect opens one connection to a project's database.
func (t *Tenants) Connect(ctx context.Context, text string, opts Options) (*pgx.Conn, error) {
	config, err := t.ConnConfig(text, opts)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// IsControl tells by its address whether a stored URL leads to the control database, as where its role may not
// connect there. An address that is written in another way is not recognised.
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

// place is where a database is, as far as its address tells.
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

// SafeURL is the function SafeURL for a URL as it is stored.
func (t *Tenants) SafeURL(text string) string {
	s, _, err := t.settings(text)
	if err != nil {
		return unreadable
	}
	return s.shownURL()
}

// URL writes a stored URL such that psql takes it, password and all.
func (t *Tenants) URL(text string) (string, error) {
	s, _, err := t.settings(text)
	if err != nil {
		return "", err
	}
	return s.url(), nil
}
