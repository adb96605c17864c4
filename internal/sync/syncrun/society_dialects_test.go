package syncrun_test

import (
	"fmt"
	"maps"
	"time"

	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/record"
)

// inClerk is the form of Clerk: every object has a clock, and a membership one role.
type inClerk struct{ clerk.Provider }

func (inClerk) object(of record.Type, id, value string, at time.Time) map[string]any {
	object := map[string]any{"id": id, "updated_at": at.UnixMilli()}
	switch of {
	case record.User:
		object["first_name"] = value
	case record.Organization:
		object["name"] = value
	case record.Membership:
		organizationID, userID, _ := record.SplitMembershipID(id)
		object["id"], object["role"] = "orgmem_"+id, value
		object["organization"], object["public_user_data"] = map[string]any{"id": organizationID}, map[string]any{"user_id": userID}
	case record.Invitation, record.Session: // a society has none
	}
	return object
}

func (inClerk) value(of record.Type, object map[string]any) string {
	return fmt.Sprint(object[map[record.Type]string{record.User: "first_name", record.Organization: "name", record.Membership: "role"}[of]])
}

func (c inClerk) saysPut(of record.Type, id string, _ map[string]any, value string, step func(map[string]any) time.Time) []mirror.Event {
	object := c.object(of, id, value, time.Time{})
	at := step(object)
	object["updated_at"] = at.UnixMilli() // nobody has seen it yet
	return []mirror.Event{c.says(of, "updated", at, object)}
}

func (c inClerk) saysRemoved(of record.Type, id string, before map[string]any, stamp func() time.Time) []mirror.Event {
	object := before
	if of != record.Membership {
		object = map[string]any{"id": id, "deleted": true}
	}
	return []mirror.Event{c.says(of, "deleted", stamp(), object)}
}

func (c inClerk) says(of record.Type, what string, at time.Time, object map[string]any) mirror.Event {
	family := map[record.Type]string{record.User: "user", record.Organization: "organization", record.Membership: "organizationMembership"}[of]
	return webhook(c, at, map[string]any{"type": family + "." + what, "timestamp": at.UnixMilli(), "data": object})
}

// comesBackNew: in the mirror, memberships that ended with an organization or a user come back with it.
func (inClerk) comesBackNew(of record.Type) bool { return of == record.Membership }

// inAuth0 is the form of Auth0: only users have a clock, and webhooks tell of roles one by one.
type inAuth0 struct{ auth0.Provider }

func (inAuth0) object(of record.Type, id, value string, at time.Time) map[string]any {
	switch of {
	case record.User:
		return map[string]any{"user_id": id, "given_name": value, "updated_at": stampOf(at)}
	case record.Organization:
		return map[string]any{"id": id, "name": value}
	default:
		organizationID, userID, _ := record.SplitMembershipID(id)
		roles := []map[string]any{}
		if value != "" {
			roles = append(roles, roleOf(value))
		}
		return map[string]any{"organization": map[string]any{"id": organizationID}, "user": map[string]any{"user_id": userID, "roles": roles}}
	}
}

func stampOf(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z07:00") }

func roleOf(name string) map[string]any { return map[string]any{"id": "rol_" + name, "name": name} }

func (inAuth0) value(of record.Type, object map[string]any) string {
	if of != record.Membership {
		return fmt.Sprint(object[map[record.Type]string{record.User: "given_name", record.Organization: "name"}[of]])
	}
	if user, _ := object["user"].(map[string]any); user != nil {
		if roles, _ := user["roles"].([]map[string]any); len(roles) > 0 {
			return fmt.Sprint(roles[0]["name"])
		}
	}
	return ""
}

func (a inAuth0) saysPut(of record.Type, id string, before map[string]any, value string, step func(map[string]any) time.Time) (told []mirror.Event) {
	if of != record.Membership {
		object := a.object(of, id, value, time.Time{})
		at := step(object)
		if of == record.User {
			object["updated_at"] = stampOf(at) // nobody has seen it yet
		}
		return []mirror.Event{a.says(string(of)+".updated", at, object)}
	}
	had := ""
	bare := a.object(of, id, "", time.Time{})
	if before == nil {
		told = append(told, a.says("organization.member.added", step(bare), bare))
	} else if had = a.value(of, before); had == value {
		return nil
	} else if had != "" {
		told = append(told, a.says("organization.member.role.deleted", step(bare), a.withRole(bare, had)))
	}
	return append(told, a.says("organization.member.role.assigned", step(a.object(of, id, value, time.Time{})), a.withRole(bare, value)))
}

func (a inAuth0) saysRemoved(of record.Type, id string, before map[string]any, stamp func() time.Time) (told []mirror.Event) {
	if of != record.Membership {
		object := map[string]any{"id": id}
		if of == record.User {
			object = map[string]any{"user_id": id}
		}
		return []mirror.Event{a.says(string(of)+".deleted", stamp(), object)}
	}
	bare := a.object(of, id, "", time.Time{})
	if had := a.value(of, before); had != "" {
		told = append(told, a.says("organization.member.role.deleted", stamp(), a.withRole(bare, had)))
	}
	return append(told, a.says("organization.member.deleted", stamp(), bare))
}

func (inAuth0) withRole(membership map[string]any, name string) map[string]any {
	object := maps.Clone(membership)
	object["role"] = roleOf(name)
	return object
}

func (a inAuth0) says(what string, at time.Time, object map[string]any) mirror.Event {
	return webhook(a, at, map[string]any{"type": what, "time": stampOf(at), "id": fmt.Sprintf("evt_%022d", at.UnixMilli()), "data": map[string]any{"object": object}})
}

// comesBackNew: beside that, nothing tells that the roles of such a membership have ended. A membership that
// ends by itself loses them first.
func (inAuth0) comesBackNew(of record.Type) bool { return of == record.Membership }
