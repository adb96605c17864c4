package project

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

const (
	selectIntegrations = `
		SELECT i.provider, i.credentials_sealed, i.options, i.account_mark, i.reconcile_default, i.created_at, i.updated_at
		FROM authsync.integrations AS i
		WHERE i.project_id = $1 AND ($2 = '' OR i.provider = $2)
		ORDER BY i.provider`

	upsertIntegration = `
		INSERT INTO authsync.integrations AS i (project_id, provider, credentials_sealed, options, reconcile_default, account_mark)
		VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (project_id, provider) DO UPDATE SET
			credentials_sealed = excluded.credentials_sealed,
			options = excluded.options,
			reconcile_default = excluded.reconcile_default,
			account_mark = excluded.account_mark,
			updated_at = now()
		RETURNING i.provider, i.credentials_sealed, i.options, i.account_mark, i.reconcile_default, i.created_at, i.updated_at`

	countCustom = `
		SELECT count(*) FROM authsync.integrations AS i WHERE i.project_id = $1 AND i.provider ^@ $2`

	deleteIntegration = `
		DELETE FROM authsync.integrations WHERE project_id = $1 AND provider = $2`
)

// Integration is a provider configured for a project, without its secrets.
type Integration struct {
	Provider string
	// Credentials says which credentials are set, by name. It is nil if they cannot be decrypted;
	// Fault says why.
	Credentials map[string]CredentialState
	// SecretNames are those of the secrets that verify messages; see provider.SecretName.
	SecretNames []string
	Options     provider.Options
	// ReconcileDefault is the reconcile interval unless the options set one; nil if the credentials
	// do not allow reading users.
	ReconcileDefault *string
	Fault            string
	// AccountMark names the account whose users the mirror has; nil if it is not known.
	AccountMark *string
	CreatedAt   time.Time
	UpdatedAt   time.Time
	putChanges
}

// CredentialState says that a credential is set and, for a list of secrets, how many there are.
type CredentialState struct {
	Set   bool `json:"set"`
	Count int  `json:"count,omitempty"`
}

type integrationRow struct {
	Provider          string
	CredentialsSealed []byte
	Options           json.RawMessage
	AccountMark       *string
	ReconcileDefault  *string
	CreatedAt         time.Time
	UpdatedAt         time.Time
}

// FindIntegration returns one integration of a project. Errors: ErrNoProject, ErrNoIntegration and,
// for an unknown provider, fault.Invalid.
func (s *Store) FindIntegration(ctx context.Context, projectID uuid.UUID, providerName string) (Integration, error) {
	kind, err := lookupProvider(providerName)
	if err != nil {
		return Integration{}, err
	}
	found, err := s.listIntegrations(ctx, projectID, kind.Name())
	if err != nil {
		return Integration{}, err
	}
	if len(found) == 0 {
		return Integration{}, ErrNoIntegration
	}
	return found[0], nil
}

// Credentials returns the secrets and options of an integration, for callers that sign as the
// provider would. Errors: ErrNoProject, ErrNoIntegration, fault.Invalid for an unknown provider,
// and those of seal.Keyring.Open.
func (s *Store) Credentials(ctx context.Context, projectID uuid.UUID, providerName string) (provider.Credentials, provider.Options, error) {
	none := provider.Credentials{}
	kind, err := lookupProvider(providerName)
	if err != nil {
		return none, provider.Options{}, err
	}
	rows, err := s.rowsOf(ctx, projectID, kind.Name())
	if err != nil {
		return none, provider.Options{}, err
	}
	if len(rows) == 0 {
		return none, provider.Options{}, ErrNoIntegration
	}
	stored, err := s.credentials(projectID, rows[0])
	if err != nil {
		return none, provider.Options{}, err
	}
	typed, err := storedCredentials(stored)
	if err != nil {
		return none, provider.Options{}, err
	}
	options, err := storedOptions(rows[0].Options)
	return typed, options, err
}

// ListIntegrations lists a project's integrations by name; there is at most one per provider. The
// error is ErrNoProject if there is no such project.
func (s *Store) ListIntegrations(ctx context.Context, projectID uuid.UUID) ([]Integration, error) {
	return s.listIntegrations(ctx, projectID, "")
}

func (s *Store) listIntegrations(ctx context.Context, projectID uuid.UUID, name string) ([]Integration, error) {
	rows, err := s.rowsOf(ctx, projectID, name)
	if err != nil {
		return nil, err
	}
	list := make([]Integration, len(rows))
	for i, row := range rows {
		list[i] = s.integration(projectID, row)
	}
	return list, nil
}

func (s *Store) rowsOf(ctx context.Context, projectID uuid.UUID, name string) ([]integrationRow, error) {
	if _, err := s.projectRow(ctx, selectProjectByID, projectID); err != nil {
		return nil, err
	}
	return integrationRows(ctx, s.pool, projectID, name)
}

// DeleteIntegration deletes an integration and its credentials; the provider's webhooks are
// rejected from then on. Mirrored data stays.
func (s *Store) DeleteIntegration(ctx context.Context, projectID uuid.UUID, providerName string) error {
	kind, err := lookupProvider(providerName)
	if err != nil {
		return err
	}
	tag, err := s.pool.Exec(ctx, deleteIntegration, projectID, kind.Name())
	if err != nil {
		return fmt.Errorf("delete integration: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrNoIntegration
	}
	return nil
}

func integrationRows(ctx context.Context, db querier, projectID uuid.UUID, name string) ([]integrationRow, error) {
	rows, err := db.Query(ctx, selectIntegrations, projectID, name)
	if err != nil {
		return nil, fmt.Errorf("find integrations: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByName[integrationRow])
	if err != nil {
		return nil, fmt.Errorf("find integrations: %w", err)
	}
	return found, nil
}

func (s *Store) credentials(projectID uuid.UUID, row integrationRow) (map[string]json.RawMessage, error) {
	plain, err := openCredentials(s.keyring, projectID, row.Provider, row.CredentialsSealed)
	if err != nil {
		return nil, err
	}
	return decodeCredentials(plain)
}

func (s *Store) integration(projectID uuid.UUID, row integrationRow) Integration {
	i := Integration{Provider: row.Provider, AccountMark: row.AccountMark, ReconcileDefault: row.ReconcileDefault, CreatedAt: row.CreatedAt, UpdatedAt: row.UpdatedAt}
	var fault error
	if i.Options, fault = storedOptions(row.Options); fault != nil {
		i.Fault = fault.Error()
	}
	credentials, err := s.credentials(projectID, row)
	if err != nil {
		i.Fault = err.Error()
		return i
	}
	i.Credentials = credentialStates(credentials)
	if typed, err := storedCredentials(credentials); err == nil {
		i.SecretNames = typed.SecretNames()
	}
	return i
}

func lookupProvider(name string) (provider.Provider, error) {
	kind, err := registry.Lookup(name)
	if err != nil {
		return nil, invalid("%v", err)
	}
	return kind, nil
}
