// Package dashboard is the web pages: River UI, where a person sees and steers jobs, and
// the sign-in before it. It stands beside the road of a webhook, as package api does.
//
//	/river/     River UI, as its module carries it
//	/sign-in    asks for an API key, and says who is signed in
//	/sign-out   ends the session of the browser
//
// River UI shows and changes the jobs of all projects, so only a key that is not limited to
// one lets anybody in: typed at the sign-in, or as the Bearer token of a program. A
// session is a cookie that holds the id of the key, sealed. Each request asks
// whether that key is still good, so revoking it ends all its sessions at once.
//
// # What retry, cancel and delete do to our jobs
//
// None of them loses an event, a change or a user, for a job is only what is to be done about
// rows that are elsewhere. Where a job that was cancelled or deleted leaves something undone,
// another is made; what ends the thing itself, where there is such a thing, is said here:
//
//	apply_inbox           retry: applies what waits of its project now. cancel, delete: a new one
//	                      comes within seconds. Nothing keeps an
//	                      event from being applied: to undo it, change the user at the provider.
//	retry_event           retry: tries now. cancel, delete: the event stays failed, as
//	                      event_failures shows; a replay of failed events makes a new job.
//	relay_changes,        retry of one that is finished: finds nothing to do. cancel, delete:
//	deliver               a new one comes within seconds. To hold deliveries
//	                      back, pause the destination.
//	retry_delivery         retry: tries now, or hands the delivery to the destination's job if the
//	                      destination is paused or only fails; one that was given up is
//	                      taken up again. cancel, delete: the delivery goes on a minute after
//	                      the time of its next attempt. To end it, authsync deliveries cancel.
//	backfill              retry: goes on from the last page. cancel, delete: so does the run, a
//	                      reconcile as well, by a new job within seconds. To end a run,
//	                      authsync backfill or reconcile … --cancel.
//	refresh_users,        retry: goes on. cancel, delete: a new one comes within seconds.
//	repair_mirror
//	maintain_inbox, rescue_deliveries, prune_deliveries, schedule_reconciles, check_mirrors
//	                      come again by themselves.
//
// A job that runs is only asked to stop, and cannot be deleted. To pause a queue holds back
// all of its jobs, of all projects; webhooks are taken all the while.
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

	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/seal"
)

// The paths that a Dashboard answers, and all paths below that of River UI.
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

// Config is what a Dashboard needs; all of it but PublicURL and Now must be given.
type Config struct {
	Keys    Keys
	Keyring *seal.Keyring
	// Pool is for River UI alone, see Session.
	Pool *pgxpool.Pool
	// Bearer makes a handler of requests that show a key in their header; see api.Unlimited.
	Bearer func(next func(http.ResponseWriter, *http.Request, project.Key)) http.Handler
	// PublicURL is where browsers find this server; empty: where the request was sent to.
	PublicURL string
	Log       *slog.Logger
	// Now is the clock of sessions; nil: time.Now.
	Now func() time.Time
}

// Dashboard answers browsers. It is safe for concurrent use.
type Dashboard struct {
	config  Config
	river   http.Handler
	bearer  http.Handler
	handler http.Handler
}

// New makes a Dashboard. It starts nothing.
func New(c Config) (*Dashboard, error) {
	if c.Keys == nil || c.Keyring == nil || c.Pool == nil || c.Bearer == nil || c.Log == nil {
		return nil, errors.New("dashboard: keys, keyring, pool, bearer and log must be given")
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

	pages := http.NewServeMux()
	pages.HandleFunc("GET "+SignInPath, d.showSignIn)
	pages.HandleFunc("POST "+SignInPath, d.signIn)
	pages.HandleFunc("POST "+SignOutPath, d.signOut)
	pages.HandleFunc(RiverPath+"/", d.riverUI)
	pages.Handle(RiverPath, http.RedirectHandler(RiverPath+"/", http.StatusMovedPermanently))
	protection, err := sameOrigin(c.PublicURL)
	if err != nil {
		return nil, err
	}
	d.handler = problem.WithRequestID(withHeaders(protection.Handler(pages)))
	return d, nil
}

func (d *Dashboard) ServeHTTP(w http.ResponseWriter, r *http.Request) { d.handler.ServeHTTP(w, r) }

// sameOrigin refuses what the pages of other sites make a browser send. The public URL is
// trusted, for a proxy may send requests on under another name.
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
		problem.Write(w, r, http.StatusForbidden, "", "the request comes from a page of another site, which may change nothing here; "+
			"behind a proxy, set AUTHSYNC_PUBLIC_URL to the address that people open")
	}))
	return protection, nil
}

// withHeaders keeps answers out of caches and out of other sites' frames. What River UI loads
// comes from here; the styles that it sets by itself are the only exception. It compiles no
// code, see barJS.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "+
			"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
		// Not no-referrer: with that, a browser does not say where a form comes from.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}
