package api

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
)

// Users reads users from the mirrors of projects; see mirror.Mirrors.
type Users interface {
	// History returns mirror.ErrNoRecord where the mirror has no such user.
	History(ctx context.Context, projectID uuid.UUID, userID string, before int64) (mirror.History, error)
	// List takes an empty email for all users.
	List(ctx context.Context, projectID uuid.UUID, email, after string, limit int) ([]mirror.Listed, error)
}

// user finds the project and the id of the user that the path names.
func (a *API) user(r *http.Request) (p project.Project, id string, err error) {
	if p, err = a.project(r); err != nil {
		return p, "", err
	}
	id, err = variable(r, "user")
	return p, id, err
}

// changesBefore reads the change before which the history is to be shown; 0: from the newest.
func changesBefore(r *http.Request) (int64, error) {
	text := given(r)["cursor"]
	if text == "" {
		return 0, nil
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 1 {
		return 0, fault.ErrBadCursor
	}
	return id, nil
}

// listUsers lists the users of the mirror by id, or finds those with an address of e-mail. A cursor
// is the last id of the page before.
func (a *API) listUsers(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	limit, err := limitOf(r)
	if err != nil {
		return answer{}, err
	}
	after := ""
	if cursor := given(r)["cursor"]; cursor != "" {
		decoded, err := base64.RawURLEncoding.DecodeString(cursor)
		if after = string(decoded); err != nil || !storable(after) || after == "" {
			return answer{}, fault.ErrBadCursor
		}
	}
	users, err := a.config.Users.List(r.Context(), p.ID, given(r)["email"], after, limit+1)
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	next := ""
	if len(users) > limit {
		users = users[:limit]
		next = base64.RawURLEncoding.EncodeToString([]byte(users[limit-1].ID))
	}
	return answer{status: http.StatusOK, body: newPage(each(users, listedUserOf), next)}, nil
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
	if errors.Is(err, mirror.ErrNoRecord) {
		return answer{}, fail(fault.UserNotFound,
			"project %s has no user of this id: percent-encode it in the path (auth0|1 is auth0%%7C1)", p.Name)
	}
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: userOf(&history)}, nil
}

func listedUserOf(u mirror.Listed) wire.ListedUser {
	u.CreatedAt, u.LastSignInAt, u.DeletedAt = utc(u.CreatedAt), utc(u.LastSignInAt), utc(u.DeletedAt)
	return wire.ListedUser(u)
}

func userOf(h *mirror.History) wire.User[mirror.User] {
	user := wire.User[mirror.User]{
		User:    h.User,
		Sources: each(h.Sources, func(s mirror.Source) wire.Source { return wire.Source(s) }),
		Changes: each(h.Changes, func(c mirror.Change) wire.Change { return wire.Change(c) }),
	}
	if h.ChangesBefore != nil {
		next := strconv.FormatInt(*h.ChangesBefore, 10)
		user.NextCursor = &next
	}
	return user
}
