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
	lists := payload.Lists{
		Organizations: organizations, Memberships: listedMemberships, Invitations: invitations,
		Prepare: func(c *payload.Change, _ bool) {
			switch c.Type {
			case record.Organization:
				setName(c)
			case record.Membership:
				setRoles(c)
			case record.User, record.Invitation, record.Session:
			}
		},
	}
	return lists.Import(t, object, i, o)
}

// listedMemberships has the keys of a member as Records returns it.
func listedMemberships() payload.Mapping {
	m := memberships()
	m.Keys = append(m.Keys, payload.Key{Field: payload.Roles, Path: "user.roles"})
	return m
}

// setRoles sets the roles of a member by their names. What has no list of them was read without:
// it says nothing about roles, even where other missing keys are cleared.
func setRoles(c *payload.Change) {
	roles := payload.Value(nil)
	if user := c.Object.Member("user"); user.IsObject() {
		roles = user.Member("roles")
	}
	if c.Values[payload.Roles] = nil; roles.IsArray() {
		c.Values[payload.Roles] = namesOfRoles(roles)
	}
}

// namesOfRoles returns the roles of a member as a list of their names, or ids where they have none.
func namesOfRoles(roles payload.Value) payload.Value {
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
func (Provider) Comparison(t record.Type) provider.Comparison {
	switch t {
	case record.User:
	case record.Membership: // a member's profile sends no event of the membership, and has less in it than in one
		return provider.Comparison{Quiet: strings.Fields(`organization user`), Loose: strings.Fields(`organization user`)}
	case record.Organization, record.Invitation, record.Session:
		return provider.Comparison{}
	}
	return provider.Comparison{
		Complete: strings.Fields(`user_id email email_verified phone_number phone_verified name given_name family_name nickname picture
			username blocked app_metadata user_metadata created_at updated_at`),
		Quiet: strings.Fields(`last_login last_ip logins_count blocked_for`),
		Loose: strings.Fields(`identities`),
	}
}
