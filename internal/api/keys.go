package api

import (
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/project"
)

func keyOf(k project.Key) wire.Key {
	return wire.Key{
		ID: k.ID.String(), Name: k.Name, Hint: k.Hint, ProjectID: idOrNull(k.ProjectID), Role: string(k.Role),
		CreatedAt: k.CreatedAt.UTC(), ExpiresAt: utc(k.ExpiresAt), LastUsedAt: utc(k.LastUsedAt), RevokedAt: utc(k.RevokedAt),
	}
}

func (a *API) createKey(r *http.Request) (answer, error) {
	var in wire.KeyOrder
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	wanted := project.KeyInput{Name: in.Name, Test: in.Test}
	if in.Role != nil {
		// An empty role must not make an admin key by way of the Store's default: it is a variable that was not set.
		if *in.Role == "" {
			return answer{}, wrongField("role", "role is empty: give it a value, or leave it out for %s", project.Admin)
		}
		wanted.Role = project.Role(*in.Role)
	}
	if in.ExpiresAt != nil {
		if *in.ExpiresAt == "" {
			return answer{}, wrongField("expires_at", "expires_at is empty: give it a time, or leave it out for a key that never expires")
		}
		at, err := moment(inBody, "expires_at", *in.ExpiresAt)
		if err != nil {
			return answer{}, err
		}
		wanted.ExpiresAt = &at
	}
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
	body := keyOf(key)
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
	return answer{status: http.StatusOK, body: newPage(each(keys, keyOf), next)}, nil
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
