package auth0

import (
	"encoding/json"
	"strings"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/record"
)

// DecodeUser translates an object of Auth0's Management API (GET /api/v2/users, or a line of a user
// export), which has the keys of an event's object.
func (Provider) DecodeUser(object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	return payload.Import(object, i, o, payload.Change{Mapping: users()}, nil)
}

// DecodeRecord translates an organization, a member or an invitation, as Records returns them. The
// roles of a member replace all that were reported one by one before; a member that was read without
// them keeps those it had.
func (Provider) DecodeRecord(t record.Type, object json.RawMessage, i provider.Import, o provider.Options) provider.Event {
	change, prepare := payload.Change{}, func(c *payload.Change, _ bool) { c.Values[payload.Roles] = namesOfRoles(c.Values[payload.Roles]) }
	switch t {
	case record.Organization:
		change.Mapping = organizations()
		prepare = func(c *payload.Change, _ bool) { setName(c) }
	case record.Membership:
		change.Mapping = memberships()
		if hasRoles(object) {
			change.Keys = append(change.Keys, payload.Key{Field: payload.Roles, Path: "user.roles"})
		}
	case record.Invitation:
		change.Mapping = invitations()
	case record.User, record.Session:
		return payload.ImportUnmirrored(t, i)
	}
	return payload.Import(object, i, o, change, prepare)
}

// hasRoles reports whether a member was read with its roles.
func hasRoles(member json.RawMessage) bool {
	doc, err := payload.Parse(member)
	if err != nil || !doc.IsObject() {
		return false
	}
	user := doc.Member("user")
	return user.IsObject() && user.Member("roles").IsArray()
}

// namesOfRoles returns the roles of a member as a list of their names, or ids where they have none.
func namesOfRoles(roles payload.Value) payload.Value {
	if !roles.IsArray() {
		return roles
	}
	names := []byte{'['}
	for role := range roles.Elements() {
		name := role
		if role.IsObject() {
			if name = role.Member("name"); name.IsAbsent() || name.IsBlank() {
				name = role.Member("id")
			}
		}
		if name.IsAbsent() {
			name = payload.Null()
		}
		if len(names) > 1 {
			names = append(names, ',')
		}
		names = append(names, name...)
	}
	return append(names, ']')
}

// Comparison describes how to compare: entries of identities are shorter in an export and in a
// failed delivery. A login also changes updated_at; brute-force blocks come and go without an
// event.
func (Provider) Comparison() provider.Comparison {
	return provider.Comparison{
		Complete: strings.Fields(`user_id email email_verified phone_number phone_verified name given_name family_name nickname picture
			username blocked app_metadata user_metadata created_at updated_at`),
		Quiet: strings.Fields(`last_login last_ip logins_count blocked_for`),
		Loose: strings.Fields(`identities`),
	}
}
