package dashboard_test

import (
	"go/ast"
	"go/constant"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"

	"github.com/authsync/authsync/internal/project"
)

// pageNeed is what a key must have to open a page or to send a form.
type pageNeed struct {
	pattern string
	role    project.Role
	ofAll   bool
	form    url.Values // what it takes for the call of the API to be made
}

// pageNeeds is written by hand: who may open what is decided here a second time.
func pageNeeds() []pageNeed {
	const one = "/projects/{project}"
	const integration, destination, delivery = one + "/integrations/{provider}", one + "/destinations/{destination}", one + "/deliveries/{delivery}"
	look, operate, admin := project.ReadOnly, project.Operator, project.Admin
	return []pageNeed{
		{"GET /{$}", look, false, nil},
		{"GET " + one, look, false, nil},
		{"GET " + one + "/events", look, false, nil},
		{"GET " + one + "/events/{event}", look, false, nil},
		{"GET " + one + "/replay", operate, false, nil},
		{"GET " + one + "/records/{type}", look, false, nil},
		{"GET " + one + "/records/{type}/{id}", look, false, nil},
		{"GET " + one + "/audit", admin, false, nil},
		{"GET /audit", admin, true, nil},
		{"GET /new-project", admin, false, nil},
		{"GET " + one + "/clone", admin, true, nil},
		{"GET /keys", admin, true, nil},
		{"GET " + one + "/integrations", admin, false, nil}, // leads to that of the provider that is named
		{"GET " + integration, look, false, nil},
		{"GET " + one + "/destinations", look, false, nil},
		{"GET " + one + "/destinations/new", admin, false, nil},
		{"GET " + destination, look, false, nil},
		{"GET " + destination + "/change", admin, false, nil},
		{"GET " + destination + "/rotate", look, false, nil},
		{"GET " + destination + "/test", look, false, nil},
		{"GET " + destination + "/preview", look, false, nil},
		{"GET " + destination + "/replay", operate, false, nil},
		{"GET " + destination + "/confirm", operate, false, nil},
		{"GET " + one + "/deliveries", look, false, nil},
		{"GET " + delivery, look, false, nil},

		{"POST " + one + "/events/{event}/replay", operate, false, nil},
		{"POST " + one + "/replay", operate, false, nil},
		{"POST " + one + "/records/{type}/{id}/refresh", operate, false, nil},
		{"POST " + integration, admin, false, url.Values{"form": {"secret"}, "secret": {"x"}}},
		{"POST " + integration + "/runs/{kind}", operate, false, nil},
		{"POST " + integration + "/runs/{kind}/cancel", operate, false, nil},
		{"POST " + one + "/destinations", admin, false, url.Values{"type": {"webhook"}, "name": {"mine"}, "options.url": {"http://127.0.0.1:1/"}}},
		{"POST " + destination + "/change", admin, false, url.Values{"name": {"app"}}},
		{"POST " + destination + "/pause", operate, false, nil},
		{"POST " + destination + "/resume", operate, false, nil},
		{"POST " + destination + "/rotate", admin, false, nil},
		{"POST " + destination + "/test", operate, false, nil},
		{"POST " + destination + "/replay", operate, false, url.Values{"state": {"failed"}}},
		{"POST " + destination + "/confirm", operate, false, nil},
		{"POST " + delivery + "/retry", operate, false, nil},
		{"POST " + delivery + "/cancel", operate, false, nil},
		{"POST " + delivery + "/confirm", operate, false, nil},
		{"POST /projects", admin, true, url.Values{"name": {"mine"}}},
		{"POST " + one, admin, true, url.Values{"name": {"shop"}}},
		{"POST " + one + "/clone", admin, true, url.Values{"name": {"shop"}}}, // a name that is taken
		{"POST " + one + "/resync", admin, true, nil},                         // of what is no clone
		{"POST /keys", admin, true, url.Values{"name": {"mine"}}},
		{"POST /keys/{key}/revoke", admin, true, nil},

		// What deletes comes last.
		{"POST " + integration + "/delete", admin, false, nil},
		{"POST " + destination + "/delete", admin, false, nil},
		{"POST " + one + "/retention", admin, true, nil},
		{"POST " + one + "/delete", admin, true, url.Values{"name": {"shop"}}},
	}
}

// forAnybody are the patterns that show nothing of a project: the sign-in, what pages are made with, and what is not there;
// and those that other tests know.
func forAnybody() []string {
	return []string{
		"GET /sign-in", "POST /sign-in", "POST /sign-out", "GET /assets/style.css", "GET /assets/page.js", "GET /assets/icon.svg",
		"/", "GET /projects/", "GET /projects", "/river",
		"/river/", // river_test.go says who may
	}
}

// patterns finds, in the code of the dashboard, all that it routes.
func patterns(t *testing.T) (found []string) {
	t.Helper()
	loaded, err := packages.Load(&packages.Config{
		Context: t.Context(), Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo | packages.NeedImports | packages.NeedDeps,
	}, "github.com/authsync/authsync/internal/dashboard")
	require.NoError(t, err)
	require.Len(t, loaded, 1)
	for _, file := range loaded[0].Syntax {
		ast.Inspect(file, func(node ast.Node) bool {
			call, isCall := node.(*ast.CallExpr)
			if !isCall {
				return true
			}
			method, isMethod := call.Fun.(*ast.SelectorExpr)
			if !isMethod || method.Sel.Name != "HandleFunc" && method.Sel.Name != "Handle" {
				return true
			}
			pattern := loaded[0].TypesInfo.Types[call.Args[0]].Value
			require.NotNil(t, pattern, "%s: a pattern must be constant, so that this test knows it", loaded[0].Fset.Position(call.Pos()))
			found = append(found, constant.StringVal(pattern))
			return true
		})
	}
	return found
}

// Every page and every form lets in exactly the keys that may open it, whatever it then answers.
func TestEveryPageLetsInTheRightKeys(t *testing.T) {
	t.Parallel()
	described := forAnybody()
	for _, n := range pageNeeds() {
		described = append(described, n.pattern)
	}
	require.ElementsMatch(t, patterns(t), described, "each page and form has one entry")

	s := newSite(t)
	s.history(t)
	outbound, delivery := s.outbound(t), s.delivery(t)
	fill := strings.NewReplacer("{$}", "", "/projects/{project}/destinations/{destination}", outbound, "/projects/{project}/deliveries/{delivery}", delivery,
		"/projects/{project}/events/{event}", s.event(t, "user.created"), "{project}", s.shop.ID.String(), "{provider}", "clerk",
		"{type}", "user", "{id}", url.PathEscape(hostileID), "{kind}", "backfill", "{key}", uuid.NewString())
	type visitor struct {
		name            string
		role            project.Role
		limited, isHere bool
		cookie          *http.Cookie
	}
	key := func(name string, role project.Role, of *project.Project) visitor {
		in := project.KeyInput{Name: name, Role: role}
		if of != nil {
			in.ProjectID = &of.ID
		}
		return visitor{name, role, of != nil, of == nil || of.ID == s.shop.ID, s.enter(t, in)}
	}
	visitors := []visitor{ // those who may do the most come last
		{name: "nobody"},
		key("reader of shop", project.ReadOnly, &s.shop), key("reader", project.ReadOnly, nil),
		key("admin of another project", project.Admin, &s.other), key("operator of shop", project.Operator, &s.shop), key("operator", project.Operator, nil),
		key("admin of shop", project.Admin, &s.shop), key("admin", project.Admin, nil),
	}
	for _, n := range pageNeeds() {
		method, path, _ := strings.Cut(fill.Replace(n.pattern), " ")
		for _, who := range visitors {
			var answer *page
			if method == http.MethodGet {
				answer = s.get(t, path, who.cookie)
			} else {
				answer = s.post(t, form{path, n.form}, who.cookie)
			}
			about := n.pattern + " by " + who.name
			refusals := []int{http.StatusForbidden}
			if n.ofAll && strings.Contains(n.pattern, "{project}") {
				refusals = append(refusals, http.StatusNotFound) // the page that the form belongs to is not there
			}
			switch {
			case who.cookie == nil:
				require.Equal(t, http.StatusSeeOther, answer.status, about)
				require.True(t, strings.HasPrefix(answer.header.Get("Location"), "/sign-in"), about)
			case !who.isHere && !n.ofAll && strings.Contains(n.pattern, "{project}"):
				require.Contains(t, []int{http.StatusNotFound, http.StatusForbidden}, answer.status, about)
				require.NotContains(t, answer.words, "ada@example.com", about)
			case n.ofAll && who.limited, !who.role.Includes(n.role):
				require.Contains(t, refusals, answer.status, about)
			default:
				require.False(t, slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden}, answer.status), "%s: %d %s", about, answer.status, answer.words)
				require.False(t, strings.HasPrefix(answer.header.Get("Location"), "/sign-in"), about)
			}
		}
	}
}
