package api

import (
	"context"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
)

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
