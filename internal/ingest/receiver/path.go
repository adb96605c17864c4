package receiver

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/pasted"
)

// Path is the handler's path, as a gorilla/mux template. Match routes to it even if the URL was
// altered when it was pasted into a provider's dashboard.
const Path = "/api/capydb/v1/integrations/{provider}/webhook/{projectID}"

// Match is a route matcher for the handler. It accepts doubled and trailing slashes and any case,
// and ignores the invisible characters that pasting adds.
func Match(r *http.Request, match *mux.RouteMatch) bool {
	parts := partsOf(r)
	want := strings.Split(Path[1:], "/")
	if len(parts) != len(want) {
		return false
	}
	vars := make(map[string]string, 2)
	for i, name := range want {
		if inner, is := strings.CutPrefix(name, "{"); is {
			vars[strings.TrimSuffix(inner, "}")] = parts[i]
			continue
		}
		if !strings.EqualFold(parts[i], name) {
			return false
		}
	}
	match.Vars = vars
	return true
}

// partsOf returns the segments of the path.
func partsOf(r *http.Request) []string {
	var parts []string
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if part = pasted.Unquote(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// Misses reports whether a request looks like a webhook with a wrong path: a POST whose path
// contains, in any case, a word such as webhook or integrations; below projects, where the
// management API is, both.
func Misses(r *http.Request) bool {
	if r.Method != http.MethodPost || Match(r, &mux.RouteMatch{}) {
		return false
	}
	words := partsOf(r)
	has := func(word string) bool {
		return slices.ContainsFunc(words, func(part string) bool { return strings.Contains(strings.ToLower(part), word) })
	}
	if has("projects") {
		return has("webhook") && has("integration")
	}
	return has("webhook") || has("integration")
}

// Missed returns such a request as an observer sees it.
func Missed(r *http.Request, at time.Time, status int) Message {
	return Message{
		ReceivedAt: at, Provider: "unknown", Path: ShortPath(r), Status: status, Reason: reasonNoPath,
		Detail: "There is nothing at this path: a webhook's is " + Path + ".",
	}
}

// maxPath is the maximum length of a reported path.
const maxPath = 100

// ShortPath returns a request's path for people: percent-encoded, so that it is printable ASCII,
// and truncated.
func ShortPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if len(path) > maxPath {
		return path[:maxPath] + "…"
	}
	return path
}
