package demoprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WorkOSKey is the API key that a WorkOS accepts unless told otherwise.
const WorkOSKey = "sk_test_a2V5X29mX3RoZV9mYWtl"

// WorkOS answers as WorkOS' API does to whoever reads users, organizations and memberships. Set its fields before it is used.
type WorkOS struct {
	Server
	Account       *Account
	Organizations Organizations
	Key           string
	// LostCursorIsEmpty answers an empty list to an id that is gone; otherwise 404.
	LostCursorIsEmpty bool
	// Inactive are members, as organization and user, whose membership was deactivated.
	Inactive map[[2]int]bool

	window window
}

// NewWorkOS returns a WorkOS with that account.
func NewWorkOS(a *Account, now func() time.Time) *WorkOS {
	return &WorkOS{Server: Server{Now: now}, Account: a, Key: WorkOSKey, window: window{requests: 600, length: time.Minute}}
}

// At returns the base URL of its API, by its address.
func (o *WorkOS) At(url string) string { return url }

// ServeHTTP answers a request.
func (o *WorkOS) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.serve(w, r, o.answer) }

func workosError(w http.ResponseWriter, status int, code, message string) {
	writeJSON(w, status, fmt.Sprintf(`{"message":%q,"code":%q}`, message, code))
}

func (o *WorkOS) answer(w http.ResponseWriter, r *http.Request) {
	if allowed, after := o.window.take(o.Now()); !allowed {
		o.countLimited()
		w.Header().Set("Retry-After", seconds(after))
		workosError(w, http.StatusTooManyRequests, "rate_limit_exceeded", "Too many requests.")
		return
	}
	if token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); token != o.Key {
		workosError(w, http.StatusUnauthorized, "unauthorized", "The API key "+token+" is not valid.")
		return
	}
	const users, organizations, memberships = "/user_management/users", "/organizations", "/user_management/organization_memberships"
	switch path := r.URL.Path; {
	case r.Method != http.MethodGet:
		workosError(w, http.StatusNotFound, "not_found", "There is no such address.")
	case path == users:
		o.users(w, r)
	case path == organizations:
		var all []entry
		for _, of := range o.Organizations.list() {
			all = append(all, entry{WorkOSOrganizationID(of.Number), o.organization(of)})
		}
		o.records(w, r, all)
	case path == memberships:
		o.memberships(w, r)
	case strings.HasPrefix(path, users+"/"):
		id := strings.TrimPrefix(path, users+"/")
		if i, ok := workosNumber(id); ok && o.Account.has(i) {
			writeJSON(w, http.StatusOK, o.user(i))
			return
		}
		workosError(w, http.StatusNotFound, "entity_not_found", "User not found: '"+id+"'.")
	case strings.HasPrefix(path, organizations+"/"):
		id := strings.TrimPrefix(path, organizations+"/")
		if of, known := o.Organizations.find(id, WorkOSOrganizationID); known {
			writeJSON(w, http.StatusOK, o.organization(of))
			return
		}
		workosError(w, http.StatusNotFound, "entity_not_found", "Organization not found: '"+id+"'.")
	default:
		workosError(w, http.StatusNotFound, "not_found", "There is no such address.")
	}
}

// query reads what all lists take; ok is false if it was answered already.
func (o *WorkOS) query(w http.ResponseWriter, r *http.Request) (limit int, newestFirst, ok bool) {
	limit, err := number(r, "limit", 10)
	order := r.URL.Query().Get("order")
	switch {
	case err != nil || limit < 1 || limit > 100:
		workosError(w, http.StatusUnprocessableEntity, "invalid_request_parameters", "limit must be between 1 and 100")
		return 0, false, false
	case !slices.Contains([]string{"", "asc", "desc", "normal"}, order):
		workosError(w, http.StatusUnprocessableEntity, "invalid_request_parameters", "order is not known")
		return 0, false, false
	}
	return limit, order != "asc", true
}

func workosList(w http.ResponseWriter, objects []string, after string) {
	quoted := "null"
	if after != "" {
		quoted = strconv.Quote(after)
	}
	writeJSON(w, http.StatusOK, fmt.Sprintf(`{"object":"list","data":[%s],"list_metadata":{"before":null,"after":%s}}`, strings.Join(objects, ","), quoted))
}

func (o *WorkOS) users(w http.ResponseWriter, r *http.Request) {
	limit, newestFirst, ok := o.query(w, r)
	if !ok {
		return
	}
	after, offset := r.URL.Query().Get("after"), 0
	if after != "" {
		i, ok := workosNumber(after)
		switch {
		case ok && o.Account.has(i):
			offset = o.Account.position(i) + 1
		case o.LostCursorIsEmpty:
			workosList(w, nil, "")
			return
		default:
			workosError(w, http.StatusNotFound, "entity_not_found", "There is no "+after)
			return
		}
	}
	users := o.pick(o.Account, offset, limit, after != "")
	if newestFirst { // only the first page of that is of use to anybody
		users = o.Account.slice(max(o.Account.Len()-limit, 0), limit)
		slices.Reverse(users)
	}
	objects, last := make([]string, len(users)), ""
	for n, i := range users {
		objects[n], last = o.user(i), WorkOSID(i)
	}
	if len(users) < limit {
		last = ""
	}
	workosList(w, objects, last)
}

// entry is an object of a list with its id.
type entry struct{ id, object string }

func (o *WorkOS) records(w http.ResponseWriter, r *http.Request, all []entry) {
	limit, newestFirst, ok := o.query(w, r)
	if !ok {
		return
	}
	p := o.recordPaging(r)
	if newestFirst {
		slices.Reverse(all)
	}
	offset := 0
	if after := r.URL.Query().Get("after"); after != "" {
		offset = 1 + slices.IndexFunc(all, func(e entry) bool { return e.id == after })
		if offset == 0 {
			workosError(w, http.StatusNotFound, "entity_not_found", "There is no "+after)
			return
		}
	}
	shown := misplaced(p, all, offset, limit)
	objects, last := make([]string, len(shown)), ""
	for i, e := range shown {
		objects[i], last = p.entry(e.object), e.id
	}
	workosList(w, objects, last)
}

// memberships lists those of an organization or a user: without either, WorkOS refuses.
func (o *WorkOS) memberships(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	organization, user := query.Get("organization_id"), query.Get("user_id")
	if organization == "" && user == "" {
		workosError(w, http.StatusUnprocessableEntity, "invalid_request_parameters", "organization_id or user_id is required")
		return
	}
	statuses := strings.Split(query.Get("statuses"), ",")
	if query.Get("statuses") == "" {
		statuses = []string{"active"}
	}
	var all []entry
	for _, of := range o.Organizations.list() {
		for _, m := range of.Members {
			status := "active"
			if o.Inactive[[2]int{of.Number, m.User}] {
				status = "inactive"
			}
			if (organization == "" || organization == WorkOSOrganizationID(of.Number)) && (user == "" || user == WorkOSID(m.User)) && slices.Contains(statuses, status) {
				all = append(all, o.membership(of, m, status))
			}
		}
	}
	o.records(w, r, all)
}

// WorkOSID is the id of a user, WorkOSOrganizationID that of an organization.
func WorkOSID(i int) string { return fmt.Sprintf("user_01HX%022d", i) }

// WorkOSOrganizationID is the id of an organization.
func WorkOSOrganizationID(number int) string { return fmt.Sprintf("org_01HX%022d", number) }

func workosNumber(id string) (int, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(id, "user_01HX"))
	return i, err == nil && id == WorkOSID(i)
}

const workosTime = "2006-01-02T15:04:05.000Z"

func (o *WorkOS) user(i int) string {
	created, updated := o.Account.Times(i)
	email, first, last, name := o.Account.profile(i, fmt.Sprintf("mary.%d@example.com", i), "Mary", fmt.Sprintf("No. %d", i))
	return fmt.Sprintf(`{"object":"user","id":%q,"email":%s,"email_verified":true,"first_name":%s,"last_name":%s,"name":%s,`+
		`"profile_picture_url":"https://images.example.com/avatars/mary.png","external_id":null,"metadata":{},"locale":"en-GB",`+
		`"last_sign_in_at":%q,"created_at":%q,"updated_at":%[6]q}`,
		WorkOSID(i), email, first, last, name, updated.Format(workosTime), created.Format(workosTime))
}

func (o *WorkOS) organization(of Organization) string {
	return fmt.Sprintf(`{"object":"organization","id":%q,"name":%s,"domains":[],"external_id":null,"metadata":{},"created_at":%q,"updated_at":%q}`,
		WorkOSOrganizationID(of.Number), text(of.Name), organizationCreated(of.Number).Format(workosTime), of.Updated.Format(workosTime))
}

func (o *WorkOS) membership(of Organization, m Member, status string) entry {
	created := organizationCreated(of.Number)
	updated := m.Updated
	if updated.IsZero() {
		updated = created
	}
	id := fmt.Sprintf("om_01HX%011d%011d", of.Number, m.User)
	return entry{id, fmt.Sprintf(`{"object":"organization_membership","id":%q,"user_id":%q,"organization_id":%q,"organization_name":%s,`+
		`"role":{"slug":%q},"roles":[{"slug":%[5]q}],"status":%q,"created_at":%q,"updated_at":%q}`,
		id, WorkOSID(m.User), WorkOSOrganizationID(of.Number), text(of.Name), m.Role, status, created.Format(workosTime), updated.Format(workosTime))}
}
