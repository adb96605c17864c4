package api

import (
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/repair"
)

type projectBody struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
	// Database is the connection URL without the password; null where it cannot be opened.
	Database  *string   `json:"database"`
	CreatedAt time.Time `json:"created_at"`
	// MirrorRepair is there for one project, if its mirror had ever lost something.
	MirrorRepair *mirrorRepairBody `json:"mirror_repair,omitempty"`
}

// mirrorRepairBody is a mirror that had lost what was applied, and how far its repair is.
type mirrorRepairBody struct {
	Cause           string            `json:"cause"`
	Summary         string            `json:"summary"`
	FoundAt         time.Time         `json:"found_at"`
	LostSince       *time.Time        `json:"lost_since"`
	NotInInboxUntil *time.Time        `json:"not_in_inbox_until"`
	Messages        int64             `json:"messages"`
	ReplayedAt      *time.Time        `json:"replayed_at"`
	FinishedAt      *time.Time        `json:"finished_at"`
	Reconciled      []string          `json:"reconciled_providers"`
	Unreconciled    map[string]string `json:"unreconciled_providers"`
}

func newMirrorRepairBody(r *repair.Repair) *mirrorRepairBody {
	b := &mirrorRepairBody{
		Cause: r.Cause, Summary: r.What() + "; " + r.Stage(), FoundAt: r.FoundAt.UTC(), LostSince: r.LostSince, NotInInboxUntil: r.NotInInboxUntil,
		Messages: r.Messages, ReplayedAt: r.ReplayedAt, FinishedAt: r.FinishedAt, Reconciled: r.Reconciled, Unreconciled: r.Unreconciled,
	}
	for _, at := range []*time.Time{b.LostSince, b.NotInInboxUntil, b.ReplayedAt, b.FinishedAt} {
		if at != nil {
			*at = at.UTC()
		}
	}
	return b
}

func newProjectBody(p project.Project) projectBody {
	b := projectBody{ID: p.ID, Name: p.Name, CreatedAt: p.CreatedAt.UTC()}
	if p.Database != "" {
		b.Database = &p.Database
	}
	return b
}

func (a *API) createProject(r *http.Request) (answer, error) {
	var in struct {
		Name        string  `json:"name"`
		DatabaseURL *string `json:"database_url"`
		Adopt       bool    `json:"adopt"`
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
	p, err := a.config.Store.CreateProject(r.Context(), in.Name, databaseURL, in.Adopt)
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: newProjectBody(p), location: "/projects/" + p.ID.String()}, nil
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
	bodies := make([]projectBody, len(projects))
	for i, p := range projects {
		bodies[i] = newProjectBody(p)
	}
	return answer{status: http.StatusOK, body: newPage(bodies, next)}, nil
}

func (a *API) getProject(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	body := newProjectBody(p)
	if a.config.Repair != nil {
		repair, err := a.config.Repair(r.Context(), p.ID)
		if err != nil {
			return answer{}, err
		}
		if repair != nil {
			body.MirrorRepair = newMirrorRepairBody(repair)
		}
	}
	return answer{status: http.StatusOK, body: body}, nil
}

func (a *API) updateProject(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in struct {
		Name        *string `json:"name"`
		DatabaseURL *string `json:"database_url"`
		Adopt       bool    `json:"adopt"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in.Name == nil && in.DatabaseURL == nil {
		return answer{}, wrong(inBody, "name", problem.Missing, "give what to change: name, database_url, or both")
	}
	if in.Adopt && in.DatabaseURL == nil {
		return answer{}, wrongField("adopt", "adopt is for the mirror of another database: give its database_url as well")
	}
	change := project.ProjectChange{Name: in.Name, DatabaseURL: in.DatabaseURL, Adopt: in.Adopt}
	if p, err = a.config.Store.UpdateProject(r.Context(), p.ID, change); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: newProjectBody(p)}, nil
}

func (a *API) deleteProject(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	if err := a.config.Store.DeleteProject(r.Context(), p.ID); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
