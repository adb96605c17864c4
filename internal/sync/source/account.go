// Package source opens the provider accounts of integrations to read their users: all of them for
// backfill and reconcile, single ones for refresh. An account wraps a userapi.Source.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// Account is an integration whose users can be read.
type Account struct {
	Source   userapi.Source
	Importer provider.Importer
	Options  provider.Options
	// Digest changes with the credentials and options that the Source was created from.
	Digest string
	// Alone reports that the project has no other integration, so that a user unknown to this
	// provider is unknown to all.
	Alone bool

	isShared bool
	verify   func(context.Context, userapi.Source) error // nil: there is nothing to verify
}

// Verify returns an error, a fault.AccountMismatch, if the credentials are of another account than the one whose users
// the mirror has. Call it before what was read is written: to another account, one's own users do not exist, and its
// users are strangers. Other errors are those of a Source and of the control database.
func (a *Account) Verify(ctx context.Context) error {
	if a.verify == nil {
		return nil
	}
	return a.verify(ctx, a.Source)
}

// Close closes what the Source keeps open between pages, unless it is shared.
func (a *Account) Close() {
	if a.isShared {
		return
	}
	if closer, ok := a.Source.(io.Closer); ok {
		_ = closer.Close() // it was only read from
	}
}

// Accounts opens the provider accounts of integrations.
type Accounts interface {
	// Open prepares to read the users of an integration; it sends nothing.
	// Errors: fault.Unsupported, project.ErrNoProject, project.ErrNoIntegration.
	Open(ctx context.Context, projectID uuid.UUID, providerName string) (Account, error)
}

// Integrations opens accounts with the stored credentials.
type Integrations struct {
	// Credentials returns the credentials and options of an integration; see project.Store.
	Credentials func(ctx context.Context, projectID uuid.UUID, providerName string) (provider.Credentials, provider.Options, error)
	// Deps returns the dependencies of a project's sources.
	Deps func(ctx context.Context, projectID uuid.UUID) (userapi.Deps, error)
	// Providers returns the names of a project's providers.
	Providers func(ctx context.Context, projectID uuid.UUID) ([]string, error)
	// KeepAccountMark stores the mark of an account unless the integration has one, and returns the one that it has; see
	// project.Store. Nil: accounts are not told apart.
	KeepAccountMark func(ctx context.Context, projectID uuid.UUID, providerName, mark string) (string, error)
}

// AccountMark returns the mark of the account that credentials are for; empty if there is none, or they do not allow
// reading. Errors are those of a Source.
func (i *Integrations) AccountMark(
	ctx context.Context, projectID uuid.UUID, kind provider.Provider, credentials provider.Credentials, options provider.Options,
) (string, error) {
	sourcer, sources := kind.(userapi.Sourcer)
	if !sources {
		return "", nil
	}
	deps, err := i.Deps(ctx, projectID)
	if err != nil {
		return "", err
	}
	opened, err := sourcer.NewSource(credentials, options, deps)
	if errors.Is(err, userapi.ErrNoCredentials) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	account := Account{Source: opened}
	defer account.Close()
	return userapi.AccountMarkOf(ctx, opened)
}

// verifier compares the mark of an account with the one that its integration has.
func (i *Integrations) verifier(projectID uuid.UUID, name string) func(context.Context, userapi.Source) error {
	if i.KeepAccountMark == nil {
		return nil
	}
	return func(ctx context.Context, source userapi.Source) error {
		mark, err := userapi.AccountMarkOf(ctx, source)
		if err != nil || mark == "" {
			return err
		}
		kept, err := i.KeepAccountMark(ctx, projectID, name, mark)
		if err != nil || kept == mark {
			return err
		}
		return project.AccountMismatch(name, kept, mark)
	}
}

// Open opens an account; see Accounts.
func (i *Integrations) Open(ctx context.Context, projectID uuid.UUID, providerName string) (Account, error) {
	kind, err := registry.Lookup(providerName)
	if err != nil {
		return Account{}, fault.New(fault.Unsupported, err.Error())
	}
	importer, imports := kind.(provider.Importer)
	sourcer, sources := kind.(userapi.Sourcer)
	if !imports || !sources {
		return Account{}, fault.New(fault.Unsupported, "the users of "+provider.Title(kind.Name())+" cannot be read; the mirror has what its webhooks say")
	}
	credentials, options, err := i.Credentials(ctx, projectID, kind.Name())
	if err != nil {
		return Account{}, err
	}
	all, err := i.Providers(ctx, projectID)
	if err != nil {
		return Account{}, err
	}
	deps, err := i.Deps(ctx, projectID)
	if err != nil {
		return Account{}, err
	}
	source, err := sourcer.NewSource(credentials, options, deps)
	switch {
	case errors.Is(err, userapi.ErrNoCredentials):
		return Account{}, fault.Newf(fault.Unsupported, "%v; store what is missing: authsync integrations set PROJECT %s", err, kind.Name())
	case pgdb.Unavailable(err):
		return Account{}, err
	case err != nil:
		return Account{}, fault.Newf(fault.Unsupported, "the users cannot be read: %v", err)
	}
	digest, err := digestOf(credentials, options)
	if err != nil {
		return Account{}, err
	}
	return Account{Source: source, Importer: importer, Options: options, Digest: digest, Alone: len(all) == 1, verify: i.verifier(projectID, kind.Name())}, nil
}

func digestOf(credentials provider.Credentials, options provider.Options) (string, error) {
	text, err := json.Marshal([]any{credentials, options})
	if err != nil {
		return "", fmt.Errorf("digest credentials: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}
