package receiver

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/pasted"
)

// Path is where the handler belongs, as a path of gorilla/mux. Match routes to it
// whatever a person made of the URL that was pasted into a provider's dashboard.
const Path = "/api/capydb/v1/integrations/{provider}/webhook/{projectID}"

// Match is the matcher of a route for the handler. Slashes may be doubled or stand at
// the end, the words of the path may be in any case, and characters that nobody sees,
// which come with pasting, count for nothing.
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

// partsOf are the words of the path.
func partsOf(r *http.Request) []string {
	var parts []string
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if part = pasted.Unquote(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// Misses reports whether a request seems to be a webhook with a wrong path: it posts to one that has, in
// any case, a word such as webhook or integrations; below projects, where the management API is, both.
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

// Missed is such a request as an observer hears of it.
func Missed(r *http.Request, at time.Time, status int) Message {
	return Message{
		ReceivedAt: at, Provider: "unknown", Path: ShortPath(r), Status: status, Reason: reasonNoPath,
		Detail: "There is nothing at this path: a webhook's is " + Path + ".",
	}
}

// maxPath is how much of a path is told.
const maxPath = 100

// ShortPath is the path of a request for a person: percent-encoded, so that it has nothing but
// printable ASCII in it, and cut short.
func ShortPath(r *http.Request) string {
	path := r.URL.EscapedPath()
	if len(path) > maxPath {
		return path[:maxPath] + "…"
	}
	return path
}
