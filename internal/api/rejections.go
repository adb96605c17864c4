package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/provider"
)

// Rejections reads the requests that the receiver refused; see rejections.List.
type Rejections interface {
	List(ctx context.Context, projectID uuid.UUID, provider string, before int64, limit int) ([]rejections.Rejected, error)
}

func (a *API) listRejected(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	given := given(r)
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	name := given["provider"]
	if name != "" {
		if name, err = provider.ParseName(name); err != nil {
			return answer{}, wrong(inQuery, "provider", problem.Invalid, "%v", err)
		}
	}
	var before int64
	if cursor := given["cursor"]; cursor != "" {
		if before, err = strconv.ParseInt(cursor, 10, 64); err != nil || before < 1 {
			return answer{}, fault.ErrBadCursor
		}
	}
	list, err := a.config.Rejections.List(r.Context(), p.ID, name, before, limit+1)
	if err != nil {
		return answer{}, err
	}
	next := ""
	if len(list) > limit {
		list = list[:limit]
		next = strconv.FormatInt(list[limit-1].ID, 10)
	}
	return answer{status: http.StatusOK, body: newPage(each(list, rejectedOf), next)}, nil
}

func rejectedOf(r rejections.Rejected) wire.Rejected {
	rejected := wire.Rejected{
		ID: r.ID, Provider: r.Provider, ReceivedAt: r.ReceivedAt, Status: r.Status, Reason: r.Reason, Detail: r.Detail,
		BodyBytes: r.BodyBytes, HeaderNames: r.HeaderNames, RequestCount: r.RequestCount,
	}
	if r.RemoteAddress != nil {
		address := r.RemoteAddress.String()
		rejected.RemoteAddress = &address
	}
	return rejected
}
