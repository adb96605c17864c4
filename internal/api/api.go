// Package api is the management API: projects, integrations, destinations, keys,
// and what happened to events, users and deliveries. It stands beside the road of a webhook (provider
// → receiver → inbox → applier → mirror): it sets the road up and looks at it.
//
// docs/openapi.yaml describes it; a test holds the two together. Every answer
// is JSON, every error an RFC 9457 document whose detail names what to do.
//
// A call that the process dies in is whole or was never made in each of our databases; its row in the
// audit log stays pending. A POST with an Idempotency-Key can be sent again.
package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/google/uuid"
	"github.com/gorilla/mux"

	"github.com/authsync/authsync/internal/audit"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/sync/prune"
	"github.com/authsync/authsync/internal/sync/repair"
	"github.com/authsync/authsync/internal/sync/source"
)

// Prefix is the base of all paths.
const Prefix = "/api/capydb/v1"

// Config is what the API needs; all of it but PublicURL, Pruning, Repair and Address must be given.
type Config struct {
	Store      *project.Store
	Events     Events
	Users      Users
	Records    Records
	Grants     Grants
	Backfills  Backfills
	Refresher  Refresher
	Erasures   Erasures
	Accounts   source.Accounts
	Deliveries Deliveries
	Webhooks   Webhooks
	// Pruning gives how the last pruning of a project's mirror went, nil if there was none; nil: nobody knows of any.
	Pruning func(ctx context.Context, projectID uuid.UUID) (*prune.State, error)
	// Repair gives the newest repair of a project's mirror, nil if there was none; nil: nobody knows of any.
	Repair func(ctx context.Context, projectID uuid.UUID) (*repair.Repair, error)
	// Pulls creates and removes what pulling needs in customers' databases; nil: nothing is.
	Pulls Pulls
	// Idempotency keeps answers to calls that may be sent again.
	Idempotency Idempotency
	// Rejections reads the requests that the receiver refused.
	Rejections Rejections
	// Counts reads how many messages arrive.
	Counts Counts
	// Audit records actions, Refusals what is refused at the door; Digester makes the digests of both.
	Audit    Audit
	Refusals Refusals
	Digester audit.Digester
	// Address gives the address that a request came from; nil: nobody knows it.
	Address func(*http.Request) netip.Addr
	// Problems reads the problems that were found.
	Problems Problems
	// PublicURL is the base of the URLs that providers are pointed at, such as
	// https://sync.example.com; empty: the host that the request was sent to.
	PublicURL string
	Log       *slog.Logger
}

// API answers management calls. It is safe for concurrent use.
type API struct {
	config   Config
	handler  http.Handler
	router   *mux.Router
	calls    bulkhead
	previews bulkhead
}

// New makes the API. It answers all paths below Prefix,
// unknown ones included; the receiver's path must be routed elsewhere before.
func New(c Config) (*API, error) {
	if c.Store == nil || c.Events == nil || c.Users == nil || c.Records == nil || c.Grants == nil || c.Backfills == nil ||
		c.Refresher == nil || c.Erasures == nil || c.Accounts == nil || c.Deliveries == nil || c.Idempotency == nil || c.Rejections == nil || c.Counts == nil || c.Log == nil ||
		c.Audit == nil || c.Refusals == nil || c.Digester == nil || c.Problems == nil || c.Webhooks == nil {
		return nil, errors.New("api: store, events, users, records, grants, backfills, refresher, erasures, accounts, deliveries, idempotency, rejections, counts, audit, refusals, digester, problems, webhooks and log must be given")
	}
	a := &API{config: c, calls: bulkhead{most: maxCallsPerProject}, previews: bulkhead{most: maxPreviewsPerProject}}
	// Encoded paths, because ids of users hold "|" and may hold "/"; not
	// cleaned, because mux cleans by a redirect, which turns a PUT into a GET.
	a.router = mux.NewRouter().UseEncodedPath().SkipClean(true)
	for _, route := range a.routes() {
		a.router.Handle(Prefix+route.path, a.call(route)).Methods(route.method)
	}
	a.describeItself()
	a.router.NotFoundHandler = http.HandlerFunc(notFound)
	a.router.MethodNotAllowedHandler = http.HandlerFunc(a.methodNotAllowed)
	a.handler = problem.WithRequestID(a.router)
	return a, nil
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.handler.ServeHTTP(w, r) }

// access is which keys may make a call.
type access int

const (
	// ofProject: any key; one that is limited to a project sees no other.
	ofProject access = iota
	// ofAll: only a key that is not limited to a project.
	ofAll
)

// body is whether a call takes a body.
type body int

const (
	noBody body = iota
	bodyOptional
	bodyRequired
)

type route struct {
	method, path string
	access       access
	role         project.Role // the least one that may make the call
	handle       func(*http.Request) (answer, error)
	takes
}

// takes is what a call may be given: parameters of the query, a body.
type takes struct {
	query []string
	body  body
}
