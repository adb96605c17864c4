package api

import (
	"context"
	"net/http"
	"sync"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/provision"
)

// Webhooks are the webhooks that authsync sets up at the providers; see provision.Webhooks.
type Webhooks interface {
	// CheckBase returns a fault.Invalid if the provider could not reach this server.
	CheckBase(projectID uuid.UUID, providerName string, o provider.Options) error
	// Status returns nil for an integration that never asked for one.
	Status(ctx context.Context, projectID uuid.UUID, providerName string, compare bool) (*provision.Status, error)
	// Remove removes it at the provider, if authsync made it.
	Remove(ctx context.Context, projectID uuid.UUID, providerName string) error
}

// mustReach refuses to set up a webhook that could not arrive.
func (a *API) mustReach(projectID uuid.UUID, providerName string, options []byte) error {
	o, err := project.ParseOptions(options)
	if err != nil || !o.Provision { // what is wrong with the options is said when they are stored
		return nil //nolint:nilerr // see above
	}
	return a.config.Webhooks.CheckBase(projectID, providerName, o)
}

// webhookOf is the webhook of an integration as documents have it; nil if there is none.
func (a *API) webhookOf(ctx context.Context, projectID uuid.UUID, providerName string, compare bool) (*wire.ProvisionedWebhook, error) {
	s, err := a.config.Webhooks.Status(ctx, projectID, providerName, compare)
	if err != nil || s == nil {
		return nil, err
	}
	body := &wire.ProvisionedWebhook{
		State: s.State, Made: s.Made, EventTypes: orEmpty(s.EventTypes), MissingPermissions: orEmpty(s.Missing),
		Steps: make([]wire.ProvisionStep, len(s.Steps)), Differences: orEmpty(s.Differences), ComparedAt: s.ComparedAt,
	}
	body.ID, body.URL, body.Problem, body.ComparisonProblem = orNil(s.ID), orNil(s.URL), orNil(s.Problem), orNil(s.Unknown)
	for i, step := range s.Steps {
		body.Steps[i] = wire.ProvisionStep(step)
	}
	return body, nil
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// switchOf reads a parameter of the query that is true or false; a missing one is what it is by default.
func switchOf(r *http.Request, name string, byDefault bool) (bool, error) {
	switch r.URL.Query().Get(name) {
	case "":
		return byDefault, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	default:
		return false, wrong(inQuery, name, "invalid", "%s must be true or false", name)
	}
}

// removeWebhook removes the webhook of an integration that is about to be deleted, unless the caller wants to
// keep it. While it cannot be removed, the integration stays: without its credentials nobody could.
func (a *API) removeWebhook(r *http.Request, p project.Project, providerName string) error {
	keep, err := switchOf(r, "keep_webhook", false)
	if err != nil || keep {
		return err
	}
	err = a.config.Webhooks.Remove(r.Context(), p.ID, providerName)
	if known, ok := fault.As(err); ok {
		return fault.Wrap(known.Code, err, "the webhook that authsync made at "+provider.Title(providerName)+
			" could not be removed, so the integration stays: "+known.Message+". To delete the integration and leave the webhook: keep_webhook=true (authsync integrations delete … --keep-webhook)")
	}
	return err
}

// removeWebhooks removes the webhooks of all integrations of a project that is about to be deleted, at the same time, so that all
// are gone while no job can set one up again. While one cannot be removed, the project stays; those that are gone by then are a
// difference that the next comparison finds, or nothing to do for the next deletion.
func (a *API) removeWebhooks(r *http.Request, p project.Project) error {
	keep, err := switchOf(r, "keep_webhook", false)
	if err != nil || keep {
		return err
	}
	list, err := a.config.Store.ListIntegrations(r.Context(), p.ID)
	if err != nil {
		return err
	}
	ctx, failures := r.Context(), make([]error, len(list))
	var removals sync.WaitGroup
	for at := range list {
		removals.Go(func() { failures[at] = a.removeWebhookOf(ctx, p.ID, list[at]) })
	}
	removals.Wait()
	for at, err := range failures {
		if known, ok := fault.As(err); ok {
			return fault.Wrap(known.Code, err, "the webhook that authsync made at "+provider.Title(list[at].Provider)+
				" could not be removed, so the project stays: "+known.Message+". To detach the project and leave the webhook: keep_webhook=true (authsync projects detach … --keep-webhook)")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// removeWebhookOf removes the webhook of one integration. Of one whose credentials cannot be opened nothing is asked.
func (a *API) removeWebhookOf(ctx context.Context, projectID uuid.UUID, i project.Integration) error {
	if i.Fault == "" {
		return a.config.Webhooks.Remove(ctx, projectID, i.Provider)
	}
	status, err := a.config.Webhooks.Status(ctx, projectID, i.Provider, false)
	if err != nil || status == nil || !status.Made {
		return err
	}
	return fault.New(fault.Unsupported, i.Fault)
}
