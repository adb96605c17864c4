package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/publicurl"
)

// scheduleOf is the schedule of an integration: what the options say, else
// the provider's default, where the credentials allow reading users.
func scheduleOf(i project.Integration) wire.ReconcileSchedule {
	if r := i.Options.Reconcile; r != nil && r.Every != "" {
		s := wire.ReconcileSchedule{Every: &r.Every}
		if r.Every == provider.Never {
			s.Every = nil
		}
		return s
	}
	return wire.ReconcileSchedule{Every: i.ReconcileDefault, Default: true}
}

func (a *API) integrationOf(r *http.Request, projectID uuid.UUID, i project.Integration) (wire.Integration, error) {
	options, err := json.Marshal(i.Options)
	if err != nil {
		return wire.Integration{}, fmt.Errorf("write options: %w", err)
	}
	body := wire.Integration{
		Provider: i.Provider, Options: options, Fault: i.Fault,
		Config: wire.IntegrationConfig{
			WebhookReceiver: publicurl.Of(r, a.config.PublicURL) + WebhookPath(i.Provider, projectID), Reconcile: scheduleOf(i),
		},
		AccountMark: i.AccountMark, CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.UpdatedAt.UTC(),
	}
	if i.Credentials != nil {
		body.Credentials = make(map[string]wire.CredentialState, len(i.Credentials))
		for name, state := range i.Credentials {
			body.Credentials[name] = wire.CredentialState(state)
		}
	}
	return body, nil
}

// WebhookPath is the path of the receiver of an integration. It spells the provider as paths do, with dashes.
func WebhookPath(providerName string, projectID uuid.UUID) string {
	return Prefix + "/integrations/" + strings.ReplaceAll(providerName, "_", "-") + "/webhook/" + projectID.String()
}

// integration finds the project and the provider that the path names.
func (a *API) integration(r *http.Request) (project.Project, provider.Provider, error) {
	p, err := a.project(r)
	if err != nil {
		return project.Project{}, nil, err
	}
	name, err := variable(r, "provider")
	if err != nil {
		return project.Project{}, nil, err
	}
	kind, err := registry.Lookup(name)
	if err != nil {
		return project.Project{}, nil, fail(providerNotFound, "%v", err)
	}
	return p, kind, nil
}

func (a *API) putIntegration(r *http.Request) (answer, error) {
	p, kind, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Credentials map[string]json.RawMessage `json:"credentials"`
		Options     json.RawMessage            `json:"options"`
		// AdoptAccount says that credentials of another account are meant.
		AdoptAccount bool `json:"adopt_account"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	pulled, err := a.isPulled(r.Context(), p.ID, kind.Name())
	if err != nil {
		return answer{}, err
	}
	if err := a.mustReach(p.ID, kind.Name(), in.Options); err != nil {
		return answer{}, err
	}
	var how []project.PutOption
	if in.AdoptAccount {
		how = append(how, project.AdoptAccount())
	}
	i, err := a.config.Store.PutIntegration(r.Context(), p.ID, kind.Name(), in.Credentials, in.Options, how...)
	if err != nil {
		return answer{}, err
	}
	pullNotes := a.settlePull(r.Context(), p.ID, i, pulled)
	body, err := a.integrationOf(r, p.ID, i)
	if err != nil {
		return answer{}, err
	}
	if err := a.addPulls(r.Context(), p.ID, &body); err != nil {
		return answer{}, err
	}
	body.Config.Backfill = a.autoBackfill(r.Context(), p.ID, i)
	if body.Config.Webhook, err = a.webhookOf(r.Context(), p.ID, kind.Name(), false); err != nil {
		return answer{}, err
	}
	body.Config.Notes = pullNotes
	for _, group := range i.Stopped {
		body.Config.Notes = append(body.Config.Notes, group+" are no longer mirrored: what the mirror has of them stays, and is not updated")
	}
	if len(i.Excluded) > 0 {
		note := strings.Join(i.Excluded, ", ") + ": no longer stored. What is stored already stays: in messages and in the change feed until their retention ends"
		if i.ReconcileDefault != nil {
			note += ", in the mirror until a reconcile (authsync reconcile) or the next event of the record replaces it"
		} else {
			note += ", in the mirror until the next event of the record replaces it"
		}
		body.Config.Notes = append(body.Config.Notes, note)
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (a *API) getIntegration(r *http.Request) (answer, error) {
	p, kind, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	compare, err := switchOf(r, "compare", true)
	if err != nil {
		return answer{}, err
	}
	i, err := a.config.Store.FindIntegration(r.Context(), p.ID, kind.Name())
	if err != nil {
		return answer{}, err
	}
	body, err := a.integrationOf(r, p.ID, i)
	if err != nil {
		return answer{}, err
	}
	if err := a.addPulls(r.Context(), p.ID, &body); err != nil {
		return answer{}, err
	}
	if body.Secrets, err = a.verifyingSecrets(r.Context(), p.ID, i); err != nil {
		return answer{}, err
	}
	body.Config.Webhook, err = a.webhookOf(r.Context(), p.ID, kind.Name(), compare)
	return answer{status: http.StatusOK, body: body}, err
}

// verifyingSecrets tells which secrets are accepted and used.
func (a *API) verifyingSecrets(ctx context.Context, projectID uuid.UUID, i project.Integration) ([]wire.VerifyingSecret, error) {
	uses, err := a.config.Events.SecretUses(ctx, projectID, i.Provider)
	if err != nil {
		return nil, err
	}
	var secrets []wire.VerifyingSecret
	for _, name := range i.SecretNames {
		secrets = append(secrets, wire.VerifyingSecret{Name: name, Accepted: true})
	}
	for _, use := range uses {
		at := slices.IndexFunc(secrets, func(s wire.VerifyingSecret) bool { return s.Name == use.Name })
		if at < 0 {
			at = len(secrets)
			secrets = append(secrets, wire.VerifyingSecret{Name: use.Name})
		}
		secrets[at].RecentMessages, secrets[at].LastUsedAt = use.Messages, &use.LastUsedAt
	}
	return secrets, nil
}

func (a *API) listIntegrations(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	list, err := a.config.Store.ListIntegrations(r.Context(), p.ID)
	if err != nil {
		return answer{}, err
	}
	bodies, each := make([]wire.Integration, len(list)), make([]*wire.Integration, len(list))
	for n, i := range list {
		if bodies[n], err = a.integrationOf(r, p.ID, i); err != nil {
			return answer{}, err
		}
		each[n] = &bodies[n]
	}
	if err := a.addPulls(r.Context(), p.ID, each...); err != nil {
		return answer{}, err
	}
	return pageOf(r, bodies, func(i wire.Integration) string { return i.Provider })
}

func (a *API) deleteIntegration(r *http.Request) (answer, error) {
	p, kind, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.removeWebhook(r, p, kind.Name()); err != nil {
		return answer{}, err
	}
	remove := a.pullRemovals(r.Context(), p.ID, kind.Name())
	if err := a.config.Store.DeleteIntegration(r.Context(), p.ID, kind.Name()); err != nil {
		return answer{}, err
	}
	remove()
	return answer{status: http.StatusNoContent}, nil
}
