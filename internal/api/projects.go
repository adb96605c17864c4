package api

import (
	"net/http"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/prune"
	"github.com/authsync/authsync/internal/sync/repair"
)

func mirrorRepairOf(r *repair.Repair) *wire.MirrorRepair {
	b := &wire.MirrorRepair{
		Cause: r.Cause, Summary: r.What() + "; " + r.Stage(), FoundAt: r.FoundAt.UTC(), LostSince: r.LostSince, NotInInboxUntil: r.NotInInboxUntil,
		ReturnedUsers: r.ReturnedUsers, ReturnedInvitations: r.ReturnedInvitations, Messages: r.Messages, ReplayedAt: r.ReplayedAt, FinishedAt: r.FinishedAt, Reconciled: r.Reconciled, Unreconciled: r.Unreconciled,
	}
	for _, at := range []*time.Time{b.LostSince, b.NotInInboxUntil, b.ReplayedAt, b.FinishedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return b
}

func pruningOf(s *prune.State) *wire.Pruning {
	return &wire.Pruning{
		AttemptedAt: s.AttemptedAt.UTC(), FinishedAt: utc(s.FinishedAt), HeldReason: s.HeldReason, HeldSince: utc(s.HeldSince), LastError: s.LastError,
	}
}

func projectOf(p project.Project) wire.Project {
	b := wire.Project{ID: p.ID.String(), Name: p.Name, CreatedAt: p.CreatedAt.UTC()}
	if p.Database != "" {
		b.Database = &p.Database
	}
	b.KeepDays = wire.KeepDays{Inbox: p.Keep.Inbox, Ledger: p.Keep.Ledger, Changes: p.Keep.Changes, Deliveries: p.Keep.Deliveries}
	b.Retention = make(map[string]wire.Retention, len(p.Kept))
	for part, period := range p.Kept {
		r := wire.Retention{Source: period.Source}
		if period.Keep > 0 {
			r.Days = new(period.Days())
		}
		b.Retention[string(part)] = r
	}
	return b
}

func (a *API) createProject(r *http.Request) (answer, error) {
	var in struct {
		Name        string        `json:"name"`
		DatabaseURL *string       `json:"database_url"`
		Adopt       bool          `json:"adopt"`
		KeepDays    project.Keep  `json:"keep_days"`
		CloneOf     *wire.CloneOf `json:"clone_of"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	databaseURL := ""
	if in.DatabaseURL != nil {
		if databaseURL = *in.DatabaseURL; databaseURL == "" {
			return answer{}, wrongField("database_url",
				"database_url is empty: give a URL, or leave it out to get a new database")
		}
	} else if in.Adopt {
		return answer{}, wrongField("adopt", "adopt is for a mirror that is there already: give its database_url as well")
	}
	made := project.NewProject{Name: in.Name, DatabaseURL: databaseURL, Adopt: in.Adopt, Keep: in.KeepDays}
	if in.CloneOf != nil {
		return a.cloneProject(r, *in.CloneOf, project.CloneInput{NewProject: made})
	}
	p, err := a.config.Store.Create(r.Context(), made)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: projectOf(p), location: "/projects/" + p.ID.String()}, nil
}

func (a *API) listProjects(r *http.Request) (answer, error) {
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	projects, next, err := a.config.Store.ListProjects(r.Context(), caller(r).ProjectID, given(r)["cursor"], limit)
	if err != nil {
		return answer{}, err
	}
	bodies := each(projects, projectOf)
	if err := a.addClones(r.Context(), projects, bodies); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: newPage(bodies, next)}, nil
}

func (a *API) getProject(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	body := projectOf(p)
	if a.config.Pruning != nil {
		state, err := a.config.Pruning(r.Context(), p.ID)
		if err != nil {
			return answer{}, err
		}
		if state != nil {
			body.Pruning = pruningOf(state)
		}
	}
	if a.config.Repair != nil {
		repair, err := a.config.Repair(r.Context(), p.ID)
		if err != nil {
			return answer{}, err
		}
		if repair != nil {
			body.MirrorRepair = mirrorRepairOf(repair)
		}
	}
	if body.Clone, err = a.clone(r.Context(), p.ID); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (a *API) updateProject(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Name        *string      `json:"name"`
		DatabaseURL *string      `json:"database_url"`
		Adopt       bool         `json:"adopt"`
		KeepDays    project.Keep `json:"keep_days"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in.Name == nil && in.DatabaseURL == nil && len(in.KeepDays) == 0 {
		return answer{}, wrong(inBody, "name", problem.Missing, "give what to change: name, database_url or keep_days")
	}
	if in.Adopt && in.DatabaseURL == nil {
		return answer{}, wrongField("adopt", "adopt is for the mirror of another database: give its database_url as well")
	}
	change := project.ProjectChange{Name: in.Name, DatabaseURL: in.DatabaseURL, Adopt: in.Adopt, Keep: in.KeepDays}
	if p, err = a.config.Store.UpdateProject(r.Context(), p.ID, change); err != nil {
		return answer{}, err
	}
	body := projectOf(p)
	if body.Clone, err = a.clone(r.Context(), p.ID); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (a *API) deleteProject(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.removeWebhooks(r, p); err != nil {
		return answer{}, err
	}
	remove := a.pullRemovals(r.Context(), p.ID)
	if err := a.config.Store.DeleteProject(r.Context(), p.ID); err != nil {
		return answer{}, err
	}
	remove()
	return answer{status: http.StatusNoContent}, nil
}
