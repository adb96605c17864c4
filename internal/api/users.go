package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
)

// Users reads users from the mirrors of projects; see mirror.Mirrors.
type Users interface {
	// History returns mirror.ErrNoUser where the mirror has no such user.
	History(ctx context.Context, projectID uuid.UUID, userID string, before int64) (mirror.History, error)
}

// user finds the project and the id of the user that the path names.
func (a *API) user(r *http.Request) (p project.Project, id string, err error) {
	if p, err = a.project(r); err != nil {
		return p, "", err
	}
	id, err = variable(r, "user")
	return p, id, err
}

// changesBefore reads from which change backwards a user's history is asked for; 0: from the newest.
func changesBefore(r *http.Request) (int64, error) {
	text := r.URL.Query().Get("changes_before")
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, failure(http.StatusBadRequest, "changes_before must be the changes_before of an earlier answer, such as 4711")
	}
	return id, nil
}

func (a *API) getUser(r *http.Request) (answer, error) {
	p, id, err := a.user(r)
	if err != nil {
		return answer{}, err
	}
	before, err := changesBefore(r)
	if err != nil {
		return answer{}, err
	}
	history, err := a.config.Users.History(r.Context(), p.ID, id, before)
	if errors.Is(err, mirror.ErrNoUser) {
		return answer{}, failure(http.StatusNotFound,
			"project %s has no user of this id; percent-encode it in the path (auth0|1 is auth0%%7C1)", p.Name)
	}
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: history}, nil
}
