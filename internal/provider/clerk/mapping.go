package clerk

import (
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// The mirrored types; all others are ignored.
const (
	userCreated         = "user.created"
	userUpdated         = "user.updated"
	userDeleted         = "user.deleted"
	organizationCreated = "organization.created"
	organizationUpdated = "organization.updated"
	organizationDeleted = "organization.deleted"
	membershipCreated   = "organizationMembership.created"
	membershipUpdated   = "organizationMembership.updated"
	membershipDeleted   = "organizationMembership.deleted"
	invitationCreated   = "organizationInvitation.created"
	invitationAccepted  = "organizationInvitation.accepted"
	invitationRevoked   = "organizationInvitation.revoked"
	sessionCreated      = "session.created"
	sessionPending      = "session.pending"
	sessionEnded        = "session.ended"
	sessionRemoved      = "session.removed"
	sessionRevoked      = "session.revoked"
)

// mappingOf returns where the objects of a type have their values; ok is false if the type is not
// mirrored. Nothing but the type tells that a membership was deleted or a session has ended. A
// revoked invitation stays, with that status.
func mappingOf(typ string) (m payload.Mapping, deletes, ok bool) {
	switch typ {
	case userCreated, userUpdated:
		return users(), false, true
	case userDeleted:
		return users(), true, true
	case organizationCreated, organizationUpdated:
		return organizations(), false, true
	case organizationDeleted:
		return organizations(), true, true
	case membershipCreated, membershipUpdated:
		return memberships(), false, true
	case membershipDeleted:
		return memberships(), true, true
	case invitationCreated, invitationAccepted, invitationRevoked:
		return invitations(), false, true
	case sessionCreated, sessionPending:
		return sessions(), false, true
	case sessionEnded, sessionRemoved, sessionRevoked:
		return sessions(), true, true
	default:
		return m, false, false
	}
}

// users has the keys of Clerk's user object. The e-mail address is an element of a list; see
// setEmailOf.
func users() payload.Mapping {
	return payload.Mapping{Type: record.User, Secrets: verificationSecrets(), Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.Email, Path: "email_addresses"},
		{Field: payload.FirstName, Path: "first_name"},
		{Field: payload.LastName, Path: "last_name"},
		{Field: payload.Username, Path: "username"},
		{Field: payload.ImageURL, Path: "image_url"},
		{Field: payload.CreatedAt, Path: "created_at"},
		{Field: payload.UpdatedAt, Path: "updated_at"},
		{Field: payload.LastSignInAt, Path: "last_sign_in_at"},
	}}
}

// verificationSecrets are the keys of a verification of an address, wallet or account by which it is carried on: what is
// to be signed, and a link with the state of the request.
func verificationSecrets() []string { return []string{"nonce", "externalverificationredirecturl"} }

func organizations() payload.Mapping {
	return payload.Mapping{Type: record.Organization, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.Name, Path: "name"},
		{Field: payload.Slug, Path: "slug"},
		{Field: payload.ImageURL, Path: "image_url"},
		{Field: payload.CreatedAt, Path: "created_at"},
		{Field: payload.UpdatedAt, Path: "updated_at"},
	}}
}

// memberships has the keys of Clerk's organization membership, which has one role.
func memberships() payload.Mapping {
	return payload.Mapping{Type: record.Membership, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.OrganizationID, Path: "organization.id"},
		{Field: payload.UserID, Path: "public_user_data.user_id"},
		{Field: payload.Role, Path: "role"},
		{Field: payload.Roles, Path: "role"},
		{Field: payload.Permissions, Path: "permissions"},
		{Field: payload.CreatedAt, Path: "created_at"},
		{Field: payload.UpdatedAt, Path: "updated_at"},
	}}
}

// invitations has the keys of Clerk's organization invitation. Whoever knows its url can accept it.
func invitations() payload.Mapping {
	return payload.Mapping{Type: record.Invitation, Secrets: []string{"url"}, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.OrganizationID, Path: "organization_id"},
		{Field: payload.Email, Path: "email_address"},
		{Field: payload.Role, Path: "role"},
		{Field: payload.Status, Path: "status"},
		{Field: payload.ExpiresAt, Path: "expires_at"},
		{Field: payload.CreatedAt, Path: "created_at"},
		{Field: payload.UpdatedAt, Path: "updated_at"},
	}}
}

// sessions has the keys of Clerk's session. One that has ended was updated last when it did.
func sessions() payload.Mapping {
	return payload.Mapping{Type: record.Session, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.UserID, Path: "user_id"},
		{Field: payload.Status, Path: "status"},
		{Field: payload.CreatedAt, Path: "created_at"},
		{Field: payload.UpdatedAt, Path: "updated_at"},
		{Field: payload.LastActiveAt, Path: "last_active_at"},
		{Field: payload.ExpiresAt, Path: "expire_at"},
		{Field: payload.DeletedAt, Path: "updated_at"},
	}}
}

// needed are the paths that option exclude cannot have.
func needed() []string {
	paths := []string{"type", "timestamp", "instance_id"}
	for _, m := range []payload.Mapping{users(), organizations(), memberships(), invitations(), sessions()} {
		paths = append(paths, m.Needed("data")...)
	}
	return paths
}
