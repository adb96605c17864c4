package api

import (
	"context"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// cloneProject creates a project that is a clone of another one. The answer comes before anything is copied.
func (a *API) cloneProject(r *http.Request, of wire.CloneOf, in project.CloneInput) (answer, error) {
	if of.Project == "" {
		return answer{}, wrong(inBody, "clone_of.project", problem.Missing, "clone_of.project must be the name or id of the project to clone")
	}
	source, err := a.config.Store.FindProject(r.Context(), of.Project)
	if fault.Is(err, fault.ProjectNotFound) {
		return answer{}, wrongField("clone_of.project", "clone_of.project: there is no project %.80q", of.Project)
	}
	if err != nil {
		return answer{}, err
	}
	in.Source, in.Mode = source.ID, of.Mode
	if in.Mode == "" {
		in.Mode = project.CloneFollowing
	}
	p, err := a.config.Store.CloneProject(r.Context(), in)
	if err != nil {
		return answer{}, err
	}
	body := projectOf(p)
	if body.Clone, err = a.clone(r.Context(), p.ID); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusCreated, body: body, location: "/projects/" + p.ID.String()}, nil
}

// putClone has a clone copied in full once more, and says what it does then.
func (a *API) putClone(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.CloneOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if err := a.config.Store.SetClone(r.Context(), p.ID, in.Mode, in.Copy == nil || *in.Copy); err != nil {
		return answer{}, err
	}
	body := projectOf(p)
	if body.Clone, err = a.clone(r.Context(), p.ID); err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusOK, body: body}, nil
}

// clone returns how a project is a clone; nil: it is none.
func (a *API) clone(ctx context.Context, projectID uuid.UUID) (*wire.Clone, error) {
	found, err := a.config.Store.Clones(ctx, projectID)
	if err != nil {
		return nil, err
	}
	if c, is := found[projectID]; is {
		return cloneOf(c), nil
	}
	return nil, nil //nolint:nilnil // most projects are no clones
}

// addClones adds to a page of projects how they are clones.
func (a *API) addClones(ctx context.Context, projects []project.Project, bodies []wire.Project) error {
	ids := make([]uuid.UUID, len(projects))
	for i := range projects {
		ids[i] = projects[i].ID
	}
	found, err := a.config.Store.Clones(ctx, ids...)
	if err != nil {
		return err
	}
	for i := range projects {
		if c, is := found[projects[i].ID]; is {
			bodies[i].Clone = cloneOf(c)
		}
	}
	return nil
}

func cloneOf(c project.Clone) *wire.Clone {
	b := &wire.Clone{
		SourceName: c.SourceName, Mode: c.Mode, State: c.Phase, RowsExpected: c.RowsExpected, RowsCopied: c.RowsCopied, ChangesCopied: c.ChangesCopied,
		ChangesBehind: c.ChangesBehind, CopiedAt: utc(c.CopiedAt), CaughtUpAt: utc(c.CaughtUpAt), WaitReason: c.WaitReason, CreatedAt: c.CreatedAt.UTC(),
	}
	if c.SourceProjectID != nil {
		id := c.SourceProjectID.String()
		b.SourceID = &id
	}
	if c.Phase != project.CloneFollowing && c.Phase != project.CloneStill {
		b.State = wire.CloneCopying
	}
	b.Summary = cloneWords(c, b.State)
	return b
}

func cloneWords(c project.Clone, state string) string {
	words := ""
	switch {
	case state == wire.CloneCopying && c.Phase == "changes":
		words = fmt.Sprintf("copies from %s: rows are copied, and now the change feed (%d changes)", c.SourceName, c.ChangesCopied)
	case state == wire.CloneCopying && c.RowsExpected != nil && *c.RowsExpected > 0:
		words = fmt.Sprintf("copies from %s: %d of about %d rows", c.SourceName, c.RowsCopied, max(*c.RowsExpected, c.RowsCopied))
	case state == wire.CloneCopying:
		words = fmt.Sprintf("copies from %s: %d rows", c.SourceName, c.RowsCopied)
	case state == project.CloneFollowing && c.CaughtUpAt != nil:
		words = fmt.Sprintf("follows %s; it had all that %[1]s had at %s", c.SourceName, c.CaughtUpAt.UTC().Format("2006-01-02T15:04:05Z"))
	case state == project.CloneStill && c.CaughtUpAt != nil:
		words = fmt.Sprintf("stands still: as %s was at %s; nothing changes it", c.SourceName, c.CaughtUpAt.UTC().Format("2006-01-02T15:04:05Z"))
	default:
		words = "stands still: the copy from " + c.SourceName + " did not end; nothing changes it"
	}
	if state != project.CloneStill && c.WaitReason != nil {
		words += "; waits: " + *c.WaitReason
	}
	return words
}
