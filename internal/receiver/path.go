package receiver

import (
	"net/http"
	"strings"

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
	var parts []string
	for part := range strings.SplitSeq(r.URL.Path, "/") {
		if part = pasted.Unquote(part); part != "" {
			parts = append(parts, part)
		}
	}
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
