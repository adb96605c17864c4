// Package project stores the tenants: projects with their databases, integrations with their sealed
// credentials, destinations with their sealed secrets, and the keys of the management API.
//
// The receiver and the applier read the Directory, which holds all projects and integrations in
// memory and follows their changes; the Store is for changing them.
//
//	api, cli ──▶ Store ──▶ tables ──(trigger)──▶ directory_version
//	                          │                          │ polled
//	receiver, applier ◀── Directory ◀── reload ◀─────────┘
//
// Each change of the Store is one transaction. The Directory has nothing of its own: if the process
// dies, the next one loads it before it takes requests.
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
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/retention"
	"github.com/authsync/authsync/internal/seal"
)

// Errors of the Store and the Directory. Errors caused by a person's input are fault.Invalid and
// fault.DatabaseUnusable.
var (
	ErrNoProject        = fault.New(fault.ProjectNotFound, "there is no such project")
	ErrNoIntegration    = fault.New(fault.IntegrationNotFound, "the project has no integration with this provider")
	ErrNoKey            = fault.New(fault.KeyNotFound, "there is no such key")
	ErrNameTaken        = fault.New(fault.NameTaken, "there is a project of this name already: choose another name, or use that project")
	ErrNoDestination    = fault.New(fault.DestinationNotFound, "the project has no such destination: GET …/destinations lists those there are")
	ErrDestinationTaken = fault.New(fault.NameTaken, "the project has a destination of this name already: choose another name, or change that one")
	ErrDatabaseExists   = fault.New(fault.DatabaseExists, "the server already has a database with the name of the project's database")
)

// errNoTypes is a programming error: only a process with Config.Destinations may change destinations.
var errNoTypes = errors.New("this process does not know the types of destinations")

// invalid takes a message that begins with the path of the invalid value; see also fault.At.
func invalid(format string, args ...any) error {
	return fault.Newf(fault.Invalid, format, args...)
}

// MirrorInstaller installs mirrors in project databases.
type MirrorInstaller interface {
	// Install creates or upgrades the mirror in a database and makes the project its owner. It is
	// repeatable. Errors: pgdb.ErrControlDatabase; *pgdb.OwnedError if another project owns it,
	// unless adopt is set; other errors can be shown to the person who gave the URL.
	Install(ctx context.Context, databaseURL string, projectID uuid.UUID, adopt bool) error
	// Release gives up ownership of the mirror if this project owns it.
	Release(ctx context.Context, databaseURL string, projectID uuid.UUID) error
}

// TargetChecker returns an error if requests may not be sent to an address. The error can be shown
// to the person who gave the address.
type TargetChecker interface {
	CheckURL(raw string) error
}

// Config configures a Store; all fields except Tenants, CheckSource, Destinations, Retention and Now
// are required.
type Config struct {
	Pool    *pgxpool.Pool // the control database
	Keyring *seal.Keyring
	Mirror  MirrorInstaller
	Targets TargetChecker
	Log     *slog.Logger
	// Tenants checks the database URLs that customers give, and reads stored ones; nil means that
	// connections may go to any host.
	Tenants *pgdb.Tenants
	// CheckSource connects to the database of an integration and returns an error if it must not
	// serve the project; nil means no check.
	CheckSource func(ctx context.Context, projectID uuid.UUID, databaseURL string) error
	// AccountMark asks a provider which account credentials are for; nil: accounts are not told apart. See
	// source.Integrations.
	AccountMark func(
		ctx context.Context, projectID uuid.UUID, kind provider.Provider, c provider.Credentials, o provider.Options,
	) (string, error)
	// CheckClone returns an error if a database must not become a clone of a project's; nil means no check. Errors are those of
	// MirrorInstaller.Install, pgdb.ErrSourceDatabase and pgdb.ErrMirrorNotEmpty.
	CheckClone func(ctx context.Context, t CloneTarget) error
	// Destinations checks destinations; nil: they can be read, but not made or changed.
	Destinations DestinationTypes
	// Retention is how long what a project has no setting for is kept.
	Retention retention.Defaults
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Store manages projects, integrations and API keys in the control database. It is safe for
// concurrent use.
type Store struct {
	pool             *pgxpool.Pool
	keyring          *seal.Keyring
	mirror           MirrorInstaller
	targets          TargetChecker
	tenants          *pgdb.Tenants
	log              *slog.Logger
	destinationTypes DestinationTypes
	retention        retention.Defaults
	now              func() time.Time

	checkSource func(ctx context.Context, projectID uuid.UUID, databaseURL string) error
	checkClone  func(ctx context.Context, t CloneTarget) error
	accountMark func(context.Context, uuid.UUID, provider.Provider, provider.Credentials, provider.Options) (string, error)
}

// NewStore returns a Store; the error names what the configuration lacks.
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
		retention: c.Retention, checkSource: c.CheckSource, checkClone: c.CheckClone, accountMark: c.AccountMark,
	}, nil
}

// Project is a tenant.
type Project struct {
	ID   uuid.UUID
	Name string
	// Database is the connection URL without the password; empty if it cannot be decrypted.
	Database  string
	CreatedAt time.Time
	// Keep is what the project sets of how long its history is kept; Kept is what comes of it.
	Keep retention.Settings
	Kept map[retention.Part]retention.Period
}

// The purpose of a sealed text; part of what binds it to its row.
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
