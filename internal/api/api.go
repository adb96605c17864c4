// Package api is the management API: projects, integrations, destinations, keys,
// and what became of events, users and deliveries. It stands beside the road of a webhook (provider
// → receiver → inbox → applier → mirror): it sets the road up and looks at it.
//
// docs/openapi.yaml describes it; a test holds the two together. Every answer
// is JSON, every error an RFC 9457 document whose detail says what to do.
package api

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/account"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// Prefix is the base of all paths.
const Prefix = "/api/capydb/v1"

// Config is what the API needs; all of it but PublicURL must be given.
type Config struct {
	Store     *project.Store
	Events    Events
	Users     Users
	Grants    Grants
	Backfills Backfills
	Refresher Refresher
	Accounts  account.Accounts
	Outbox    Outbox
	// PublicURL is the base of the URLs that providers are pointed at, such as
	// https://sync.example.com; empty: what the request says that it was sent to.
	PublicURL string
	Log       *slog.Logger
}

// API answers management calls. It is safe for concurrent use.
type API struct {
	config  Config
	handler http.Handler
	router  *mux.Router
	calls   bulkhead
}

// New makes the API. It answers all paths below Prefix that it is asked,
// unknown ones included; the receiver's path must be routed elsewhere before.
func New(c Config) (*API, error) {
	if c.Store == nil || c.Events == nil || c.Users == nil || c.Grants == nil || c.Backfills == nil ||
		c.Refresher == nil || c.Accounts == nil || c.Outbox == nil || c.Log == nil {
		return nil, errors.New("api: store, events, users, grants, backfills, refresher, accounts, outbox and log must be given")
	}
	a := &API{config: c}
	// Encoded paths, because ids of users hold "|" and may hold "/"; not
	// cleaned, because mux cleans by a redirect, which turns a PUT into a GET.
	a.router = mux.NewRouter().UseEncodedPath().SkipClean(true)
	for _, route := range a.routes() {
		a.router.Handle(Prefix+route.path, a.call(route)).Methods(route.method)
	}
	a.router.NotFoundHandler = http.HandlerFunc(notFound)
	a.router.MethodNotAllowedHandler = http.HandlerFunc(a.methodNotAllowed)
	a.handler = problem.WithRequestID(a.router)
	return a, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// access says which keys may make a call.
type access int

const (
	// ofProject: any key; one that is limited to a project sees no other.
	ofProject access = iota
	// ofAll: only a key that is not limited to a project.
	ofAll
)

type route struct {
	method, path string
	access       access
	handle       func(*http.Request) (answer, error)
}

func (a *API) routes() []route {
	return []route{
		{http.MethodPost, "/projects", ofAll, a.createProject},
		{http.MethodGet, "/projects", ofProject, a.listProjects},
		{http.MethodGet, "/projects/{project}", ofProject, a.getProject},
		{http.MethodPatch, "/projects/{project}", ofAll, a.updateProject},
		{http.MethodDelete, "/projects/{project}", ofAll, a.deleteProject},

		{http.MethodGet, "/projects/{project}/integrations", ofProject, a.listIntegrations},
		{http.MethodPut, "/projects/{project}/integrations/{provider}", ofProject, a.putIntegration},
		{http.MethodGet, "/projects/{project}/integrations/{provider}", ofProject, a.getIntegration},
		{http.MethodDelete, "/projects/{project}/integrations/{provider}", ofProject, a.deleteIntegration},

		{http.MethodPost, "/projects/{project}/integrations/{provider}/backfill", ofProject, a.startRun(provider.KindBackfill)},
		{http.MethodGet, "/projects/{project}/integrations/{provider}/backfill", ofProject, a.getRun(provider.KindBackfill)},
		{http.MethodDelete, "/projects/{project}/integrations/{provider}/backfill", ofProject, a.cancelRun(provider.KindBackfill)},

		{http.MethodPost, "/projects/{project}/integrations/{provider}/reconcile", ofProject, a.startRun(provider.KindReconcile)},
		{http.MethodGet, "/projects/{project}/integrations/{provider}/reconcile", ofProject, a.getRun(provider.KindReconcile)},
		{http.MethodDelete, "/projects/{project}/integrations/{provider}/reconcile", ofProject, a.cancelRun(provider.KindReconcile)},

		{http.MethodPost, "/projects/{project}/integrations/{provider}/redeliver", ofProject, a.redeliver},

		{http.MethodPost, "/projects/{project}/grants", ofProject, a.grant},

		{http.MethodGet, "/projects/{project}/events", ofProject, a.listEvents},
		{http.MethodPost, "/projects/{project}/events/replay", ofProject, a.replayEvents},
		{http.MethodGet, "/projects/{project}/events/{event}", ofProject, a.getEvent},
		{http.MethodPost, "/projects/{project}/events/{event}/replay", ofProject, a.replayEvent},
		{http.MethodGet, "/projects/{project}/users/{user}", ofProject, a.getUser},
		{http.MethodPost, "/projects/{project}/users/{user}/refresh", ofProject, a.refreshUser},

		{http.MethodPost, "/projects/{project}/destinations", ofProject, a.createDestination},
		{http.MethodGet, "/projects/{project}/destinations", ofProject, a.listDestinations},
		{http.MethodGet, "/projects/{project}/destinations/{destination}", ofProject, a.getDestination},
		{http.MethodPatch, "/projects/{project}/destinations/{destination}", ofProject, a.updateDestination},
		{http.MethodDelete, "/projects/{project}/destinations/{destination}", ofProject, a.deleteDestination},
		{http.MethodPost, "/projects/{project}/destinations/{destination}/pause", ofProject, a.pauseDestination},
		{http.MethodPost, "/projects/{project}/destinations/{destination}/resume", ofProject, a.resumeDestination},
		{http.MethodPost, "/projects/{project}/destinations/{destination}/rotate", ofProject, a.rotateSecret},
		{http.MethodPost, "/projects/{project}/destinations/{destination}/test", ofProject, a.testDestination},
		{http.MethodPost, "/projects/{project}/destinations/{destination}/replay", ofProject, a.replayDestination},

		{http.MethodGet, "/projects/{project}/deliveries", ofProject, a.listDeliveries},
		{http.MethodGet, "/projects/{project}/deliveries/{delivery}", ofProject, a.getDelivery},
		{http.MethodPost, "/projects/{project}/deliveries/{delivery}/retry", ofProject, a.retryDelivery},
		{http.MethodPost, "/projects/{project}/deliveries/{delivery}/cancel", ofProject, a.cancelDelivery},

		{http.MethodPost, "/keys", ofAll, a.createKey},
		{http.MethodGet, "/keys", ofAll, a.listKeys},
		{http.MethodDelete, "/keys/{key}", ofAll, a.revokeKey},
	}
}
