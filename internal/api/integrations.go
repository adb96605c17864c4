package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/publicurl"
)

type integrationBody struct {
	Provider    string                             `json:"provider"`
	Credentials map[string]project.CredentialState `json:"credentials"` // null where they cannot be opened
	Options     provider.Options                   `json:"options"`
	Config      integrationConfig                  `json:"config"`
	// Fault says why the integration cannot be used; absent when all is well.
	Fault     string    `json:"fault,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

type integrationConfig struct {
	// WebhookReceiver is the URL to give to the provider.
	WebhookReceiver string `json:"webhook_receiver"`
	// Backfill is set where storing the integration started one, or says why not.
	Backfill *backfillStart `json:"backfill,omitempty"`
	// Reconcile says how often the mirror is compared with the provider by itself.
	Reconcile reconcileSchedule `json:"reconcile"`
}

// reconcileSchedule is when reconciles start by themselves.
type reconcileSchedule struct {
	// Every is the time between two; null: none does.
	Every *string `json:"every"`
	// Default: the options do not say it.
	Default bool `json:"default"`
}

// newReconcileSchedule is the schedule of an integration: what the options say, else
// the provider's default, where the credentials allow reading users.
func newReconcileSchedule(i project.Integration) reconcileSchedule {
	if r := i.Options.Reconcile; r != nil && r.Every != "" {
		s := reconcileSchedule{Every: &r.Every}
		if r.Every == provider.Never {
			s.Every = nil
		}
		return s
	}
	return reconcileSchedule{Every: i.ReconcileDefault, Default: true}
}

func (a *API) newIntegrationBody(r *http.Request, projectID uuid.UUID, i project.Integration) integrationBody {
	return integrationBody{
		Provider: i.Provider, Credentials: i.Credentials, Options: i.Options, Fault: i.Fault,
		Config: integrationConfig{
			WebhookReceiver: publicurl.Of(r, a.config.PublicURL) + webhookPath(i.Provider, projectID), Reconcile: newReconcileSchedule(i),
		},
		CreatedAt: i.CreatedAt.UTC(), UpdatedAt: i.UpdatedAt.UTC(),
	}
}

// webhookPath spells the provider as paths do, with dashes.
func webhookPath(providerName string, projectID uuid.UUID) string {
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
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	i, err := a.config.Store.PutIntegration(r.Context(), p.ID, kind.Name(), in.Credentials, in.Options)
	if err != nil {
		return answer{}, err
	}
	body := a.newIntegrationBody(r, p.ID, i)
	body.Config.Backfill = a.autoBackfill(r.Context(), p.ID, i)
	return answer{status: http.StatusOK, body: body}, nil
}

func (a *API) getIntegration(r *http.Request) (answer, error) {
	p, kind, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	i, err := a.config.Store.FindIntegration(r.Context(), p.ID, kind.Name())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: a.newIntegrationBody(r, p.ID, i)}, nil
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
	bodies := make([]integrationBody, len(list))
	for n, i := range list {
		bodies[n] = a.newIntegrationBody(r, p.ID, i)
	}
	return pageOf(r, bodies, func(i integrationBody) string { return i.Provider })
}

func (a *API) deleteIntegration(r *http.Request) (answer, error) {
	p, kind, err := a.integration(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.config.Store.DeleteIntegration(r.Context(), p.ID, kind.Name()); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
