package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
)

// Users reads users from the mirrors of projects; see mirror.Mirrors.
type Users interface {
	// History returns mirror.ErrNoUser where the mirror has no such user.
	History(ctx context.Context, projectID uuid.UUID, userID string) (mirror.History, error)
}

// user finds the project and the id of the user that the path names.
func (a *API) user(r *http.Request) (p project.Project, id string, err error) {
	if p, err = a.project(r); err != nil {
		return p, "", err
	}
	id, err = variable(r, "user")
	return p, id, err
}

func (a *API) getUser(r *http.Request) (answer, error) {
	p, id, err := a.user(r)
	if err != nil {
		return answer{}, err
	}
	history, err := a.config.Users.History(r.Context(), p.ID, id)
	if errors.Is(err, mirror.ErrNoUser) {
		return answer{}, failure(http.StatusNotFound,
			"project %s has no user of this id; percent-encode it in the path (auth0|1 is auth0%%7C1)", p.Name)
	}
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: history}, nil
}
