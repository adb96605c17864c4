package api

import (
	"context"
	"errors"
	"log/slog"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
)

// Pulls creates and removes what pulling needs in the customer's own database, where it needs
// something.
type Pulls interface {
	PreparePull(ctx context.Context, projectID uuid.UUID, providerName string) error
	// OpenPullRemoval prepares the removal, which may be done after the integration is gone.
	OpenPullRemoval(ctx context.Context, projectID uuid.UUID, providerName string) (remove func(context.Context) error, err error)
}

// isPulled reports whether an integration has the option pull.
func (a *API) isPulled(ctx context.Context, projectID uuid.UUID, providerName string) (bool, error) {
	i, err := a.config.Store.FindIntegration(ctx, projectID, providerName)
	if errors.Is(err, project.ErrNoIntegration) {
		return false, nil
	}
	return i.Options.Pull, err
}

// settlePull creates or removes what pulling needs, before a backfill begins, so that no change falls
// between the two. What goes wrong is a note: the puller tries again.
func (a *API) settlePull(ctx context.Context, projectID uuid.UUID, i project.Integration, pulled bool) (notes []string) {
	if a.config.Pulls == nil || i.Fault != "" {
		return nil
	}
	switch {
	case i.Options.Pull:
		if err := a.config.Pulls.PreparePull(ctx, projectID, i.Provider); err != nil {
			return []string{"pulling cannot begin yet, and is tried again: " + shown(err)}
		}
	case pulled:
		remove, err := a.config.Pulls.OpenPullRemoval(ctx, projectID, i.Provider)
		if err == nil {
			err = remove(ctx)
		}
		if err != nil {
			return []string{"what pulling has created in the database could not be removed (docs/pull.md says how to): " + shown(err)}
		}
	}
	return notes
}

// shown is an error as a person may see it.
func shown(err error) string {
	if known, is := fault.As(err); is {
		return known.Message
	}
	return "the log of the server has the reason"
}

// pullRemovals opens the removals of what pulling the named integrations has created; of all of a
// project if none is named. The returned function does it, as far as it can be done.
func (a *API) pullRemovals(ctx context.Context, projectID uuid.UUID, names ...string) (remove func()) {
	removals := map[string]func(context.Context) error{}
	list, err := a.config.Store.ListIntegrations(ctx, projectID)
	for _, i := range list {
		if a.config.Pulls == nil || !i.Options.Pull || i.Fault != "" || len(names) > 0 && i.Provider != names[0] {
			continue
		}
		var open func(context.Context) error
		if open, err = a.config.Pulls.OpenPullRemoval(ctx, projectID, i.Provider); err != nil {
			break
		}
		removals[i.Provider] = open
	}
	return func() {
		for name, do := range removals {
			if failed := do(ctx); failed != nil {
				a.config.Log.WarnContext(ctx, "pull_objects_left", slog.String("project_id", projectID.String()), slog.String("provider", name), slog.Any("error", failed))
			}
		}
		if err != nil {
			a.config.Log.WarnContext(ctx, "pull_objects_left", slog.String("project_id", projectID.String()), slog.Any("error", err))
		}
	}
}

// addPulls adds how pulling is going to the integrations that are pulled.
func (a *API) addPulls(ctx context.Context, projectID uuid.UUID, bodies ...*wire.Integration) error {
	pulls, err := a.config.Store.Pulls(ctx, projectID)
	if err != nil {
		return err
	}
	for _, body := range bodies {
		p, pulled := pulls[body.Provider]
		if !pulled {
			continue
		}
		body.Pull = &wire.Pull{
			State: p.State, ConnectedSince: utc(p.ConnectedSince), CursorMovedAt: utc(p.CursorMovedAt), Messages: p.Messages,
			LastMessageAt: utc(p.LastMessageAt), WaitReason: p.WaitReason, RetryAt: utc(p.RetryAt),
			LostAt: utc(p.LostAt), LostReason: p.LostReason, ReconcileDue: p.ReconcileDue,
		}
	}
	return nil
}
