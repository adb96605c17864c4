package auth0

import (
	"strings"

	"github.com/authsync/authsync/internal/provider"
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
	memberAdded         = "organization.member.added"
	memberDeleted       = "organization.member.deleted"
	roleAssigned        = "organization.member.role.assigned"
	roleDeleted         = "organization.member.role.deleted"
)

// mappingOf returns where the objects of a type have their values; ok is false if the type is not
// mirrored.
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
	case memberAdded, roleAssigned, roleDeleted:
		return memberships(), false, true
	case memberDeleted:
		return memberships(), true, true
	default:
		return m, false, false
	}
}

// users has the keys of Auth0's user object (Event Catalog, user.*).
func users() payload.Mapping {
	return payload.Mapping{Type: record.User, Keys: []payload.Key{
		{Field: payload.ID, Path: "user_id"},
		{Field: payload.Email, Path: "email"},
		{Field: payload.FirstName, Path: "given_name"},
		{Field: payload.LastName, Path: "family_name"},
		{Field: payload.FullName, Path: "name"},
		{Field: payload.Username, Path: "nickname"},
		{Field: payload.ImageURL, Path: "picture"},
		{Field: payload.CreatedAt, Path: "created_at"},
		{Field: payload.UpdatedAt, Path: "updated_at"},
		{Field: payload.LastSignInAt, Path: "last_login"},
		{Field: payload.DeletedAt, Path: "deleted_at"},
	}}
}

// organizations has the keys of Auth0's organization, whose name is a machine name; see setName. It
// has no times: the envelope's is the clock.
func organizations() payload.Mapping {
	return payload.Mapping{Type: record.Organization, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.Name, Path: displayName},
		{Field: payload.Slug, Path: "name"},
		{Field: payload.ImageURL, Path: "branding.logo_url"},
	}}
}

const displayName = "display_name"

// memberships has the keys of Auth0's events about members. A membership has neither an id nor
// times, and its roles are reported one by one; see setRole.
func memberships() payload.Mapping {
	return payload.Mapping{Type: record.Membership, Keys: []payload.Key{
		{Field: payload.OrganizationID, Path: "organization.id"},
		{Field: payload.UserID, Path: "user.user_id"},
	}}
}

// invitations has the keys of Auth0's invitation of an organization, which is only ever read: there
// are no events about one. It has no status, and the ids of its roles instead of their names.
func invitations() payload.Mapping {
	return payload.Mapping{Type: record.Invitation, Secrets: []string{"invitationurl", "ticketid"}, Keys: []payload.Key{
		{Field: payload.ID, Path: "id"},
		{Field: payload.OrganizationID, Path: "organization_id"},
		{Field: payload.Email, Path: "invitee.email"},
		{Field: payload.ExpiresAt, Path: "expires_at"},
		{Field: payload.CreatedAt, Path: "created_at"},
	}}
}

// setName uses the machine name of an organization without a display name.
func setName(c *payload.Change) {
	if display := c.Values[payload.Name]; display.IsAbsent() || display.IsBlank() {
		if machine := c.Values[payload.Slug]; !machine.IsAbsent() {
			c.Values[payload.Name] = machine
			c.Rename(payload.Name, "name")
		}
	}
}

// setRole reads the role of an event about a member's role: its name, otherwise its id. (Until 2025
// Auth0 sent the id only.) problem, if not empty, says what is wrong with it.
//
// Auth0 has no event for the renaming of a role. Members who were given a role before it was renamed
// therefore keep the old name, and taking the role from them, which names the new one, leaves it:
// only reading the members again corrects that.
func setRole(c *payload.Change, typ string) (problem string) {
	role := c.Object.Member("role")
	if !role.IsObject() {
		return payload.NotObject(c.Path+".role", role)
	}
	key, value := "name", role.Member("name")
	if value.IsAbsent() || value.IsBlank() {
		key, value = "id", role.Member("id")
	}
	name, problem := payload.RecordID(c.Path+".role."+key, value)
	if typ == roleAssigned {
		c.RoleAdded = name
	} else {
		c.RoleRemoved = name
	}
	return problem
}

// unmirrored finishes an event of a type that is not mirrored.
func unmirrored(e provider.Event) provider.Event {
	switch {
	case strings.HasPrefix(e.Type, "group."):
		return payload.Ignored(e, "groups are not mirrored (type "+e.Type+")")
	case strings.HasPrefix(e.Type, "organization.group."):
		return payload.Ignored(e, "roles of groups are not mirrored (type "+e.Type+")")
	case strings.HasPrefix(e.Type, "organization.connection."):
		return payload.Ignored(e, "connections of organizations are not mirrored (type "+e.Type+")")
	default:
		return payload.Unmirrored(e)
	}
}

// needed are the paths that option exclude cannot have: those of an event, and of an entry of a log stream.
func needed() []string {
	paths := []string{
		"type", "event", "id", "time", "timestamp", "a0purpose", "log_id", "logs", "data._id", "data.log_id", "data.date", "data.type",
		"detail", "detail-type", "data.user_id", "data.details.request.method", "data.details.request.path", "data.details.response.statusCode",
		"data.details.response.body.user_id", "data.details.body.user_id", "data.details.query.user_id", "data.object.role.id",
	}
	for _, m := range []payload.Mapping{users(), organizations(), memberships(), invitations()} {
		paths = append(paths, m.Needed("data.object", "data.previous_object")...)
	}
	return append(paths, users().Needed("user")...)
}
