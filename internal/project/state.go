package project

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

// state is an immutable snapshot of what the Directory knows.
type state struct {
	version  int64
	projects map[uuid.UUID]*knownProject
}

type knownProject struct {
	stored       storedProject
	url          string
	err          error
	erasureKey   []byte // nil: nobody was erased
	integrations map[string]*knownIntegration
}

type knownIntegration struct {
	stored   storedIntegration
	endpoint Endpoint
	fetches  bool // its verifier may fetch public keys
	err      error
}

type storedProject struct {
	ID                uuid.UUID
	DatabaseURLSealed []byte
	ErasureKeySealed  []byte
}

type storedIntegration struct {
	ProjectID         uuid.UUID
	Provider          string
	CredentialsSealed []byte
	Options           json.RawMessage
	AccountMark       *string
}

func (s *state) database(projectID uuid.UUID) (string, error) {
	p := s.projects[projectID]
	if p == nil {
		return "", ErrNoProject
	}
	return p.url, p.err
}

func (s *state) endpoint(projectID uuid.UUID, providerName string) (Endpoint, error) {
	p := s.projects[projectID]
	if p == nil {
		return Endpoint{}, ErrNoProject
	}
	name, err := provider.ParseName(providerName)
	if err != nil {
		return Endpoint{}, fmt.Errorf("%w: %w", ErrNoIntegration, err)
	}
	i := p.integrations[name]
	if i == nil {
		return Endpoint{}, ErrNoIntegration
	}
	return i.endpoint, i.err
}

// build creates the state from the rows read. Unchanged rows are reused; an unusable row is logged
// when first seen and does not affect others.
func (d *Directory) build(
	ctx context.Context, before *state, version int64, projects []storedProject, integrations []storedIntegration,
) *state {
	if before == nil {
		before = &state{}
	}
	var err error
	s := &state{version: version, projects: make(map[uuid.UUID]*knownProject, len(projects))}
	for _, stored := range projects {
		p := &knownProject{stored: stored, integrations: map[string]*knownIntegration{}}
		if old := before.projects[stored.ID]; old != nil && bytes.Equal(old.stored.DatabaseURLSealed, stored.DatabaseURLSealed) {
			p.url, p.err = old.url, old.err
		} else if p.url, p.err = openURL(d.config.Keyring, stored.ID, stored.DatabaseURLSealed); p.err != nil {
			p.err = fmt.Errorf("%w (%w): %w", ErrUnusable, ErrNotLoaded, p.err)
			d.config.Log.ErrorContext(ctx, "project_unusable",
				slog.String("project_id", stored.ID.String()), slog.Any("error", p.err))
		}
		if old := before.projects[stored.ID]; old != nil && bytes.Equal(old.stored.ErasureKeySealed, stored.ErasureKeySealed) {
			p.erasureKey = old.erasureKey
		} else if p.erasureKey, err = openErasureKey(d.config.Keyring, stored.ID, stored.ErasureKeySealed); err != nil {
			d.config.Log.ErrorContext(ctx, "erasure_key_unusable",
				slog.String("project_id", stored.ID.String()), slog.Any("error", err))
		}
		s.projects[stored.ID] = p
	}
	for _, stored := range integrations {
		p := s.projects[stored.ProjectID]
		if p == nil {
			continue // impossible: one snapshot and a foreign key
		}
		p.integrations[stored.Provider] = d.integration(ctx, before, stored)
	}
	return s
}

func (d *Directory) integration(ctx context.Context, before *state, stored storedIntegration) *knownIntegration {
	if p := before.projects[stored.ProjectID]; p != nil {
		if old := p.integrations[stored.Provider]; old != nil &&
			bytes.Equal(old.stored.CredentialsSealed, stored.CredentialsSealed) && bytes.Equal(old.stored.Options, stored.Options) {
			if markOf(old.stored.AccountMark) == markOf(stored.AccountMark) {
				return old
			}
			same := *old
			same.stored, same.endpoint.AccountMark = stored, markOf(stored.AccountMark)
			return &same
		}
	}
	i := &knownIntegration{stored: stored}
	if err := d.open(i); err != nil {
		i.err = fmt.Errorf("%w (%w): %w", ErrUnusable, ErrNotLoaded, err)
		d.config.Log.ErrorContext(ctx, "integration_unusable",
			slog.String("project_id", stored.ProjectID.String()), slog.String("provider", stored.Provider), slog.Any("error", i.err))
	}
	return i
}

func (d *Directory) open(i *knownIntegration) error {
	kind, err := registry.Lookup(i.stored.Provider)
	if err != nil {
		return err
	}
	i.endpoint = Endpoint{ProjectID: i.stored.ProjectID, Provider: kind, AccountMark: markOf(i.stored.AccountMark)}
	if i.endpoint.Options, err = storedOptions(i.stored.Options); err != nil {
		return err
	}
	plain, err := openCredentials(d.config.Keyring, i.stored.ProjectID, i.stored.Provider, i.stored.CredentialsSealed)
	if err != nil {
		return err
	}
	credentials, err := decodeCredentials(plain)
	if err != nil {
		return err
	}
	typed, err := storedCredentials(credentials)
	if err != nil {
		return err
	}
	newVerifier := kind.NewVerifier
	if stored, is := kind.(provider.Stored); is { // everybody waits for what is opened here
		newVerifier = stored.StoredVerifier
	}
	verifier, err := newVerifier(typed, i.endpoint.Options)
	if err != nil {
		return err
	}
	if user, uses := verifier.(provider.KeySetUser); uses && user.KeySetURL() != "" && d.config.Keys != nil {
		verifier, i.fetches = user.WithKeys(d.config.Keys(i.stored.ProjectID)), true
	}
	i.endpoint.Verifier = naming{verifier, typed.SecretNames()}
	return nil
}

// naming is a verifier that names the secret of a proof, besides its position, which changes with the credentials.
type naming struct {
	provider.Verifier

	names []string
}

// Verify implements provider.Verifier.
func (n naming) Verify(h http.Header, body []byte, now time.Time) (provider.Proof, error) {
	proof, err := n.Verifier.Verify(h, body, now)
	if position, e := strconv.Atoi(proof.Secret); err == nil && e == nil && position <= len(n.names) {
		proof.SecretName = n.names[position-1]
	}
	return proof, err
}
