package demoprovider

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What an Auth0 accepts unless told otherwise.
const (
	Auth0Domain       = "shop.eu.auth0.com"
	Auth0ClientID     = "cl13nt"
	Auth0ClientSecret = "the-client-secret-of-the-fake"
)

// Auth0 answers as an Auth0 tenant does: its token endpoint, its Management API
// and the place where exports are downloaded. Set its fields before it is used; see [Server.Change].
type Auth0 struct {
	Server
	Account *Account
	// Organizations are those of the tenant; Expired are checkpoints of their lists that it forgets.
	Organizations Organizations
	Expired       []string
	Secret        string
	// Scope of the tokens, separated by spaces; "read:users" unless changed.
	Scope string
	// Unauthorized refuses tokens for the Management API.
	Unauthorized bool
	// Rate is how many requests a second the tenant is allowed, Burst at once; 0: any number.
	Rate, Burst int
	// Polls is how often a job is pending before it is completed.
	Polls int
	// FailJobs is how many jobs end in failure.
	FailJobs int
	// BrokenLines are lines of the export, from 1, that hold this instead of a user.
	BrokenLines map[int]string
	// EmptyExport lets exports hold nothing.
	EmptyExport bool
	// Plain exports are not compressed, as if something on the way had unpacked them.
	Plain bool
	// Streams are the event streams. Scope must hold what their calls need.
	Streams Auth0Streams
	// Events is the Events API; Scope must hold what it needs.
	Events Auth0Events

	url    string
	state  sync.Mutex
	tokens map[string]time.Time // and until when they are good
	jobs   map[string]*exportJob
	bucket float64
	filled time.Time
	sent   atomic.Int64
}

// NewAuth0 returns an Auth0 with that account.
func NewAuth0(a *Account, now func() time.Time) *Auth0 {
	return &Auth0{
		Server: Server{Now: now}, Account: a, Secret: Auth0ClientSecret, Scope: "read:users",
		tokens: map[string]time.Time{}, jobs: map[string]*exportJob{},
	}
}

// At tells the stand-in its address and returns the base URL of its API.
func (a *Auth0) At(url string) string {
	a.url = url
	return url
}

// ServeHTTP answers a request.
func (a *Auth0) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.Rate > 0 && strings.HasPrefix(r.URL.Path, "/api/v2/") && !a.take(w) {
		a.countLimited()
		auth0Error(w, http.StatusTooManyRequests, "Global limit has been reached", "too_many_requests")
		return
	}
	if strings.HasPrefix(r.URL.Path, "/exports/") {
		a.serve(w, r, a.export)
		return
	}
	a.serve(w, r, a.answer)
}

// take takes a token out of the bucket and says in headers what is left.
func (a *Auth0) take(w http.ResponseWriter) bool {
	a.state.Lock()
	defer a.state.Unlock()
	now := a.Now()
	a.bucket = min(float64(a.Burst), a.bucket+now.Sub(a.filled).Seconds()*float64(a.Rate))
	if a.filled.IsZero() {
		a.bucket = float64(a.Burst)
	}
	a.filled = now
	allowed := a.bucket >= 1
	if allowed {
		a.bucket--
	}
	w.Header().Set("Date", now.Format(http.TimeFormat))
	w.Header().Set("X-RateLimit-Limit", strconv.Itoa(a.Burst))
	w.Header().Set("X-RateLimit-Remaining", strconv.Itoa(int(a.bucket)))
	w.Header().Set("X-RateLimit-Reset", strconv.FormatInt(now.Add(time.Second-1).Unix(), 10))
	return allowed
}

func auth0Error(w http.ResponseWriter, status int, message, code string) {
	writeJSON(w, status, fmt.Sprintf(`{"statusCode":%d,"error":%q,"message":%q,"errorCode":%q}`, status, http.StatusText(status), message, code))
}

func (a *Auth0) answer(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/oauth/token" && r.Method == http.MethodPost {
		a.token(w, r)
		return
	}
	token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	a.state.Lock()
	good := a.tokens[token].After(a.Now())
	a.state.Unlock()
	path, isAPI := strings.CutPrefix(r.URL.EscapedPath(), "/api/v2/")
	switch {
	case !isAPI:
		http.NotFound(w, r)
	case !good:
		auth0Error(w, http.StatusUnauthorized, "Invalid token "+token, "invalid_token")
	case path == "events" && r.Method == http.MethodGet:
		a.events(w, r)
	case path == "event-streams" || strings.HasPrefix(path, "event-streams/"):
		a.streams(w, r, path)
	case (path == "organizations" || strings.HasPrefix(path, "organizations/")) && r.Method == http.MethodGet:
		a.organizations(w, r, strings.TrimPrefix(path, "organizations"))
	case strings.HasPrefix(path, "users/") && strings.HasSuffix(path, "/organizations") && r.Method == http.MethodGet:
		a.organizationsOf(w, r, strings.TrimSuffix(strings.TrimPrefix(path, "users/"), "/organizations"))
	case !a.allows(w, "read:users"): // it is answered
	case path == "users" && r.Method == http.MethodGet:
		a.list(w, r)
	case path == "jobs/users-exports" && r.Method == http.MethodPost:
		a.begin(w, r)
	case strings.HasPrefix(path, "jobs/") && r.Method == http.MethodGet:
		a.job(w, strings.TrimPrefix(path, "jobs/"))
	case strings.HasPrefix(path, "users/") && r.Method == http.MethodGet:
		a.user(w, strings.TrimPrefix(path, "users/"))
	default:
		auth0Error(w, http.StatusNotFound, "Not Found", "")
	}
}

func (a *Auth0) token(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, description string) {
		writeJSON(w, status, fmt.Sprintf(`{"error":"access_denied","error_description":%q}`, description))
	}
	switch {
	case r.PostFormValue("grant_type") != "client_credentials":
		refuse(http.StatusForbidden, "Unsupported grant type")
	case r.PostFormValue("client_id") != Auth0ClientID || r.PostFormValue("client_secret") != setting(&a.Server, &a.Secret):
		refuse(http.StatusUnauthorized, "Unauthorized: "+r.PostFormValue("client_secret"))
	case r.PostFormValue("audience") != "https://"+Auth0Domain+"/api/v2/":
		refuse(http.StatusForbidden, "Service not found: "+r.PostFormValue("audience"))
	case a.Unauthorized:
		refuse(http.StatusForbidden, "Client is not authorized to access resource server")
	default:
		a.state.Lock()
		token := fmt.Sprintf("eyJ-token-%d", len(a.tokens)+1)
		a.tokens[token] = a.Now().Add(24 * time.Hour)
		a.state.Unlock()
		writeJSON(w, http.StatusOK, fmt.Sprintf(`{"access_token":%q,"expires_in":86400,"scope":%q,"token_type":"Bearer"}`, token, setting(&a.Server, &a.Scope)))
	}
}

// RevokeTokens lets all tokens be refused.
func (a *Auth0) RevokeTokens() {
	a.state.Lock()
	defer a.state.Unlock()
	for token := range a.tokens {
		a.tokens[token] = time.Time{}
	}
}

func (a *Auth0) list(w http.ResponseWriter, r *http.Request) {
	page, errPage := number(r, "page", 0)
	size, errSize := number(r, "per_page", 50)
	switch {
	case errPage != nil || errSize != nil || page < 0 || size < 1 || size > 50:
		auth0Error(w, http.StatusBadRequest, "Query validation error", "invalid_query_string")
		return
	case (page+1)*size > 1000:
		auth0Error(w, http.StatusBadRequest, "You can only page through the first 1000 records.", "invalid_paging")
		return
	}
	users := a.pick(a.Account, page*size, size, false)
	if r.URL.Query().Get("sort") != "created_at:1" { // no order is promised then
		slices.Reverse(users)
	}
	body := []byte{'['}
	for at, i := range users {
		if at > 0 {
			body = append(body, ',')
		}
		body = a.append(body, i, nil)
	}
	body = append(body, ']')
	if r.URL.Query().Get("include_totals") == "true" {
		body = fmt.Appendf(nil, `{"start":%d,"limit":%d,"length":%d,"users":%s,"total":%d}`, page*size, size, len(users), body, a.count(a.Account))
	}
	writeJSON(w, http.StatusOK, string(body))
}

func (a *Auth0) user(w http.ResponseWriter, escaped string) {
	id := strings.ReplaceAll(escaped, "%7C", "|")
	i, ok := auth0Number(id)
	if !ok || !a.Account.has(i) {
		auth0Error(w, http.StatusNotFound, "The user does not exist.", "inexistent_user")
		return
	}
	writeJSON(w, http.StatusOK, string(a.append(nil, i, nil)))
}

// Auth0ID is the id of a user.
func Auth0ID(i int) string { return fmt.Sprintf("auth0|%024x", i) }

func auth0Number(id string) (int, bool) {
	i, err := strconv.ParseInt(strings.TrimPrefix(id, "auth0|"), 16, 64)
	return int(i), err == nil && id == Auth0ID(int(i))
}

// append writes a user object of some 1.2 kB, or those of its keys that are asked for.
func (a *Auth0) append(b []byte, i int, fields []string) []byte {
	created, updated := a.Account.Times(i)
	const layout = "2006-01-02T15:04:05.000Z"
	start := len(b)
	b = append(b, `{"user_id":"auth0|`...)
	b = fmt.Appendf(b, "%024x", i)
	email, first, last, name := a.Account.profile(i, fmt.Sprintf("mary.%d@example.com", i), "Mary", "Somerville")
	b = append(append(b, `","email":`...), email...)
	b = append(append(b, `,"email_verified":true,"name":`...), name...)
	b = append(append(b, `,"given_name":`...), first...)
	b = append(append(b, `,"family_name":`...), last...)
	b = append(b, `,"nickname":"mary","picture":"https://images.example.com/avatars/mary.png","identities":[{"connection":"Username-Password-Authentication","user_id":"`...)
	b = fmt.Appendf(b, "%024x", i)
	b = append(b, `","provider":"auth0","isSocial":false}],"app_metadata":{"plan":"starter","seats":3,"flags":["a","b","c"]},"user_metadata":{"theme":"dark","tour":"done",`+
		`"address":{"street":"12 Long Example Street","city":"Jedburgh","postcode":"TD8 6DS","country":"GB"},"about":"Translator, editor and polymath; likes the motion of the heavens and a good cup of tea."},"created_at":"`...)
	b = created.AppendFormat(b, layout)
	b = append(b, `","updated_at":"`...)
	b = updated.AppendFormat(b, layout)
	b = append(b, `","last_login":"`...)
	b = updated.AppendFormat(b, layout)
	b = append(b, `","last_ip":"192.0.2.44","logins_count":`...)
	b = strconv.AppendInt(b, int64(i%100), 10)
	b = append(b, '}')
	if fields == nil || len(fields) >= 20 {
		return b
	}
	var all map[string]json.RawMessage
	if json.Unmarshal(b[start:], &all) != nil {
		return b
	}
	some := map[string]json.RawMessage{}
	for _, field := range fields {
		if value, ok := all[field]; ok {
			some[field] = value
		}
	}
	text, err := json.Marshal(some)
	if err != nil {
		return b
	}
	return append(b[:start], text...)
}
