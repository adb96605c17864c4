package dashboard

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/url"

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

const databaseAway = "authsync’s own database cannot be reached now; try again in a few seconds."

// switchable is how many projects the navigation lists; all are on the home page.
const switchable = "20"

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
}

// shell is what the layout shows around a page.
type shell struct {
	Title    string
	Section  string
	Key      project.Key
	Projects []wire.Project
	More     bool // there are more projects
	Project  *wire.Project
	// MayOperate and MayConfigure say what the key may do besides reading.
	MayOperate, MayConfigure bool
	// Notice is what a form has done.
	Notice string
	Data   any
}

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
		v, ok := d.enter(w, r) //nolint:contextcheck // the visit is the request
		if !ok {
			return
		}
		shown, err := v.show(show) //nolint:contextcheck // the visit is the request
		d.show(w, v, shown, err)   //nolint:contextcheck // the visit is the request
	}
}

// enter finds who is signed in. If it is nobody, or cannot be known, it answers itself and ok is false.
func (d *Dashboard) enter(w http.ResponseWriter, r *http.Request) (v *visit, ok bool) {
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Add("Vary", "Accept") // programs get text at /
	key, err := d.session(r)
	v = &visit{Request: r, api: d.config.API, key: key}
	switch {
	case err == nil:
		return v, true
	case isOver(err):
		http.Redirect(w, r, signInFor(r), http.StatusSeeOther)
	default:
		d.sessionUnknown(r, err)
		away := &problemError{Status: http.StatusServiceUnavailable, retryAfter: "5", Detail: databaseAway}
		d.write(w, v, d.faultView(w, r, away), nil) //nolint:contextcheck // the visit is the request
	}
	return nil, false
}

// show answers with a page, or with the one about an error.
func (d *Dashboard) show(w http.ResponseWriter, v *visit, shown view, err error) {
	if err == nil && shown.redirect != "" {
		http.Redirect(w, v.Request, shown.redirect, http.StatusSeeOther)
		return
	}
	if err != nil {
		shown = d.faultView(w, v.Request, err)
	}
	projects, err := get[wire.Page[wire.Project]](v, url.Values{"limit": {switchable}}, "projects")
	if err != nil {
		d.config.Log.LogAttrs(v.Context(), troubleLevel(v.Request), "projects_not_listed", slog.Any("error", err), slog.String("request_id", problem.RequestID(v.Context())))
	}
	d.write(w, v, shown, &projects)
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
		known = &problemError{Status: http.StatusServiceUnavailable, retryAfter: "5", Detail: databaseAway}
	default:
		known = &problemError{Status: http.StatusInternalServerError, Detail: "The log has the cause, under the id of this request."}
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r), "page_not_made", slog.Any("error", err), slog.String("request_id", problem.RequestID(r.Context())))
	}
	if known.retryAfter != "" {
		w.Header().Set("Retry-After", known.retryAfter)
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

// write writes a page. projects is nil where they cannot be asked for.
func (d *Dashboard) write(w http.ResponseWriter, v *visit, shown view, projects *wire.Page[wire.Project]) {
	around := shell{Title: shown.title, Section: shown.section, Key: v.key, Project: v.project, Notice: d.takeNotice(w, v.Request), Data: shown.data}
	around.MayOperate, around.MayConfigure = true, true
	if projects != nil {
		around.Projects, around.More = projects.Data, projects.NextCursor != nil
	}
	var page bytes.Buffer
	if err := templates[shown.template].ExecuteTemplate(&page, "layout", around); err != nil { // a bug in the template
		d.config.Log.ErrorContext(v.Context(), "page_not_made", slog.Any("error", err), slog.String("request_id", problem.RequestID(v.Context())))
		problem.Write(w, v.Request, http.StatusInternalServerError, "", "the page could not be made; the log says why")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if shown.status != 0 {
		w.WriteHeader(shown.status)
	}
	_, _ = w.Write(page.Bytes()) // the client may have disconnected
}

// notAPage is for paths without a page.
func notAPage(*visit) (view, error) {
	return view{}, &problemError{Status: http.StatusNotFound, Detail: "There is no page at this address."}
}

// sessionUnknown logs that the key of a session could not be checked.
func (d *Dashboard) sessionUnknown(r *http.Request, err error) {
	d.config.Log.LogAttrs(r.Context(), troubleLevel(r), "session_not_checked", slog.Any("error", err), slog.String("request_id", problem.RequestID(r.Context())))
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
	routes.HandleFunc("GET "+one+"/replay", d.page(askReplay))
	routes.HandleFunc("POST "+one+"/replay", d.act(replayEvents))
	routes.HandleFunc("GET "+one+"/records/{type}", d.page(listRecords))
	routes.HandleFunc("GET "+one+"/records/{type}/{id}", d.page(showRecord))
	routes.HandleFunc("POST "+one+"/records/user/{id}/refresh", d.act(refreshUser))
	routes.HandleFunc("GET "+KeysPath, d.page(listKeys))
	routes.HandleFunc("POST "+KeysPath, d.act(createKey))
	routes.HandleFunc("POST "+KeysPath+"/{key}/revoke", d.act(revokeKey))
	routes.HandleFunc("GET "+ProjectsPath+"/", d.page(notAPage))
	routes.HandleFunc("GET "+AssetsPath+"/style.css", asset("text/css; charset=utf-8", styleCSS))
	routes.HandleFunc("GET "+AssetsPath+"/page.js", asset("text/javascript; charset=utf-8", pageJS))
	routes.HandleFunc("GET "+AssetsPath+"/icon.svg", asset("image/svg+xml", iconSVG))
}
