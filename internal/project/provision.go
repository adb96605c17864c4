package project

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// ProvisionArgs are the arguments of the job provision_webhook, which sets up the webhook of an
// integration at its provider. Package provision works it.
type ProvisionArgs struct {
	ProjectID uuid.UUID `json:"project_id"`
	Provider  string    `json:"provider"`
}

// Kind implements river.JobArgs.
func (ProvisionArgs) Kind() string { return jobs.ProvisionWebhook }

// Subject identifies the single job of a project and provider.
func (a ProvisionArgs) Subject() string { return a.ProjectID.String() + "/" + a.Provider }

// upsertWebhook requests a webhook, or that all of it is done once more: a person who asks again
// wants it to be right now, whatever was found before. What is known of the webhook stays.
const upsertWebhook = `
	INSERT INTO authsync.provisioned_webhooks AS w (project_id, provider)
	VALUES ($1, $2)
	ON CONFLICT (project_id, provider) DO UPDATE
	SET state = 'pending', request_seq = w.request_seq + 1, problem = NULL, missing_permissions = '{}', allowed_at = NULL, ensured_at = NULL,
	    test_event_id = NULL, test_sent_at = NULL, arrived_at = NULL, differences = '{}', compared_at = NULL,
	    requested_at = clock_timestamp(), updated_at = clock_timestamp()`

// RequestWebhook requests a webhook and its job in the transaction that stores the integration.
func RequestWebhook(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, providerName string) error {
	if _, err := tx.Exec(ctx, upsertWebhook, projectID, providerName); err != nil {
		return fmt.Errorf("request the webhook: %w", err)
	}
	args := ProvisionArgs{ProjectID: projectID, Provider: providerName}
	return jobs.Request(ctx, tx, args, args.Subject())
}

const updateSealed = `
	UPDATE authsync.integrations AS i
	SET credentials_sealed = $3, updated_at = now()
	WHERE i.project_id = $1 AND i.provider = $2`

// AddSigningSecret accepts a signing secret that the provider made, beside those that are stored, as the newest.
// It does nothing if it is that already. Errors: ErrNoIntegration, fault.Invalid.
func (s *Store) AddSigningSecret(ctx context.Context, projectID uuid.UUID, providerName string, secret provider.Secret) error {
	kind, err := lookupProvider(providerName)
	if err != nil {
		return err
	}
	change, err := json.Marshal(map[string]string{"add": string(secret)})
	if err != nil {
		return fmt.Errorf("write credentials: %w", err)
	}
	return pgdb.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockTheProject(ctx, tx, projectID); err != nil {
			return err
		}
		rows, err := integrationRows(ctx, tx, projectID, kind.Name())
		if err != nil {
			return err
		}
		if len(rows) == 0 {
			return ErrNoIntegration
		}
		stored, err := s.credentials(projectID, rows[0])
		if err != nil {
			return err
		}
		typed, err := storedCredentials(stored)
		if err != nil || len(typed.WebhookSigningSecret) > 0 && typed.WebhookSigningSecret[0] == secret {
			return err
		}
		merged, err := mergeCredentials(stored, map[string]json.RawMessage{webhookSigningSecret: change})
		if err != nil {
			return err
		}
		if typed, err = storedCredentials(merged); err != nil {
			return err
		}
		if _, err := kind.NewVerifier(typed, provider.Options{}); err != nil {
			return invalid("%v", err)
		}
		plain, err := json.Marshal(merged)
		if err != nil {
			return fmt.Errorf("write credentials: %w", err)
		}
		sealed, err := s.sealCredentials(projectID, kind.Name(), plain)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, updateSealed, projectID, kind.Name(), sealed); err != nil {
			return fmt.Errorf("store credentials: %w", err)
		}
		return nil
	})
}

// withProvision checks that a webhook can be set up with these settings, and generates the signing
// secret where the provider takes ours. It is stored before the provider has it, so that a process that
// dies in between leaves no webhook whose secret nobody knows.
func withProvision(
	kind provider.Provider, credentials map[string]json.RawMessage, typed provider.Credentials, o provider.Options,
) (provider.Credentials, error) {
	provisioner, can := kind.(userapi.Provisioner)
	if !can {
		return typed, invalid("options.provision: authsync cannot set up the webhook of %s by itself: enter the webhook URL there, and leave the option out",
			provider.Title(kind.Name()))
	}
	if _, err := provisioner.NewWebhooks(typed, o, userapi.Deps{}); err != nil {
		return typed, invalid("options.provision: %v", err)
	}
	if len(typed.WebhookSigningSecret) > 0 || typed.WebhookAuthorization != nil || kind.Name() != provider.Auth0 {
		return typed, nil
	}
	typed.WebhookSigningSecret = provider.Secrets{provider.NewSigningSecret(kind.Name())}
	text, err := json.Marshal(typed.WebhookSigningSecret)
	if err != nil {
		return typed, fmt.Errorf("write credentials: %w", err)
	}
	credentials[webhookSigningSecret] = text
	return typed, nil
}
