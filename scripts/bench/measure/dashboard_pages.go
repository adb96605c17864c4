package measure

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/dashboard"
)

// openedPage is a page that is opened.
type openedPage struct {
	name, path string
	// list says that its next page is opened as well.
	list bool
}

// pages are all pages of the dashboard that a signed-in user can open, the lists with each filter.
func (f *filled) pages() []openedPage {
	shop := dashboard.ProjectsPath + "/" + f.big.ID.String()
	one := shop + "/destinations/webhook-1"
	all := []openedPage{
		{"sign-in", dashboard.SignInPath, false},
		{"home", "/", true},
		{"keys", dashboard.KeysPath, true},
		{"new project", dashboard.NewProjectPath, false},
		{"project", shop, false},
		{"integration, in use", shop + "/integrations/clerk", false},
		{"integration, pulled", shop + "/integrations/auth0", false},
		{"integration, new", shop + "/integrations/workos", false},
		{"provider of one's own", shop + "/integrations/custom:acme", false},
		{"audit log", dashboard.AuditPath, true},
		{"audit log, action", dashboard.AuditPath + "?action=destination", true},
		{"audit log, outcome", dashboard.AuditPath + "?outcome=refused", true},
		{"audit log, key", dashboard.AuditPath + "?key_id=" + auditKey, true},
		{"audit log, since", dashboard.AuditPath + "?since=" + f.from.AddDate(0, 0, 20).Format(time.RFC3339), true},
		{"audit log of a project", shop + "/audit", true},
		{"audit log of a project, rare", shop + "/audit?action=project.delete", true},
		{"event", fmt.Sprintf("%s/events/%d.0", shop, f.config.Inbox/2), false},
		{"event, pending", fmt.Sprintf("%s/events/%d.0", shop, f.config.Inbox), false},
		{"user with 1000 changes", shop + "/records/user/user_1", true},
		{"user with a change", shop + "/records/user/user_2", true},
		{"organization", shop + "/records/organization/org_1", false},
		{"membership", shop + "/records/membership/org_1%2Fuser_1", false},
		{"session", shop + "/records/session/sess_1", false},
		{"destinations", shop + "/destinations", true},
		{"new destination", shop + "/destinations/new", false},
		{"new destination, webhook", shop + "/destinations/new?type=webhook", false},
		{"new destination, HTTP API", shop + "/destinations/new?type=http", false},
		{"destination", one, false},
		{"destination, paused", shop + "/destinations/webhook-0", false},
		{"destination, change", one + "/change", false},
		{"destination, preview", one + "/preview?record_type=user&record_id=user_1", false},
		{"destination, replay", one + "/replay", false},
		{"delivery", fmt.Sprintf("%s/deliveries/%d", shop, f.config.Deliveries/2), false},
		{"delivery with 10 attempts", fmt.Sprintf("%s/deliveries/%d", shop, f.retried), false},
	}
	return append(all, f.lists(shop)...)
}

// lists are the pages of lists.
func (f *filled) lists(shop string) (all []openedPage) {
	day := func(n int) string { return f.from.AddDate(0, 0, n).Format(time.RFC3339) }
	add := func(list string, replayed bool, filters ...string) {
		query, name := url.Values{}, []string{list}
		for n := 0; n < len(filters); n += 2 {
			query.Set(filters[n], filters[n+1])
			if _, err := time.Parse(time.RFC3339, filters[n+1]); err == nil {
				name = append(name, filters[n]) // the moment says nothing
			} else {
				name = append(name, filters[n+1])
			}
		}
		path := shop + "/" + list + "?" + query.Encode()
		all = append(all, openedPage{strings.Join(name, ", "), path, true})
		if replayed {
			all = append(all, openedPage{"replay, " + strings.Join(name, ", "), shop + "/replay?" + query.Encode(), false})
		}
	}
	add("events", true)
	for _, outcome := range []string{"pending", "applied", "stale", "duplicate", "ignored", "failed"} {
		add("events", true, "outcome", outcome)
	}
	for _, name := range []string{"clerk", "auth0", "better_auth"} {
		add("events", false, "provider", name)
	}
	add("events", true, "provider", "auth0", "outcome", "failed")
	add("events", true, "type", "user.deleted")
	add("events", false, "type", "no.such")
	add("events", true, "user_id", "user_1")
	add("events", false, "record_type", "user", "record_id", "user_1")
	add("events", false, "record_type", "session", "record_id", "sess_3")
	add("events", false, "event_id", "evt_7")
	add("events", false, "event_id", "none")
	add("events", true, "since", day(10), "until", day(11))
	add("events", false, "until", day(2))
	add("events", false, "since", day(40))
	add("events", true, "outcome", "failed", "since", day(20))
	add("events", true, "outcome", "failed", "type", "no.such")

	add("deliveries", false)
	for _, state := range []string{"blocked", "ready", "retrying", "delivered", "coalesced", "failed", "cancelled"} {
		add("deliveries", false, "state", state)
		add("deliveries", false, "destination", "webhook-3", "state", state)
	}
	add("deliveries", false, "destination", "webhook-2")
	add("deliveries", false, "user_id", "user_1")
	add("deliveries", false, "record_type", "user", "record_id", "user_1")
	add("deliveries", false, "record_type", "session", "record_id", "sess_1")
	add("deliveries", false, "event_type", "user.updated")
	add("deliveries", false, "event_type", "user.deleted")

	for _, recordType := range []string{"user", "organization", "membership", "invitation", "session"} {
		add("records/"+recordType, false)
	}
	add("records/user", false, "email", "person7@example.com")
	add("records/user", false, "email", "nobody@example.com")
	for _, recordType := range []string{"membership", "session"} {
		add("records/"+recordType, false, "user_id", "user_7")
	}
	for _, recordType := range []string{"membership", "invitation"} {
		add("records/"+recordType, false, "organization_id", "org_7")
	}
	return all
}
