package api

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/project"
)

type keyBody struct {
	ID   uuid.UUID `json:"id"`
	Name string    `json:"name"`
	// Key is the key itself, in the answer that made it and nowhere else.
	Key        string     `json:"key,omitempty"`
	Hint       string     `json:"hint"`
	ProjectID  *uuid.UUID `json:"project_id"`
	CreatedAt  time.Time  `json:"created_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

func newKeyBody(k project.Key) keyBody {
	return keyBody{
		ID: k.ID, Name: k.Name, Hint: k.Hint, ProjectID: k.ProjectID,
		CreatedAt: k.CreatedAt.UTC(), LastUsedAt: utc(k.LastUsedAt), RevokedAt: utc(k.RevokedAt),
	}
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}

func (a *API) createKey(r *http.Request) (answer, error) {
	var in struct {
		Name string `json:"name"`
		Test bool   `json:"test"`
		// ProjectID limits the key to a project; its name does as well.
		ProjectID *string `json:"project_id"`
	}
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	wanted := project.KeyInput{Name: in.Name, Test: in.Test}
	if in.ProjectID != nil {
		p, err := a.config.Store.FindProject(r.Context(), *in.ProjectID)
		if errors.Is(err, project.ErrNoProject) {
			return answer{}, wrongField("project_id", "project_id is %.80q: there is no project of this id or name", *in.ProjectID)
		}
		if err != nil {
			return answer{}, err
		}
		wanted.ProjectID = &p.ID
	}
	key, secret, err := a.config.Store.CreateKey(r.Context(), wanted)
	if err != nil {
		return answer{}, err
	}
	body := newKeyBody(key)
	body.Key = secret
	return answer{status: http.StatusCreated, body: body}, nil
}

func (a *API) listKeys(r *http.Request) (answer, error) {
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	keys, next, err := a.config.Store.ListKeys(r.Context(), given(r)["cursor"], limit)
	if err != nil {
		return answer{}, err
	}
	bodies := make([]keyBody, len(keys))
	for i, k := range keys {
		bodies[i] = newKeyBody(k)
	}
	return answer{status: http.StatusOK, body: newPage(bodies, next)}, nil
}

func (a *API) revokeKey(r *http.Request) (answer, error) {
	text, err := variable(r, "key")
	if err != nil {
		return answer{}, err
	}
	id, err := uuid.Parse(text)
	if err != nil {
		return answer{}, errNoKey
	}
	err = a.config.Store.RevokeKey(r.Context(), id)
	if errors.Is(err, project.ErrNoKey) {
		return answer{}, errNoKey
	}
	if err != nil {
		return answer{}, err
	}
	return answer{status: http.StatusNoContent}, nil
}
