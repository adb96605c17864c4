package demoprovider

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BetterAuthToken is the session token that a BetterAuth accepts unless told otherwise.
const BetterAuthToken = "s3ss10n-t0ken-of-the-fake"

// BetterAuth answers as the admin API of a Better Auth server does. Set its
// fields before it is used.
type BetterAuth struct {
	Server
	Account *Account
	Token   string
	// NotAdmin: the user of the session may not list users.
	NotAdmin bool
	// BrokenDatabase answers 200 and an empty list, as a server does whose
	// database fails.
	BrokenDatabase bool
	// Missing hides that many users at the end of the list, which the total counts.
	Missing int

	mu      sync.Mutex
	windows map[string]*window
}

// NewBetterAuth returns a BetterAuth with that account.
func NewBetterAuth(a *Account, now func() time.Time) *BetterAuth {
	return &BetterAuth{Server: Server{Now: now}, Account: a, Token: BetterAuthToken, windows: map[string]*window{}}
}

// At returns the base URL of its API, by its address.
func (b *BetterAuth) At(url string) string { return url }

// ServeHTTP answers a request.
func (b *BetterAuth) ServeHTTP(w http.ResponseWriter, r *http.Request) { b.serve(w, r, b.answer) }

func (b *BetterAuth) window(path string) *window {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.windows[path] == nil {
		b.windows[path] = &window{requests: 100, length: 10 * time.Second}
	}
	return b.windows[path]
}

func (b *BetterAuth) answer(w http.ResponseWriter, r *http.Request) {
	if allowed, after := b.window(r.URL.Path).take(b.Now()); !allowed {
		b.countLimited()
		w.Header().Set("X-Retry-After", seconds(after))
		writeJSON(w, http.StatusTooManyRequests, `{"message":"Too many requests. Please try again later."}`)
		return
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/api/auth/admin/")
	switch {
	case !ok:
		http.NotFound(w, r)
	case r.Header.Get("Authorization") != "Bearer "+b.Token:
		w.WriteHeader(http.StatusUnauthorized) // with an empty body
	case b.NotAdmin:
		writeJSON(w, http.StatusForbidden, `{"message":"You are not allowed to list users","code":"YOU_ARE_NOT_ALLOWED_TO_LIST_USERS"}`)
	case path == "list-users":
		b.list(w, r)
	case path == "get-user":
		i, ok := betterAuthNumber(r.URL.Query().Get("id"))
		if !ok || !b.Account.has(i) {
			writeJSON(w, http.StatusNotFound, `{"message":"User not found","code":"USER_NOT_FOUND"}`)
			return
		}
		writeJSON(w, http.StatusOK, string(b.append(nil, i)))
	default:
		http.NotFound(w, r)
	}
}

func (b *BetterAuth) list(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	limit, errLimit := number(r, "limit", 0)
	offset, errOffset := number(r, "offset", 0)
	newest := query.Get("sortBy") == "createdAt" && query.Get("sortDirection") == "desc"
	if errLimit != nil || errOffset != nil || b.BrokenDatabase || !newest && !slices.Contains([]string{"id", "createdAt", ""}, query.Get("sortBy")) {
		writeJSON(w, http.StatusOK, `{"users":[],"total":0}`)
		return
	}
	total := b.count(b.Account)
	size := cmp.Or(limit, 100)
	var users []int
	if newest {
		users = b.newest(offset, size)
	} else {
		users = b.pick(b.Account, offset, size, false)
	}
	if b.Missing > 0 {
		users = users[:max(min(len(users), b.Account.Len()-b.Missing-offset), 0)]
	}
	body := []byte(`{"users":[`)
	for at, i := range users {
		if at > 0 {
			body = append(body, ',')
		}
		body = b.append(body, i)
	}
	body = append(body, `],"total":`...)
	body = strconv.AppendInt(body, int64(total), 10)
	if limit != 0 {
		body = fmt.Appendf(body, `,"limit":%d`, limit)
	}
	if offset != 0 {
		body = fmt.Appendf(body, `,"offset":%d`, offset)
	}
	writeJSON(w, http.StatusOK, string(append(body, '}')))
}

// newest gives the numbers of users from a position on, the newest first.
func (b *BetterAuth) newest(offset, size int) []int {
	if b.Paging.IgnoreOffset {
		offset = 0
	}
	there := b.Account.Len()
	size = max(min(size, there-offset), 0)
	users := b.Account.slice(max(there-offset-size, 0), size)
	slices.Reverse(users)
	return users
}

// BetterAuthID is the id of a user. The order of ids is that of creation.
func BetterAuthID(i int) string { return fmt.Sprintf("qK%030d", i) }

func betterAuthNumber(id string) (int, bool) {
	i, err := strconv.Atoi(strings.TrimPrefix(id, "qK"))
	return i, err == nil && id == BetterAuthID(i)
}

func (b *BetterAuth) append(to []byte, i int) []byte {
	created, updated := b.Account.Times(i)
	const layout = "2006-01-02T15:04:05.000Z"
	email, _, _, name := b.Account.profile(i, fmt.Sprintf("emmy.%d@example.com", i), "Emmy", "Noether")
	to = append(append(to, `{"name":`...), name...)
	to = append(append(to, `,"email":`...), email...)
	to = append(to, `,"emailVerified":true,"image":null,"createdAt":"`...)
	to = created.AppendFormat(to, layout)
	to = append(to, `","updatedAt":"`...)
	to = updated.AppendFormat(to, layout)
	to = append(to, `","username":null,"displayUsername":null,"role":"user","banned":false,"banReason":null,"banExpires":null,"id":"`...)
	return append(append(to, BetterAuthID(i)...), `"}`...)
}
