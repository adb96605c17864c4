package betterauth

import (
	"context"

	"github.com/authsync/authsync/internal/provider/userapi"
)

// Records reads nothing: the admin API lists the organizations of the session's user only.
func (s *source) Records(context.Context, string) (userapi.RecordPage, error) {
	return userapi.RecordPage{Notes: []string{
		"organizations, memberships and invitations are not read: Better Auth's admin API has no list of all of them. " +
			"With option source they are read from its tables",
	}}, nil
}
