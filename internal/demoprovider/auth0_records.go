package demoprovider

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Auth0OrganizationScopes are the permissions that reading organizations needs.
const Auth0OrganizationScopes = "read:organizations read:organization_members read:organization_member_roles read:organization_invitations"

// Auth0OrganizationID is the id of an organization.
func Auth0OrganizationID(number int) string { return fmt.Sprintf("org_%016d", number) }

// organizations answers the calls about organizations, by the path behind api/v2/organizations.
func (a *Auth0) organizations(w http.ResponseWriter, r *http.Request, path string) {
	if path == "" {
		if a.allows(w, "read:organizations") {
			a.checkpoints(w, r, "organizations", auth0Organization, a.Organizations.list())
		}
		return
	}
	escaped, list, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	id, _ := url.PathUnescape(escaped)
	of, known := a.Organizations.find(id, Auth0OrganizationID)
	invitation, isOne := strings.CutPrefix(list, "invitations/")
	member, ofRoles := strings.CutSuffix(strings.TrimPrefix(list, "members/"), "/roles")
	switch {
	case ofRoles:
		a.rolesOf(w, of, member)
	case list == "" && a.allows(w, "read:organizations"):
		a.one(w, known, func() string { return auth0Organization(of) })
	case isOne && a.allows(w, "read:organization_invitations"):
		i := slices.IndexFunc(of.Invitations, func(i Invitation) bool { return auth0InvitationID(of, i) == invitation })
		a.one(w, known && i >= 0, func() string { return auth0Invitation(of, of.Invitations[i]) })
	case list == "" || isOne: // it is answered
	case list != "members" && list != "invitations":
		auth0Error(w, http.StatusNotFound, "Not Found", "")
	case list == "members" && a.allows(w, "read:organization_members"):
		a.members(w, r, of, known)
	case list == "invitations" && a.allows(w, "read:organization_invitations"):
		a.invitations(w, r, of, known)
	}
}

func auth0Organization(of Organization) string {
	return fmt.Sprintf(`{"id":%q,"name":%q,"display_name":%s,"branding":{"logo_url":"https://images.example.com/organizations/%[2]s.png"},"metadata":{}}`,
		Auth0OrganizationID(of.Number), slugOf(of.Name), text(of.Name))
}

// one answers with an object, if it exists.
func (a *Auth0) one(w http.ResponseWriter, exists bool, object func() string) {
	if !exists {
		auth0Error(w, http.StatusNotFound, "Not Found", "inexistent")
		return
	}
	writeJSON(w, http.StatusOK, object())
}

// organizationsOf answers the list of a user's organizations, which is paged by number.
func (a *Auth0) organizationsOf(w http.ResponseWriter, r *http.Request, escaped string) {
	id, _ := url.PathUnescape(escaped)
	page, _ := number(r, "page", 0)
	size, _ := number(r, "per_page", 50)
	user, ok := auth0Number(id)
	switch {
	case !a.allows(w, "read:organizations"): // it is answered
		return
	case !ok || !a.Account.has(user):
		auth0Error(w, http.StatusNotFound, "The user does not exist.", "inexistent_user")
		return
	}
	var objects []string
	for _, of := range a.Organizations.list() {
		if slices.ContainsFunc(of.Members, func(m Member) bool { return m.User == user }) {
			objects = append(objects, auth0Organization(of))
		}
	}
	p := a.recordPaging(r)
	writeJSON(w, http.StatusOK, "["+strings.Join(misplaced(p, objects, page*size, size), ",")+"]")
}

func auth0InvitationID(of Organization, i Invitation) string {
	return fmt.Sprintf("uinv_%d_%d", of.Number, i.Number)
}

func auth0Invitation(of Organization, i Invitation) string {
	return fmt.Sprintf(`{"id":%q,"organization_id":%q,"inviter":{"name":"Mary"},"invitee":{"email":%s},`+
		`"invitation_url":"https://shop.example.com/login?invitation=t1cket","ticket_id":"t1cket","created_at":%q,"expires_at":"2030-01-01T00:00:00.000Z","roles":["rol_%s"]}`,
		auth0InvitationID(of, i), Auth0OrganizationID(of.Number), text(i.Email), organizationCreated(of.Number).Format("2006-01-02T15:04:05.000Z"), i.Role)
}

func (a *Auth0) members(w http.ResponseWriter, r *http.Request, of Organization, known bool) {
	roles := strings.Contains(r.URL.Query().Get("fields"), "roles")
	switch {
	case roles && !a.allows(w, "read:organization_member_roles"): // it is answered
	case !known:
		auth0Error(w, http.StatusNotFound, "No organization found by that id or name.", "inexistent_organization")
	default:
		a.checkpoints(w, r, "members", func(m Organization) string {
			member := m.Members[0]
			object := fmt.Sprintf(`{"user_id":%q,"email":"mary.%d@example.com","picture":"https://images.example.com/avatars/mary.png","name":"Mary Somerville"`,
				Auth0ID(member.User), member.User)
			if roles && member.Role != "" {
				object += `,"roles":[` + auth0Role(member.Role) + `]`
			} else if roles {
				object += `,"roles":[]`
			}
			return object + "}"
		}, each(of))
	}
}

// rolesOf answers the list of the roles of a member; whoever is none has no roles.
func (a *Auth0) rolesOf(w http.ResponseWriter, of Organization, escaped string) {
	if !a.allows(w, "read:organization_member_roles") { // it is answered
		return
	}
	id, _ := url.PathUnescape(escaped)
	roles := []string{}
	for _, m := range of.Members {
		if Auth0ID(m.User) == id && m.Role != "" {
			roles = append(roles, auth0Role(m.Role))
		}
	}
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"start":0,"limit":100,"total":%d,"roles":[%s]}`, len(roles), strings.Join(roles, ",")))
}

func auth0Role(name string) string { return fmt.Sprintf(`{"id":"rol_%s","name":%[1]q}`, name) }

// each is an organization with one member, for each of its members.
func each(of Organization) (all []Organization) {
	for _, m := range of.Members {
		one := of
		one.Members = []Member{m}
		all = append(all, one)
	}
	return all
}

// checkpoints answers a list that is paged by from and take, and names a next page even where that
// is empty.
func (a *Auth0) checkpoints(w http.ResponseWriter, r *http.Request, key string, object func(Organization) string, all []Organization) {
	take, errTake := number(r, "take", 50)
	from := r.URL.Query().Get("from")
	position := 0
	known := from == ""
	if from != "" && !a.forgets(from) {
		n, err := strconv.Atoi(strings.TrimPrefix(from, "chk_"))
		position, known = n, err == nil
	}
	switch {
	case errTake != nil || take < 1 || take > 100:
		auth0Error(w, http.StatusBadRequest, "Query validation error", "invalid_query_string")
		return
	case !known:
		auth0Error(w, http.StatusBadRequest, "The checkpoint is invalid or has expired.", "invalid_paging")
		return
	}
	p := a.recordPaging(r)
	var objects []string
	page := misplaced(p, all, position, take)
	for _, of := range page {
		objects = append(objects, p.entry(object(of)))
	}
	next := ""
	if len(page) > 0 && (len(page) == take || position+len(page) < len(all)) {
		next = fmt.Sprintf(`,"next":"chk_%d"`, position+len(page))
	}
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{%q:[%s]%s}`, key, strings.Join(objects, ","), next))
}

// forgets reports whether a checkpoint has expired: each of Expired does, once.
func (a *Auth0) forgets(checkpoint string) bool {
	a.state.Lock()
	defer a.state.Unlock()
	i := slices.Index(a.Expired, checkpoint)
	if i >= 0 {
		a.Expired = slices.Delete(a.Expired, i, i+1)
	}
	return i >= 0
}

// invitations answers a list that is paged by number and has no total.
func (a *Auth0) invitations(w http.ResponseWriter, r *http.Request, of Organization, known bool) {
	page, errPage := number(r, "page", 0)
	size, errSize := number(r, "per_page", 50)
	switch {
	case !known:
		auth0Error(w, http.StatusNotFound, "No organization found by that id or name.", "inexistent_organization")
		return
	case errPage != nil || errSize != nil || page < 0 || size < 1 || size > 100:
		auth0Error(w, http.StatusBadRequest, "Query validation error", "invalid_query_string")
		return
	}
	p := a.recordPaging(r)
	invitations := of.Invitations
	if r.URL.Query().Get("sort") != "created_at:1" {
		invitations = slices.Clone(invitations)
		slices.Reverse(invitations)
	}
	var objects []string
	for _, i := range misplaced(p, invitations, page*size, size) {
		objects = append(objects, p.entry(auth0Invitation(of, i)))
	}
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"start":%d,"limit":%d,"invitations":[%s]}`, page*size, size, strings.Join(objects, ",")))
}
