package api

import (
	"context"
	"net/http"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/problem"
)

// Grants lets database roles read a mirror; see mirror.Mirrors.
type Grants interface {
	// Grant returns the rights that the role has and what it sees, and fault.Invalid where
	// it cannot be made a reader.
	Grant(ctx context.Context, projectID uuid.UUID, reader mirror.Reader) (mirror.Granted, error)
}

func (a *API) grant(r *http.Request) (answer, error) {
	p, err := a.project(r)
	if err != nil {
		return answer{}, err
	}
	var in wire.Reader
	if err := readBody(r, &in); err != nil {
		return answer{}, err
	}
	if in.Role == "" {
		return answer{}, wrong(inBody, "role", problem.Missing, "role is missing: give the name of a role of the project's database")
	}
	if in.Read == nil {
		in.Read = []string{mirror.ReadMirror}
	}
	granted, err := a.config.Grants.Grant(r.Context(), p.ID, mirror.Reader(in))
	if err != nil {
		return answer{}, ofDatabase(p, err)
	}
	return answer{status: http.StatusOK, body: wire.Grant{
		Role: in.Role, Granted: granted.Rights, Sees: each(granted.Sees, func(s mirror.Visibility) wire.Visibility { return wire.Visibility(s) }),
	}}, nil
}
