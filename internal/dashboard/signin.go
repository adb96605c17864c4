package dashboard

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/pasted"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
)

//go:embed signin.css
var signInCSS string

//go:embed signin.html
var signInHTML string

// signInPage is the page before and after signing in.
var signInPage = template.Must(template.New("sign-in").Parse(signInHTML)) //nolint:gochecknoglobals // read-only

// signInPolicy allows the page's own style and nothing else.
var signInPolicy = func() string { //nolint:gochecknoglobals // read-only
	sum := sha256.Sum256([]byte(signInCSS))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; img-src data:; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
}()

// signInView is the data of the page.
type signInView struct {
	Style template.CSS
	// Next is the path to go to after signing in.
	Next string
	// Key is the key of the session; nil if nobody is signed in.
	Key *project.Key
	// Fault is why the last attempt failed.
	Fault string
}

func (d *Dashboard) showSignIn(w http.ResponseWriter, r *http.Request) {
	view := signInView{Next: localPath(r.URL.Query().Get("next"))}
	if key, err := d.session(r); err == nil {
		view.Key = &key
	}
	d.writeSignIn(w, r, http.StatusOK, view)
}

// maxSignIn is well above the size of the form.
const maxSignIn = 8 << 10

// signIn starts a session for a valid key. Wrong keys are limited by address, and looked for by their hash, in the same
// time however much of one is right.
func (d *Dashboard) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxSignIn)
	if err := r.ParseForm(); err != nil {
		d.refuse(w, r, http.StatusBadRequest, localPath(""), "The form could not be read. Try again.")
		return
	}
	next := localPath(r.PostForm.Get("next"))
	from := d.config.Proxies.Of(r)
	if wait := d.attempts.begin(from, d.config.Now()); wait > 0 {
		d.refused(r, nil, signInAction, http.StatusTooManyRequests, "too_many_requests")
		w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
		d.refuse(w, r, http.StatusTooManyRequests, next, "Too many wrong keys were entered from your address. Try again in a minute.")
		return
	}
	key, err := d.config.Keys.Authenticate(r.Context(), pasted.Unquote(r.PostForm.Get("key")))
	if !errors.Is(err, project.ErrNoKey) {
		d.attempts.forgive(from)
	}
	switch {
	case errors.Is(err, project.ErrNoKey):
		fault := "This key is unknown or was revoked."
		if expired, is := errors.AsType[*project.KeyExpiredError](err); is {
			fault = "This key expired at " + expired.At.UTC().Format(time.DateTime) + " UTC."
		}
		d.refused(r, nil, signInAction, http.StatusUnauthorized, "unauthenticated")
		d.refuse(w, r, http.StatusUnauthorized, next, fault)
		return
	case err == nil:
		err = d.config.Audit.Do(r.Context(), d.origin(r, &key), audit.Action{Name: signInAction, ProjectID: key.ProjectID},
			func(*audit.Result) error { return d.startSession(w, r, key) })
	}
	if err != nil {
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "sign_in_failed", about(r, err)...)
		w.Header().Set("Retry-After", "5")
		d.writeSignIn(w, r, http.StatusServiceUnavailable, signInView{Next: next, Fault: "The database cannot be asked now. Try again in a few seconds."})
		return
	}
	d.config.Log.InfoContext(r.Context(), "signed_in", slog.String("key_id", key.ID.String()), slog.String("request_id", problem.RequestID(r.Context())))
	http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // see localPath
}

// troubleLevel is the log level of an error that kept a request from being answered as it should be: low if the browser
// has disconnected, or if the API refused, which has logged it, too.
func troubleLevel(r *http.Request, err error) slog.Level {
	var refused *problemError
	switch {
	case r.Context().Err() != nil, errors.As(err, &refused) && refused.Status < http.StatusInternalServerError:
		return slog.LevelDebug
	case refused != nil && refused.Status == http.StatusServiceUnavailable:
		return slog.LevelWarn
	default:
		return slog.LevelError
	}
}

// about is what the log says of an error. People see the id of the request on the page, too.
func about(r *http.Request, err error) []slog.Attr {
	return []slog.Attr{slog.Any("error", err), slog.String("request_id", problem.RequestID(r.Context()))}
}

// refuse shows the form again.
func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, status int, next, fault string) {
	level := slog.LevelWarn
	if status == http.StatusTooManyRequests { // those before it are in the log
		level = slog.LevelDebug
	}
	d.config.Log.LogAttrs(r.Context(), level, "sign_in_refused", slog.Int("status", status), slog.String("request_id", problem.RequestID(r.Context())))
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="authsync"`)
	}
	d.writeSignIn(w, r, status, signInView{Next: next, Fault: fault})
}

// signOut deletes the session cookie. A copy of the cookie stays valid until it expires; revoking the key ends
// it at once.
func (d *Dashboard) signOut(w http.ResponseWriter, r *http.Request) {
	d.setSession(w, r, "", -time.Second)
	http.Redirect(w, r, SignInPath, http.StatusSeeOther)
}

func (d *Dashboard) writeSignIn(w http.ResponseWriter, r *http.Request, status int, view signInView) {
	view.Style = template.CSS(signInCSS) //nolint:gosec // our own file
	var page bytes.Buffer
	if err := signInPage.Execute(&page, view); err != nil { // a bug in the template
		d.config.Log.LogAttrs(r.Context(), troubleLevel(r, err), "page_not_made", about(r, err)...)
		problem.Write(w, r, http.StatusInternalServerError, "the page could not be made; the log says why")
		return
	}
	w.Header().Set("Content-Security-Policy", signInPolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the client may have disconnected
}

// localPath returns the path to go to after signing in, always one of our pages. The path is cleaned, because browsers
// treat a leading double slash as a host, but stays encoded, because ids may contain slashes.
func localPath(next string) string {
	const home = "/"
	u, err := url.Parse(next)
	if err != nil {
		return home
	}
	// Browsers resolve encoded dots, too.
	plain, page := path.Clean(u.Path), path.Clean(u.EscapedPath())
	isPage := func(prefix string) bool {
		return strings.HasPrefix(plain, prefix+"/") && strings.HasPrefix(page, prefix+"/")
	}
	switch {
	case page == RiverPath:
		page += "/"
	case page != home && page != KeysPath && page != AuditPath && page != NewProjectPath && !isPage(ProjectsPath) && !isPage(RiverPath):
		return home
	}
	if u.RawQuery != "" {
		page += "?" + u.RawQuery
	}
	return page
}
