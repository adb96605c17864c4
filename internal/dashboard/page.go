package dashboard

import (
	"bytes"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/api/wire"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// ProjectsPath is below which the pages of projects are, AssetsPath their style.
const (
	ProjectsPath = "/projects"
	AssetsPath   = "/assets"
)

// pagePolicy allows the style, the icon and the script that are files of ours, and forms that lead here.
const pagePolicy = "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// databaseAway is the problem of pages that need the control database.
func databaseAway() *problemError {
	p := problemOf(http.StatusServiceUnavailable, "authsync’s own database cannot be reached now; try again in a few seconds.")
	problem.RetryAfter(5 * time.Second)(&p.Document)
	return p
}

// switchable is how many projects the navigation lists; all are on the home page.
const switchable = 20

// visit is a request for a page by someone who is signed in.
type visit struct {
	*http.Request

	api API
	key project.Key
	// project is the one that the path names, if it does.
	project *wire.Project
	// form is what was entered, where the visit sends a form.
	form url.Values
}

// given returns the parameters of the query that have a value: a form sends the empty ones, too.
func (v *visit) given() url.Values {
	given := url.Values{}
	for name, values := range v.URL.Query() {
		for _, value := range values {
			if value != "" {
				given.Add(name, value)
			}
		}
	}
	return given
}

// isLook reports whether the script of a page that stands open asks for it, to see whether its live sections have
// changed, or what a form that is being filled in would do.
func isLook(r *http.Request) bool { return r.Header.Get("Authsync-Look") != "" }

// view is a page to be shown.
type view struct {
	template string
	title    string
	// section is the part of the project that the navigation marks as current.
	section string
	status  int // 0: 200
	data    any
	// redirect leads elsewhere in place of a page.
	redirect string
	// projects are the first ones, if the page has read them; nil: it has not.
	projects *wire.Page[wire.Project]
}

// shell is what the layout shows around a page.
type shell struct {
	Title    string
	Section  string
	Key      *project.Key // nil: it is not known
	Projects []wire.Project
	More     bool // there are more projects
	Project  *wire.Project
	// MayOperate and MayConfigure say what the key may do besides reading.
	MayOperate, MayConfigure bool
	// Notice is what a form has done.
	Notice string
	Data   any
}

// RiverUI reports whether the key may open River UI.
func (s shell) RiverUI() bool { return s.Key != nil && s.Key.ProjectID == nil }

// MayCreate reports whether the key may make projects, and clones.
func (s shell) MayCreate() bool { return s.MayConfigure && s.Key != nil && s.Key.ProjectID == nil }

// fault is the page about a problem.
type fault struct {
	Heading, Detail, RequestID string
	// Fields are what is wrong with single fields of a form, and Back the page that has it.
	Fields []problem.Field
	Back   string
	// DatabaseAway says that the project's own database does not answer.
	DatabaseAway bool
}

// page serves a page to browsers that are signed in, and leads others to the sign-in.
func (d *Dashboard) page(show func(*visit) (view, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, ok := d.enter(w, r)
		if ok {
			d.serve(w, &visit{Request: r, api: d.config.API, key: key}, show) //nolint:contextcheck // the visit is the request
		}
	}
}

// enter finds who is signed in. If it is nobody, or cannot be known, it answers itself and ok is false.
func (d *Dashboard) enter(w http.ResponseWriter, r *http.Request) (key project.Key, ok bool) {
	w.Header().Add("Vary", "Accept") // programs get text at /
	key, err := d.session(r)
	switch {
	case err == nil:
		return key, true
	case isOver(err) && isLook(r):
		problem.Write(w, r, http.StatusUnauthorized, "nobody is signed in any more")
	case isOver(err):
		http.Redirect(w, r, signInFor(r), http.StatusSeeOther) //nolint:gosec // a path of ours, see signInFor
	default:
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "session_not_checked", about(r, err)...)
		err = databaseAway()
		d.write(w, r, d.faultView(w, r, err), shell{})
	}
	return key, false
}

// serve answers with a page, with the one about an error, or leads on.
func (d *Dashboard) serve(w http.ResponseWriter, v *visit, show func(*visit) (view, error)) {
	shown, err := v.show(show)
	if err == nil && shown.redirect != "" {
		http.Redirect(w, v.Request, shown.redirect, http.StatusSeeOther)
		return
	}
	if err != nil {
		shown = d.faultView(w, v.Request, err)
	}
	around := shell{Key: &v.key, Project: v.project, MayOperate: v.key.May(project.Operator), MayConfigure: v.key.May(project.Admin)}
	around.Projects, around.More = d.firstProjects(v, shown.projects)
	d.write(w, v.Request, shown, around)
}

// firstProjects are the projects of the navigation, and whether there are more. known are the first ones, if they have been read.
func (d *Dashboard) firstProjects(v *visit, known *wire.Page[wire.Project]) (first []wire.Project, more bool) {
	if known == nil {
		list, err := get[wire.Page[wire.Project]](v, url.Values{"limit": {strconv.Itoa(switchable)}}, "projects")
		if err != nil {
			d.config.Log.LogAttrs(v.Context(), troubleLevel(v.Request, err), "projects_not_listed", about(v.Request, err)...)
		}
		known = &list
	}
	shown := min(len(known.Data), switchable)
	return known.Data[:shown], known.NextCursor != nil || shown < len(known.Data)
}

func (v *visit) show(show func(*visit) (view, error)) (view, error) {
	if name := v.PathValue("project"); name != "" {
		p, err := get[wire.Project](v, nil, "projects", name)
		if err != nil {
			return view{}, err
		}
		v.project = &p
	}
	return show(v)
}

// faultView is the page in place of one that could not be made.
func (d *Dashboard) faultView(w http.ResponseWriter, r *http.Request, err error) view {
	var known *problemError
	switch {
	case errors.As(err, &known):
	case pgdb.Unavailable(err):
		known = databaseAway()
	default:
		known = problemOf(http.StatusInternalServerError, "The log has the cause, under the id of this request.")
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "page_not_made", about(r, err)...)
	}
	if known.RetryAfter != "" {
		w.Header().Set("Retry-After", known.RetryAfter)
	}
	shown := fault{Detail: known.Detail, RequestID: problem.RequestID(r.Context()), DatabaseAway: known.Code == "project_database_unavailable"}
	if r.Method == http.MethodPost {
		shown.Back, shown.Fields = formPage(r), known.Errors
	}
	switch {
	case shown.DatabaseAway:
		shown.Heading = "The project’s database does not answer"
	case known.Status == http.StatusNotFound:
		shown.Heading = "Not found"
	case known.Status == http.StatusForbidden:
		shown.Heading = "Not with this key"
	case known.Status == http.StatusTooManyRequests:
		shown.Heading = "Too many requests at once"
	case known.Status == http.StatusServiceUnavailable:
		shown.Heading = "Not available now"
	case known.Status < http.StatusInternalServerError && r.Method == http.MethodPost:
		shown.Heading = "This could not be done"
	case known.Status < http.StatusInternalServerError:
		shown.Heading = "The address is not as it should be"
	default:
		shown.Heading = "Internal error"
	}
	return view{template: "fault", title: shown.Heading, status: known.Status, data: shown}
}

// write writes a page within the layout.
func (d *Dashboard) write(w http.ResponseWriter, r *http.Request, shown view, around shell) {
	around.Title, around.Section, around.Data = shown.title, shown.section, shown.data
	around.Notice = d.takeNotice(w, r)
	var page bytes.Buffer
	if err := templates[shown.template].ExecuteTemplate(&page, "layout", around); err != nil { // a bug in the template
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "page_not_made", about(r, err)...)
		problem.Write(w, r, http.StatusInternalServerError, "the page could not be made; the log says why")
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if shown.status != 0 {
		w.WriteHeader(shown.status)
	}
	_, _ = w.Write(page.Bytes()) // the client may have disconnected
}

// notAPage is for paths without a page.
func notAPage(*visit) (view, error) {
	return view{}, problemOf(http.StatusNotFound, "There is no page at this address.")
}

// nothingHere answers requests that no other route takes, with a problem: their senders are hardly people.
func nothingHere(routes *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := routes.Handler(other); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		if allowed == nil {
			notFound(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		problem.Write(w, r, http.StatusMethodNotAllowed, r.Method+" is no method of this path: it takes "+strings.Join(allowed, ", "))
	}
}

func notFound(w http.ResponseWriter, r *http.Request) {
	problem.Write(w, r, http.StatusNotFound, "there is nothing at this path: GET / leads to the pages there are")
}

// signInFor is the sign-in that leads back to the page asked for, or to the page with the form that was sent.
func signInFor(r *http.Request) string {
	next := r.URL.RequestURI()
	if r.Method == http.MethodPost {
		next = formPage(r)
	}
	return SignInPath + "?next=" + url.QueryEscape(next)
}

// asset serves a file of the pages.
func asset(contentType string, content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write(content) // the client may have disconnected
	}
}

// pages adds the pages to a router.
func (d *Dashboard) pages(routes *http.ServeMux) {
	const one = ProjectsPath + "/{project}"
	routes.HandleFunc("GET /{$}", d.page(d.home))
	routes.Handle("GET "+ProjectsPath, http.RedirectHandler("/", http.StatusSeeOther))
	routes.HandleFunc("GET "+one, d.page(showProject))
	routes.HandleFunc("GET "+one+"/events", d.page(listEvents))
	routes.HandleFunc("GET "+one+"/events/{event}", d.page(showEvent))
	routes.HandleFunc("POST "+one+"/events/{event}/replay", d.act(replayEvent))
	routes.HandleFunc("GET "+one+"/replay", d.page(only(project.Operator, askReplay)))
	routes.HandleFunc("POST "+one+"/replay", d.act(replayEvents))
	routes.HandleFunc("GET "+one+"/records/{type}", d.page(listRecords))
	routes.HandleFunc("GET "+one+"/records/{type}/{id}", d.page(showRecord))
	routes.HandleFunc("POST "+one+"/records/{type}/{id}/refresh", d.act(refreshRecord))
	routes.HandleFunc("GET "+NewProjectPath, d.page(only(project.Admin, newProject)))
	routes.HandleFunc("POST "+ProjectsPath, d.act(createProject))
	routes.HandleFunc("POST "+one, d.act(updateProject))
	routes.HandleFunc("POST "+one+"/retention", d.act(updateRetention))
	routes.HandleFunc("POST "+one+"/delete", d.act(deleteProject))
	routes.HandleFunc("GET "+one+providersPath, d.page(only(project.Admin, nameProvider)))
	d.clonePages(routes)
	d.integrationPages(routes)
	d.destinationPages(routes)
	d.auditPages(routes)
	routes.HandleFunc("GET "+KeysPath, d.page(only(project.Admin, listKeys)))
	routes.HandleFunc("POST "+KeysPath, d.act(createKey))
	routes.HandleFunc("POST "+KeysPath+"/{key}/revoke", d.act(revokeKey))
	routes.HandleFunc("GET "+ProjectsPath+"/", d.page(notAPage))
	routes.HandleFunc("/", nothingHere(routes))
	routes.HandleFunc("GET "+AssetsPath+"/style.css", asset("text/css; charset=utf-8", styleCSS))
	routes.HandleFunc("GET "+AssetsPath+"/page.js", asset("text/javascript; charset=utf-8", slices.Concat(pageJS, formsJS)))
	routes.HandleFunc("GET "+AssetsPath+"/icon.svg", asset("image/svg+xml", iconSVG))
}
