// Package project keeps the tenants: projects with their databases, the
// integrations with their sealed credentials, the destinations with their sealed
// secrets, and the keys of the management API.
//
// On the road of a webhook (provider → receiver → inbox → applier → mirror) it
// stands beside the receiver and the applier. Both ask the Directory, which
// holds all projects and integrations in memory and follows their changes; the
// Store is for those who change them.
//
//	api, cli ──▶ Store ──▶ tables ──(trigger)──▶ directory_version
//	                          │                          │ polled
//	receiver, applier ◀── Directory ◀── reload ◀─────────┘
package project

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/seal"
)

// Errors of the Store and the Directory. Those whose cause is what a person gave
// are fault.Invalid and fault.DatabaseUnusable.
var (
	ErrNoProject        = fault.New(fault.ProjectNotFound, "there is no such project")
	ErrNoIntegration    = fault.New(fault.IntegrationNotFound, "the project has no integration with this provider")
	ErrNoKey            = fault.New(fault.KeyNotFound, "there is no such key")
	ErrNameTaken        = fault.New(fault.NameTaken, "there is a project of this name already: choose another name, or use that project")
	ErrNoDestination    = fault.New(fault.DestinationNotFound, "the project has no such destination: GET …/destinations lists those there are")
	ErrDestinationTaken = fault.New(fault.NameTaken, "the project has a destination of this name already: choose another name, or change that one")
	ErrDatabaseExists   = fault.New(fault.DatabaseExists, "the server has a database of the name that the project's would get")
)

// errNoKinds is our own mistake: only a process with Config.Destinations may change destinations.
var errNoTypes = errors.New("this process does not know the types of destinations")

// invalid takes a message that begins with the path of the wrong value; see also fault.At.
func invalid(format string, args ...any) error {
	return fault.Newf(fault.Invalid, format, args...)
}

// MirrorInstaller puts mirrors into project databases.
type MirrorInstaller interface {
	// Install creates the mirror in a database, or upgrades it, and makes it the
	// project's. It is repeatable. Errors: pgdb.ErrControlDatabase; *pgdb.OwnedError, unless
	// adopt says that another project's mirror is meant; others are fit for the
	// person who gave the URL.
	Install(ctx context.Context, databaseURL string, projectID uuid.UUID, adopt bool) error
	// Release lets the next project have the mirror, if it is this project's.
	Release(ctx context.Context, databaseURL string, projectID uuid.UUID) error
}

// TargetChecker says why requests to an address will not be sent. Its errors
// are fit for the person who gave the address.
type TargetChecker interface {
	CheckURL(raw string) error
}

// Config is what the Store needs; all but Tenants, CheckSource, Destinations and Now must be given.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Keyring *seal.Keyring
	Mirror  MirrorInstaller
	Targets TargetChecker
	Log     *slog.Logger
	// Tenants checks the URLs of databases that customers give, and reads those that are stored;
	// nil: connections may go to any host.
	Tenants *pgdb.Tenants
	// CheckSource connects to a database that is given with an integration, for a project, and says why
	// it is not for it; nil: nobody looks.
	CheckSource func(ctx context.Context, projectID uuid.UUID, databaseURL string) error
	// Destinations checks destinations; nil: they can be read, but not made or changed.
	Destinations DestinationTypes
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Store keeps projects, integrations and API keys in the control database. It
// is safe for concurrent use.
type Store struct {
	pool             *pgxpool.Pool
	keyring          *seal.Keyring
	mirror           MirrorInstaller
	targets          TargetChecker
	tenants          *pgdb.Tenants
	log              *slog.Logger
	destinationTypes DestinationTypes
	now              func() time.Time

	checkSource func(ctx context.Context, projectID uuid.UUID, databaseURL string) error
}

// NewStore makes a Store.
func NewStore(c Config) (*Store, error) {
	if c.Pool == nil || c.Keyring == nil || c.Mirror == nil || c.Targets == nil || c.Log == nil {
		return nil, errors.New("project store: pool, keyring, mirror, targets and log must be given")
	}
	now := c.Now
	if now == nil {
		now = time.Now
	}
	tenants := c.Tenants
	if tenants == nil {
		tenants = &pgdb.Tenants{Control: c.Pool.Config().ConnConfig.ConnString()}
	}
	return &Store{
		pool: c.Pool, keyring: c.Keyring, mirror: c.Mirror, targets: c.Targets, tenants: tenants, log: c.Log, destinationTypes: c.Destinations, now: now,
		checkSource: c.CheckSource,
	}, nil
}

// Project is a tenant.
type Project struct {
	ID   uuid.UUID
	Name string
	// Database is the connection URL without the password; empty where it
	// cannot be opened.
	Database  string
	CreatedAt time.Time
}

// What a sealed text is for; part of what binds it to its row.
const (
	forDatabaseURL = "database_url"
	forCredentials = "credentials"
	forSecrets     = "destination_secrets"
)

func (s *Store) sealURL(projectID uuid.UUID, url string) ([]byte, error) {
	return s.keyring.Seal([]byte(url), forDatabaseURL, projectID.String())
}

func openURL(k *seal.Keyring, projectID uuid.UUID, sealed []byte) (string, error) {
	url, err := k.Open(sealed, forDatabaseURL, projectID.String())
	if err != nil {
		return "", fmt.Errorf("open the database URL of project %s: %w", projectID, err)
	}
	return string(url), nil
}

func (s *Store) sealCredentials(projectID uuid.UUID, provider string, plain []byte) ([]byte, error) {
	return s.keyring.Seal(plain, forCredentials, projectID.String(), provider)
}

func openCredentials(k *seal.Keyring, projectID uuid.UUID, provider string, sealed []byte) ([]byte, error) {
	plain, err := k.Open(sealed, forCredentials, projectID.String(), provider)
	if err != nil {
		return nil, fmt.Errorf("open the %s credentials of project %s: %w", provider, projectID, err)
	}
	return plain, nil
}
