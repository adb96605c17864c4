package betterauth

import (
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// The types of users.
const (
	userCreated = "user.created"
	userUpdated = "user.updated"
	userDeleted = "user.deleted"
)

// mappingOf returns where the rows of a type have their values; ok is false if the type is not
// mirrored. The types are authsync's own, since Better Auth sends nothing: the name of the table, or
// membership for member, and created, updated or deleted. An invitation that was accepted, rejected
// or canceled was updated: its status says so.
func mappingOf(typ string) (m payload.Mapping, deletes, ok bool) {
	table, action, _ := strings.Cut(typ, ".")
	switch action {
	case "created", "updated":
	case "deleted":
		deletes = true
	default:
		return m, false, false
	}
	switch table {
	case "user":
		return users(), deletes, true
	case "organization":
		return organizations(), deletes, true
	case "member", "membership":
		return memberships(), deletes, true
	case "invitation":
		return invitations(), deletes, true
	case "session":
		return sessions(), deletes, true
	default:
		return m, false, false
	}
}

// users has the keys of Better Auth's user row. It has no time of the last sign-in; firstName and
// lastName are additional fields that customers add.
func users() payload.Mapping {
	return payload.Mapping{Type: record.User, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.Email, Path: "email"},
		{Field: payload.FirstName, Path: "firstName"},
		{Field: payload.LastName, Path: "lastName"},
		{Field: payload.FullName, Path: "name"},
		{Field: payload.Username, Path: "username"},
		{Field: payload.ImageURL, Path: "image"},
		{Field: payload.CreatedAt, Path: "createdAt"},
		{Field: payload.UpdatedAt, Path: "updatedAt"},
	}}
}

// organizations has the keys of the row of plugin organization; updatedAt is an additional field
// that customers may add.
func organizations() payload.Mapping {
	return payload.Mapping{Type: record.Organization, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.Name, Path: "name"},
		{Field: payload.Slug, Path: "slug"},
		{Field: payload.ImageURL, Path: "logo"},
		{Field: payload.CreatedAt, Path: "createdAt"},
		{Field: payload.UpdatedAt, Path: "updatedAt"},
	}}
}

// memberships has the keys of the member row, whose role is a text with commas between several. What
// a role permits is in the code of the server.
func memberships() payload.Mapping {
	return payload.Mapping{Type: record.Membership, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.OrganizationID, Path: "organizationId"},
		{Field: payload.UserID, Path: "userId"},
		{Field: payload.Role, Path: "role"},
		{Field: payload.Roles, Path: "role"},
		{Field: payload.CreatedAt, Path: "createdAt"},
		{Field: payload.UpdatedAt, Path: "updatedAt"},
	}}
}

// invitations has the keys of the invitation row. It has no link: an invitation is accepted by its
// id, by the signed-in owner of the address. One that a customer adds, under any of these names, is
// not stored: whoever has it may be able to accept. The same names in rows of other tables are the
// customer's own data, such as the address of a home page, and stay.
func invitations() payload.Mapping {
	secrets := []string{"url", "link", "inviteurl", "invitelink", "invitationurl", "invitationlink", "accepturl", "acceptlink"}
	return payload.Mapping{Type: record.Invitation, Secrets: secrets, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.OrganizationID, Path: "organizationId"},
		{Field: payload.Email, Path: "email"},
		{Field: payload.Role, Path: "role"},
		{Field: payload.Status, Path: "status"},
		{Field: payload.ExpiresAt, Path: "expiresAt"},
		{Field: payload.CreatedAt, Path: "createdAt"},
		{Field: payload.UpdatedAt, Path: "updatedAt"},
	}}
}

// sessions has the keys of the session row, without its token. It has neither a status nor a time of
// the last activity.
func sessions() payload.Mapping {
	return payload.Mapping{Type: record.Session, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.UserID, Path: "userId"},
		{Field: payload.CreatedAt, Path: "createdAt"},
		{Field: payload.UpdatedAt, Path: "updatedAt"},
		{Field: payload.ExpiresAt, Path: "expiresAt"},
	}}
}

// unmirrored finishes an event of a type that is not mirrored. Teams are none of them: a teamMember row names a team and no
// organization, so that it says nothing of a membership until its team is known, which may come later or have changed
// meanwhile; and one deleted team ends many of them without a hook for each.
func unmirrored(e provider.Event) provider.Event {
	switch table, _, _ := strings.Cut(strings.ToLower(e.Type), "."); table {
	case "team", "teammember":
		return payload.Ignored(e, "teams are not mirrored (type "+e.Type+"): read Better Auth's own tables team and teamMember")
	default:
		return payload.Unmirrored(e)
	}
}

// needed are the paths that option exclude cannot have.
func needed() []string {
	paths := []string{"type", "event", "id", "timestamp"}
	for _, m := range []payload.Mapping{users(), organizations(), memberships(), invitations(), sessions()} {
		paths = append(paths, m.Needed("data")...)
	}
	return append(paths, users().Needed("user")...)
}
