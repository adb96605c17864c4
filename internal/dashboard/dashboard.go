// Package dashboard serves the web pages, behind a sign-in.
//
//	/                                        the projects and their open problems
//	/new-project                             creates a project
//	/projects/{project}                      integrations, rejected requests, sync runs, destinations, settings
//	/projects/{project}/clone                makes a clone of it
//	/projects/{project}/integrations/{provider}  connects a provider, step by step, and compares the mirror with it
//	/projects/{project}/events[/{event}]     what was received, and its outcome
//	/projects/{project}/records/{type}[/{id}]  the mirror: rows, who set each column, the history
//	/projects/{project}/destinations[/{destination}]  where changes are sent, and their health
//	/projects/{project}/deliveries[/{delivery}]  what was sent, and what was answered
//	/projects/{project}/audit                who changed something of the project
//	/keys                                    creates and revokes API keys
//	/audit                                   who changed something, of all projects
//	/river/                                  River UI, as its module carries it: jobs
//	/sign-in                                 asks for an API key, and shows who is signed in
//	/sign-out                                ends the browser's session
//
// A page is made of calls of the management API with the key of the session, and a form makes such a call, so that they
// show and do nothing that the API refuses to that key (docs/adr/0018). Pages work without scripts; the only one is a file
// of ours, which shows times in the reader's zone, copies, and keeps sections up to date. River UI shows and changes the jobs of
// all projects, so it takes a key that is not limited to one project, entered at the sign-in or sent as a Bearer token.
// A session is a cookie with the encrypted id of the key. Each request checks that the key is still valid, so revoking
// it ends all its sessions at once.
//
// The server keeps nothing of a session: if the process dies, another one serves the next page.
//
// # What retry, cancel and delete do to our jobs
//
// None of them loses an event, a change or a user, because a job only refers to rows stored elsewhere. If
// a cancelled or deleted job leaves work undone, another one is inserted. To end the work itself, where
// that is possible, do as follows:
//
//	apply_inbox           retry: applies the project's pending messages now. cancel, delete: a new
//	                      job follows within seconds. Nothing keeps an event from being
//	                      applied: to undo it, change the user at the provider.
//	retry_event           retry: tries now. cancel, delete: the event stays failed, see
//	                      event_failures; a replay of failed events inserts a new job.
//	relay_changes,        retry of a finished job: finds nothing to do. cancel, delete:
//	deliver               a new job follows within seconds. To stop deliveries,
//	                      pause the destination.
//	retry_delivery        retry: tries now, or returns the delivery to the destination's job if the
//	                      destination is paused or failing; a failed delivery is
//	                      requeued. cancel, delete: the delivery continues one minute after
//	                      the time of its next attempt. To end it, authsync deliveries cancel.
//	backfill              retry: continues from the last page. cancel, delete: a new job continues
//	                      the run, also a reconcile, within seconds. To end a run,
//	                      authsync backfill or reconcile … --cancel.
//	refresh_users,        retry: continues. cancel, delete: a new job follows within seconds.
//	repair_mirror,
//	provision_webhook,
//	copy_mirror
//	maintain_inbox, prune_inbox, rescue_deliveries, prune_deliveries, prune_mirrors,
//	schedule_reconciles, check_mirrors, check_webhooks,
//	look_at_clones        recur by themselves.
//
// A running job can only be asked to stop, and cannot be deleted. Pausing a queue holds back all of its
// jobs, of all projects; webhooks are still accepted.
package dashboard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/authsync/authsync/internal/clientaddr"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
)

// Paths served by a Dashboard, besides those below RiverPath.
const (
	RiverPath   = "/river"
	SignInPath  = "/sign-in"
	SignOutPath = "/sign-out"
)

// Keys finds API keys; see project.Store.
type Keys interface {
	Authenticate(ctx context.Context, secret string) (project.Key, error)
	FindKey(ctx context.Context, id uuid.UUID) (project.Key, error)
}

// Config configures a Dashboard. Only PublicURL, Proxies and Now are optional.
type Config struct {
	Keys    Keys
	Keyring *seal.Keyring
	// Pool is used by River UI only; see Session.
	Pool *pgxpool.Pool
	// Views reads the views of the control database, for the home page.
	Views *pgxpool.Pool
	// API makes the pages; see api.API.
	API API
	// Bearer wraps a handler for requests with a key in their header; see api.Unlimited.
	Bearer func(next func(http.ResponseWriter, *http.Request, project.Key)) http.Handler
	// PublicURL is the server's URL as seen by browsers; empty: the URL of the request.
	PublicURL string
	// Proxies are those whose word about the address of a browser is taken.
	Proxies clientaddr.Proxies
	Log     *slog.Logger
	// Audit records what does not go through the API: who signs in, and changes of jobs.
	Audit Audit
	// Refusals counts wrong keys at the sign-in.
	Refusals Refusals
	// Now is the clock of sessions; nil means time.Now.
	Now func() time.Time
}

// Dashboard serves the web pages. It is safe for concurrent use.
type Dashboard struct {
	config  Config
	river   http.Handler
	bearer  http.Handler
	handler http.Handler

	attempts attempts
}

// New returns a Dashboard. It starts nothing.
func New(c Config) (*Dashboard, error) {
	if c.Keys == nil || c.Keyring == nil || c.Pool == nil || c.Views == nil || c.API == nil || c.Bearer == nil || c.Log == nil || c.Audit == nil || c.Refusals == nil {
		return nil, errors.New("dashboard: keys, keyring, pool, views, API, bearer, log, audit and refusals must be given")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	d := &Dashboard{config: c}
	var err error
	if d.river, err = newRiver(c.Pool, c.Log); err != nil {
		return nil, err
	}
	d.bearer = c.Bearer(d.serveRiver)

	routes := http.NewServeMux()
	d.pages(routes)
	routes.HandleFunc("GET "+SignInPath, d.showSignIn)
	routes.HandleFunc("POST "+SignInPath, d.signIn)
	routes.HandleFunc("POST "+SignOutPath, d.signOut)
	routes.HandleFunc(RiverPath+"/", d.riverUI)
	routes.Handle(RiverPath, http.RedirectHandler(RiverPath+"/", http.StatusMovedPermanently))
	protection, err := sameOrigin(c.PublicURL)
	if err != nil {
		return nil, err
	}
	d.handler = problem.WithRequestID(withHeaders(protection.Handler(routes)))
	return d, nil
}

func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// sameOrigin rejects cross-site requests. The public URL is trusted, because a proxy may forward requests
// under another host name.
func sameOrigin(publicURL string) (*http.CrossOriginProtection, error) {
	protection := http.NewCrossOriginProtection()
	if publicURL != "" {
		u, err := url.Parse(publicURL)
		if err != nil {
			return nil, fmt.Errorf("read the public URL: %w", err)
		}
		if err := protection.AddTrustedOrigin(u.Scheme + "://" + u.Host); err != nil {
			return nil, fmt.Errorf("trust the public URL: %w", err)
		}
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		problem.Write(w, r, http.StatusForbidden, "the request comes from a page of another site, which may change nothing here; "+
			"behind a proxy, set AUTHSYNC_PUBLIC_URL to the address that people open")
	}))
	return protection, nil
}

// withHeaders forbids caching and framing by other sites. The policy is that of River UI; our own pages have
// stricter ones. Everything comes from this server, except for the inline styles that River UI sets. Code compilation is forbidden, see barJS.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "+
			"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		// Not no-referrer: with that, browsers hide the origin of a form.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
