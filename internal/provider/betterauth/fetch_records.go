package betterauth

import (
	"context"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
)

// Records reads nothing: the admin API lists the organizations of the session's user only.
func (s *source) Records(context.Context, string) (userapi.RecordPage, error) {
	const reason = "organizations, memberships and invitations are not read: Better Auth's admin API has no list of all of them. " +
		"With option source they are read from its tables"
	page := userapi.RecordPage{Notes: []string{reason}}
	page.Unlist(reason, record.Organization, record.Membership, record.Invitation)
	return page, nil
}

// Record reads nothing either.
func (s *source) Record(_ context.Context, ref userapi.RecordRef) (userapi.Record, error) {
	return userapi.Record{}, fault.Newf(fault.Unsupported, "the %ss of Better Auth cannot be read by its admin API: with option source they are read from its tables", ref.Type)
}
