package api

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/ingest/usage"
)

// Counts reads how many messages a project received; see usage.Reader.
type Counts interface {
	LastDay(ctx context.Context, projectID uuid.UUID) ([]usage.Count, error)
}

func (a *API) listMessageCounts(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	counts, err := a.config.Counts.LastDay(r.Context(), p.ID)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: wire.MessageCounts{
		IntervalSeconds: int(usage.Interval / time.Second),
		Data: each(counts, func(c usage.Count) wire.MessageCount {
			return wire.MessageCount{BeganAt: c.BeganAt.UTC(), Messages: c.MessageCount}
		}),
	}}, nil
}
