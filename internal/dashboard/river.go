package dashboard

import (
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"riverqueue.com/riverui"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

// Session returns the settings of River UI's connections to the control database. Its counts scan a table that
// may be large. River UI itself gives up after 10 s, but without a statement timeout PostgreSQL would go on.
func Session() map[string]string {
	session := pgdb.FreshPlans()
	session["statement_timeout"] = "10s"
	session["lock_timeout"] = "5s"
	return session
}

// maxBody is well above the thousand ids that River UI sends at most.
const maxBody = 64 << 10

// newRiver returns River UI, not started: when started it counts all jobs every ten seconds in each process,
// to have the numbers of a table of a million rows at hand. Otherwise it counts them on request, which takes a
// tenth of a second for that many.
func newRiver(pool *pgxpool.Pool, log *slog.Logger) (http.Handler, error) {
	log = log.With(slog.String("part", "river_ui"))
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{Schema: inbox.RiverSchema, Logger: log})
	if err != nil {
		return nil, fmt.Errorf("make River UI's client: %w", err)
	}
	ui, err := riverui.NewHandler(&riverui.HandlerOpts{Endpoints: riverui.NewEndpoints(client, nil), Logger: log, Prefix: RiverPath})
	if err != nil {
		return nil, fmt.Errorf("make River UI: %w", err)
	}
	return withBar(ui), nil
}

// riverUI admits signed-in browsers and requests with a key. A browser without a session is redirected to the
// sign-in, and from there back to the page.
func (d *Dashboard) riverUI(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") != "" {
		d.bearer.ServeHTTP(w, r)
		return
	}
	key, err := d.session(r)
	switch {
	case err == nil && key.ProjectID != nil && isPage(r):
		d.serve(w, &visit{Request: r, api: d.config.API, key: key}, notWithThisKey) //nolint:contextcheck // the visit is the request
	case err == nil && key.ProjectID != nil:
		problem.Write(w, r, http.StatusForbidden, "River UI shows the jobs of all projects: sign in with a key that is not limited to one")
	case err == nil:
		d.serveRiver(w, r, key)
	case !isOver(err):
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "session_not_checked", about(r, err)...)
		problem.Write(w, r, http.StatusServiceUnavailable, "authsync's own database cannot be asked now; try again in a few seconds",
			problem.RetryAfter(5*time.Second))
	case isPage(r):
		http.Redirect(w, r, signInFor(r), http.StatusSeeOther) //nolint:gosec // a path of ours, see signInFor
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="authsync"`)
		problem.Write(w, r, http.StatusUnauthorized, "nobody is signed in, or no longer: sign in at "+SignInPath+
			", or send the header Authorization: Bearer capy_live_… with a key that is not limited to a project")
	}
}

// notWithThisKey is in place of River UI's pages for keys that are limited to a project.
func notWithThisKey(*visit) (view, error) {
	return view{}, problemOf(http.StatusForbidden, "Jobs are those of all projects, and this key is limited to one. Sign in with a key that is not limited.")
}

// isPage reports whether a browser opens a page, as opposed to a script calling River UI's API.
func isPage(r *http.Request) bool {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	return reads && !strings.HasPrefix(r.URL.Path, RiverPath+"/api/")
}

// serveRiver serves River UI and logs changes with their key. Reading takes any role. What can be changed there, jobs
// and queues, can be undone or is done again by itself (see the package comment), so it takes an operator.
func (d *Dashboard) serveRiver(w http.ResponseWriter, r *http.Request, key project.Key) {
	level := slog.LevelDebug
	attrs := []slog.Attr{
		slog.String("method", r.Method), slog.String("path", r.URL.Path),
		slog.String("request_id", problem.RequestID(r.Context())), slog.String("key_id", key.ID.String()),
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		level = slog.LevelInfo
		if !key.May(project.Operator) {
			d.config.Log.LogAttrs(r.Context(), level, "river_ui_call_refused", attrs...)
			d.refused(r, &key, riverAction(r).Name, http.StatusForbidden, "insufficient_role")
			problem.Write(w, r, http.StatusForbidden, fmt.Sprintf("this key has the role %s, and River UI needs %s to change anything: "+
				"sign in with a key of that role", key.Role, project.Operator), problem.Code("insufficient_role"))
			return
		}
	}
	d.config.Log.LogAttrs(r.Context(), level, "river_ui_call", attrs...)
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if level == slog.LevelDebug {
		d.river.ServeHTTP(noStore{w}, r)
		return
	}
	id, err := d.config.Audit.Begin(r.Context(), d.origin(r, &key), riverAction(r))
	if err != nil {
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "river_ui_call_not_recorded", about(r, err)...)
		problem.Write(w, r, http.StatusServiceUnavailable, "authsync's own database cannot be asked now; try again in a few seconds",
			problem.RetryAfter(5*time.Second))
		return
	}
	answer := &audited{ResponseWriter: w, status: http.StatusOK}
	d.river.ServeHTTP(noStore{answer}, r)
	if err := d.config.Audit.Finish(r.Context(), id, answer.result()); err != nil {
		d.config.Log.LogAttrs(r.Context(), slog.LevelError, "audit_result_not_recorded", about(r, err)...)
	}
}

// noStore sets Cache-Control again: River UI tries each path as a file first, and a miss removes the header.
type noStore struct{ http.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w noStore) WriteHeader(status int) {
	w.Header().Set("Cache-Control", "no-store")
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w noStore) Unwrap() http.ResponseWriter { return w.ResponseWriter }
