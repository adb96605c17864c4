package demoprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ClerkOrganizationID is the id of an organization.
func ClerkOrganizationID(number int) string { return fmt.Sprintf("org_2bGm%023d", number) }

// records answers the lists of the whole instance.
func (c *Clerk) records(w http.ResponseWriter, r *http.Request) {
	limit, errLimit := number(r, "limit", 10)
	offset, errOffset := number(r, "offset", 0)
	order := r.URL.Query().Get("order_by")
	invalid := func(what string) { clerkError(w, http.StatusUnprocessableEntity, "form_param_format_invalid", what) }
	switch {
	case c.NoOrganizations:
		clerkOrganizationsOff(w)
		return
	case errLimit != nil || limit < 1 || limit > 500:
		invalid("limit must be between 1 and 500")
		return
	case errOffset != nil || offset < 0:
		invalid("offset must be at least 0")
		return
	case !slices.Contains([]string{"", "created_at", "+created_at", "-created_at"}, order):
		invalid("order_by is not known")
		return
	}
	c.recordList(w, r, c.recordObjects(strings.TrimPrefix(r.URL.Path, "/v1/")), offset, limit)
}

func clerkOrganizationsOff(w http.ResponseWriter) {
	clerkError(w, http.StatusForbidden, "organization_not_enabled_in_instance", "The organizations feature is not enabled for this instance.")
}

// recordList answers with a part of a list, which is in order of creation.
func (c *Clerk) recordList(w http.ResponseWriter, r *http.Request, all []string, offset, limit int) {
	order := r.URL.Query().Get("order_by")
	p := c.recordPaging(r)
	total := len(all)
	if order == "" || order[0] == '-' {
		slices.Reverse(all)
	}
	all = misplaced(p, all, offset, limit)
	for i := range all {
		all[i] = p.entry(all[i])
	}
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"data":[%s],"total_count":%d}`, strings.Join(all, ","), total))
}

// record answers with an organization, one of its invitations, or the memberships of some of its members.
func (c *Clerk) record(w http.ResponseWriter, r *http.Request, path []string) {
	of, known := c.Organizations.find(path[0], ClerkOrganizationID)
	switch {
	case c.NoOrganizations:
		clerkOrganizationsOff(w)
		return
	case known && len(path) == 2 && path[1] == "memberships":
		c.membershipsOf(w, r, of)
		return
	case known && len(path) == 1:
		writeJSON(w, http.StatusOK, c.organization(of))
		return
	case known && len(path) == 3 && path[1] == "invitations":
		for _, i := range of.Invitations {
			if clerkInvitationID(of, i) == path[2] {
				writeJSON(w, http.StatusOK, c.invitation(of, i))
				return
			}
		}
	}
	clerkError(w, http.StatusNotFound, "resource_not_found", "Nothing was found at "+strings.Join(path, "/"))
}

// membershipsOf answers the list of the memberships of an organization, for the users asked for.
func (c *Clerk) membershipsOf(w http.ResponseWriter, r *http.Request, of Organization) {
	limit, _ := number(r, "limit", 10)
	offset, _ := number(r, "offset", 0)
	users := r.URL.Query()["user_id"]
	var all []string
	for _, m := range of.Members {
		if len(users) == 0 || slices.Contains(users, ClerkID(m.User)) {
			all = append(all, c.membership(of, m))
		}
	}
	c.recordList(w, r, all, offset, limit)
}

func clerkInvitationID(of Organization, i Invitation) string {
	return fmt.Sprintf("orginv_%d_%d", of.Number, i.Number)
}

// recordObjects are the objects of a list, in order of creation.
func (c *Clerk) recordObjects(list string) (objects []string) {
	for _, of := range c.Organizations.list() {
		switch list {
		case "organizations":
			objects = append(objects, c.organization(of))
		case "organization_memberships":
			for _, m := range of.Members {
				objects = append(objects, c.membership(of, m))
			}
		case "organization_invitations":
			for _, i := range of.Invitations {
				objects = append(objects, c.invitation(of, i))
			}
		}
	}
	return objects
}

func (c *Clerk) organization(of Organization) string {
	return fmt.Sprintf(`{"object":"organization","id":%q,"name":%s,"slug":%q,"image_url":"https://images.example.com/organizations/%[3]s.png","has_image":true,`+
		`"max_allowed_memberships":50,"admin_delete_enabled":true,"public_metadata":{},"private_metadata":{},"created_at":%d,"updated_at":%d}`,
		ClerkOrganizationID(of.Number), text(of.Name), slugOf(of.Name), organizationCreated(of.Number).UnixMilli(), of.Updated.UnixMilli())
}

func (c *Clerk) membership(of Organization, m Member) string {
	created := organizationCreated(of.Number)
	updated := m.Updated
	if updated.IsZero() {
		updated = created
	}
	return fmt.Sprintf(`{"object":"organization_membership","id":"orgmem_%d_%d","role":"org:%s","role_name":%[3]q,"permissions":["org:sys_profile:read"],`+
		`"public_metadata":{},"private_metadata":{},"organization":%s,"public_user_data":{"user_id":%q,"identifier":"mary.%[2]d@example.com","first_name":"Mary",`+
		`"last_name":"No. %[2]d","image_url":"https://images.example.com/avatars/mary.png","has_image":true},"created_at":%[6]d,"updated_at":%[7]d}`,
		of.Number, m.User, m.Role, c.organization(of), ClerkID(m.User), created.UnixMilli(), updated.UnixMilli())
}

func (c *Clerk) invitation(of Organization, i Invitation) string {
	created := organizationCreated(of.Number).UnixMilli()
	return fmt.Sprintf(`{"object":"organization_invitation","id":%q,"organization_id":%q,"email_address":%s,"role":"org:%s","status":"pending",`+
		`"url":"https://accounts.example.com/accept?ticket=t1cket","public_metadata":{},"private_metadata":{},"created_at":%d,"updated_at":%[5]d,"expires_at":%[6]d}`,
		clerkInvitationID(of, i), ClerkOrganizationID(of.Number), text(i.Email), i.Role, created, created+30*24*3600*1000)
}
