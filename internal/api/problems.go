package api

import (
	"context"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/watch"
)

// Problems reads the problems that were found; see watch.Reader.
type Problems interface {
	List(ctx context.Context, f watch.Filter, cursor string, limit int) (page []watch.Problem, next string, err error)
}

// listProblems lists those of all projects and of the server; a key that is limited to a project sees its own only.
func (a *API) listProblems(r *http.Request) (answer, error) {
	return a.problemsOf(r, caller(r).ProjectID)
}

func (a *API) listProjectProblems(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	return a.problemsOf(r, &p.ID)
}

func (a *API) problemsOf(r *http.Request, projectID *uuid.UUID) (answer, error) {
	given := given(r)
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	f := watch.Filter{ProjectID: projectID, State: given["state"], Kind: given["kind"]}
	if states := []string{"", watch.StateOpen, watch.StateClosed}; !slices.Contains(states, f.State) {
		return answer{}, wrong(inQuery, "state", problem.Invalid, "state is %q: it must be open or closed", f.State)
	}
	if f.Kind != "" && !slices.Contains(watch.Kinds(), f.Kind) {
		return answer{}, wrong(inQuery, "kind", problem.Invalid, "kind is %q: there is no such kind of problem", f.Kind)
	}
	list, next, err := a.config.Problems.List(r.Context(), f, given["cursor"], limit)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: newPage(each(list, foundOf), next)}, nil
}

func foundOf(p watch.Problem) wire.Problem {
	found := wire.Problem{
		ID: p.ID, Kind: p.Kind, Project: p.Project, Subject: pgdb.NullText(p.Subject), Severity: p.Severity, Detail: p.Detail, NextStep: p.Next,
		OpenedAt: p.OpenedAt, LastSeenAt: p.LastSeenAt, ClosedAt: p.ClosedAt, NotifiedAt: p.NotifiedAt,
	}
	if p.ProjectID != nil {
		id := p.ProjectID.String()
		found.ProjectID = &id
	}
	return found
}
