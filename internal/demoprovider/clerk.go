package demoprovider

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ClerkKey is the secret key that a Clerk accepts unless told otherwise.
const ClerkKey = "sk_test_c2VjcmV0LW9mLXRoZS1mYWtl"

// Clerk answers as Clerk's Backend API does. Set its fields before it is used.
type Clerk struct {
	Server
	Account *Account
	// Organizations are those of the account. NoOrganizations: the instance has the feature off.
	Organizations   Organizations
	NoOrganizations bool
	Key             string
	// Instance is the id of the instance; empty: as of an API that does not have that call.
	Instance string
	// RefuseCursor answers 422 to starting_after.
	RefuseCursor bool
	// LostCursorIsEmpty answers an empty list to a cursor whose user is gone; else 404.
	LostCursorIsEmpty bool
	// NoID leaves the id out of these users.
	NoID map[int]bool
	// Svix is the application that sends the instance's webhooks.
	Svix Svix

	window window
	url    string
}

// NewClerk returns a Clerk with that account.
func NewClerk(a *Account, now func() time.Time) *Clerk {
	return &Clerk{Server: Server{Now: now}, Account: a, Key: ClerkKey, Instance: "ins_demo", Svix: Svix{now: now}, window: window{requests: 100, length: 10 * time.Second}}
}

// At returns the base URL of its API, by its address.
func (c *Clerk) At(url string) string {
	c.url = url
	return url + "/v1"
}

// ServeHTTP answers a request.
func (c *Clerk) ServeHTTP(w http.ResponseWriter, r *http.Request) { c.serve(w, r, c.answer) }

func clerkError(w http.ResponseWriter, status int, code, long string) {
	writeJSON(w, status, fmt.Sprintf(`{"errors":[{"message":"refused","long_message":%q,"code":%q,"meta":{}}],"clerk_trace_id":"trace_7f3a"}`, long, code))
}

func (c *Clerk) answer(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/api/") { // Svix's own
		c.Svix.portal(w, r)
		return
	}
	if allowed, after := c.window.take(c.Now()); !allowed {
		c.countLimited()
		w.Header().Set("Retry-After", seconds(after))
		clerkError(w, http.StatusTooManyRequests, "too_many_requests", "Too many requests. Please try again in a bit.")
		return
	}
	// Authentication repeats the key, as some servers do: no error may.
	if token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "); token != c.Key {
		clerkError(w, http.StatusUnauthorized, "clerk_key_invalid", "The provided Clerk Secret Key "+token+" is invalid.")
		return
	}
	if version := r.Header.Get("Clerk-API-Version"); !slices.Contains(clerkVersions(), version) {
		clerkError(w, http.StatusBadRequest, "api_version_invalid", "The API version "+version+" is invalid.")
		return
	}
	switch path := strings.TrimPrefix(r.URL.Path, "/v1/users"); {
	case r.Method == http.MethodGet && r.URL.Path == "/v1/instance" && c.Instance != "":
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"object":"instance","id":%q,"environment_type":"development","allowed_origins":null}`, c.Instance))
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/v1/webhooks/"):
		c.webhooks(w, strings.TrimPrefix(r.URL.Path, "/v1/webhooks/"))
	case r.Method == http.MethodGet && slices.Contains([]string{"/v1/organizations", "/v1/organization_memberships", "/v1/organization_invitations"}, r.URL.Path):
		c.records(w, r)
	case r.Method == http.MethodGet && strings.HasPrefix(r.URL.Path, "/v1/organizations/"):
		c.record(w, r, strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/organizations/"), "/"))
	case path == r.URL.Path || r.Method != http.MethodGet:
		clerkError(w, http.StatusNotFound, "not_found", "There is no such address.")
	case path == "":
		c.list(w, r)
	case path == "/count":
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"object":"total_count","total_count":%d}`, c.count(c.Account)))
	default:
		c.user(w, strings.TrimPrefix(path, "/"))
	}
}

// clerkVersions are the versions of the API. The real one takes a request without
// a version as well, and answers by the version that the instance is set to.
func clerkVersions() []string {
	return []string{"2021-02-05", "2024-10-01", "2025-04-10", "2025-11-10", "2026-05-12"}
}

func (c *Clerk) user(w http.ResponseWriter, id string) {
	i, ok := clerkNumber(id)
	if !ok || !c.Account.has(i) {
		clerkError(w, http.StatusNotFound, "resource_not_found", "No user was found with id "+id)
		return
	}
	writeJSON(w, http.StatusOK, string(c.append(nil, i)))
}

func (c *Clerk) list(w http.ResponseWriter, r *http.Request) {
	limit, errLimit := number(r, "limit", 10)
	offset, errOffset := number(r, "offset", 0)
	order := r.URL.Query().Get("order_by")
	after := r.URL.Query().Get("starting_after")
	invalid := func(what string) { clerkError(w, http.StatusUnprocessableEntity, "form_param_format_invalid", what) }
	switch {
	case errLimit != nil || limit < 1 || limit > 500:
		invalid("limit must be between 1 and 500")
		return
	case errOffset != nil || offset < 0:
		invalid("offset must be at least 0")
		return
	case !slices.Contains([]string{"", "created_at", "+created_at", "-created_at"}, order): // a plus that was not encoded arrives as a space
		invalid("order_by is not known")
		return
	case after != "" && (c.RefuseCursor || offset != 0 || order == ""):
		invalid("starting_after cannot be used here")
		return
	}
	if after != "" {
		i, ok := clerkNumber(after)
		switch {
		case ok && c.Account.has(i):
			offset = c.Account.position(i) + 1
		case c.LostCursorIsEmpty:
			limit = 0
		default:
			clerkError(w, http.StatusNotFound, "resource_not_found", "No user was found with id "+after)
			return
		}
	}
	users := c.pick(c.Account, offset, limit, after != "")
	if order == "" || order[0] == '-' { // the newest first; only the first page of that is of use to anybody
		n := c.Account.Len()
		users = c.Account.slice(max(n-offset-limit, 0), min(limit, max(n-offset, 0)))
		slices.Reverse(users)
	}
	body := []byte{'['}
	for at, i := range users {
		if at > 0 {
			body = append(body, ',')
		}
		body = c.append(body, i)
	}
	writeJSON(w, http.StatusOK, string(append(body, ']')))
}

// ClerkID is the id of a user.
func ClerkID(i int) string { return fmt.Sprintf("user_2aFk%023d", i) }

func clerkNumber(id string) (int, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(id, "user_2aFk"))
	return i, err == nil && id == ClerkID(i)
}

// append writes a user object, of about 1.4 kB.
func (c *Clerk) append(b []byte, i int) []byte {
	created, updated := c.Account.Times(i)
	id := ClerkID(i)
	b = append(b, '{')
	if !c.NoID[i] {
		b = append(append(append(b, `"id":"`...), id...), `",`...)
	}
	email, first, last, _ := c.Account.profile(i, fmt.Sprintf("mary.%d@example.com", i), "Mary", fmt.Sprintf("No. %d", i))
	b = append(append(b, `"object":"user","external_id":null,"username":null,"first_name":`...), first...)
	b = append(append(b, `,"last_name":`...), last...)
	b = append(b, `,"locale":"en-GB","image_url":"https://images.example.com/avatars/mary.png","has_image":true,"primary_email_address_id":"idn_`...)
	b = append(b, id[5:]...)
	b = append(b, `","primary_phone_number_id":null,"primary_web3_wallet_id":null,"email_addresses":[{"id":"idn_`...)
	b = append(b, id[5:]...)
	b = append(append(b, `","object":"email_address","email_address":`...), email...)
	b = append(b, `,"reserved":false,"verification":{"object":"verification_otp","status":"verified","strategy":"email_code","attempts":1,"expire_at":null},`+
		`"linked_to":[],"matches_sso_connection":false}],"phone_numbers":[],"web3_wallets":[],"passkeys":[],"external_accounts":[],"saml_accounts":[],"enterprise_accounts":[],`+
		`"password_enabled":true,"two_factor_enabled":false,"totp_enabled":false,"backup_code_enabled":false,"mfa_enabled_at":null,"mfa_disabled_at":null,`+
		`"banned":false,"locked":false,"lockout_expires_in_seconds":null,"verification_attempts_remaining":100,"delete_self_enabled":true,"create_organization_enabled":true,`+
		`"public_metadata":{"plan":"starter","seats":3},"private_metadata":null,"unsafe_metadata":{"theme":"dark","tour":"done"},"legal_accepted_at":null,"last_active_at":null,"created_at":`...)
	b = strconv.AppendInt(b, created.UnixMilli(), 10)
	b = append(b, `,"updated_at":`...)
	b = strconv.AppendInt(b, updated.UnixMilli(), 10)
	b = append(b, `,"last_sign_in_at":`...)
	b = strconv.AppendInt(b, updated.UnixMilli(), 10)
	return append(b, '}')
}
