package api

import (
	"context"
	"encoding/hex"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/erasure"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/problem"
)

// Erasures starts erasures and tells of them; see erasure.Store.
type Erasures interface {
	Start(ctx context.Context, projectID uuid.UUID, userID, by string) (e erasure.Erasure, started bool, err error)
	// Find returns erasure.ErrNoErasure where there is none.
	Find(ctx context.Context, projectID, id uuid.UUID) (erasure.Erasure, error)
	List(ctx context.Context, projectID uuid.UUID, before *uuid.UUID, limit int) ([]erasure.Erasure, error)
}

// eraseUser begins the erasure of a user, whether or not the mirror has the user. It cannot be undone, so that the body repeats
// the id.
func (a *API) eraseUser(r *http.Request) (answer, error) {
	p, id, err := a.user(r)
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Confirm string `json:"confirm"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in.Confirm != id {
		return answer{}, wrong(inBody, "confirm", problem.Invalid, "confirm must be the id of the user: an erasure cannot be undone")
	}
	e, _, err := a.config.Erasures.Start(r.Context(), p.ID, id, "key "+caller(r).ID.String())
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusAccepted, body: erasureOf(e)}, nil
}

func (a *API) getErasure(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	text, err := variable(r, "erasure")
	if err != nil {
		return answer{}, err
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return answer{}, fail(fault.ErasureNotFound, "project %s has no erasure of this id", p.Name)
	}
	e, err := a.config.Erasures.Find(r.Context(), p.ID, id)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: erasureOf(e)}, nil
}

// listErasures lists erasures, the newest first. A cursor is the last id of the page before.
func (a *API) listErasures(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	var before *uuid.UUID
	if text := given(r)["cursor"]; text != "" {
		id, err := uuid.Parse(text)
		if err != nil {
			return answer{}, fault.ErrBadCursor
		}
		before = &id
	}
	all, err := a.config.Erasures.List(r.Context(), p.ID, before, limit+1)
	if err != nil {
		return answer{}, err
	}
	next := ""
	if len(all) > limit {
		all = all[:limit]
		next = all[limit-1].ID.String()
	}
	return answer{status: http.StatusOK, body: newPage(each(all, erasureOf), next)}, nil
}

func erasureOf(e erasure.Erasure) wire.Erasure {
	w := wire.Erasure{
		ID: e.ID.String(), Digest: hex.EncodeToString(e.Digest), RequestedBy: e.RequestedBy, State: e.State, Phase: e.Phase, Counts: e.Counts,
		WaitReason: e.WaitReason, RequestedAt: e.RequestedAt.UTC(), MarkedAt: utc(e.MarkedAt), FinishedAt: utc(e.FinishedAt),
		Clones: each(e.Clones, func(c erasure.CloneErasure) wire.CloneErasure {
			return wire.CloneErasure{
				Project: c.Project, ErasureID: c.ErasureID.String(), State: c.State, WaitReason: c.WaitReason, FinishedAt: utc(c.FinishedAt),
			}
		}),
		Destinations: each(e.Destinations, func(a erasure.Answer) wire.ErasureAnswer { a.At = utc(a.At); return wire.ErasureAnswer(a) }),
	}
	if w.Counts == nil {
		w.Counts = map[string]int64{}
	}
	return w
}
