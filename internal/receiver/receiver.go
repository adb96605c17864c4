// Package receiver takes the webhooks of identity providers. It is the first
// station of a webhook's road: it checks that a request is genuine, hands it to
// the inbox, and answers once it is durable. It understands no payload.
//
//	route ─▶ directory ─▶ read ─▶ verify ─▶ JSON? ─▶ append ─▶ 204
//	 405       404         413      401       400       503
//	           503         415                (stored all the same)
//	                       503
//
// A sender gives up for good on a 4xx (Auth0 on every one of them, 429
// included), so only what would be refused again tomorrow gets one. Whatever may
// pass, a slow connection included, is 503 with Retry-After.
//
// # What bounds a request
//
// The server around the handler bounds the time to send the headers. From then on:
// MaxBody the size, ReadTimeout the time in which the body must be there (so a
// megabyte needs at least 100 kB/s), MaxBuffered the memory of all bodies at
// once, AppendTimeout the wait for the commit. An answer takes some 20 seconds at
// the very worst.
package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/inbox"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// Path is where the handler belongs, as a path of gorilla/mux; it reads both variables.
const Path = "/api/capydb/v1/integrations/{provider}/webhook/{projectID}"

// Directory knows the integrations; see project.Directory.
type Directory interface {
	Lookup(ctx context.Context, projectID uuid.UUID, providerName string) (project.Endpoint, error)
	LookupFresh(ctx context.Context, projectID uuid.UUID, providerName string) (project.Endpoint, error)
}

// Inbox makes deliveries durable; see inbox.Inbox.
type Inbox interface {
	Append(ctx context.Context, d inbox.Delivery) (int64, error)
}

// Config is what the receiver needs. Directory, Inbox and Log are required;
// what is zero gets the value that its comment names.
type Config struct {
	Directory Directory
	Inbox     Inbox
	Log       *slog.Logger
	// MaxBody is the largest body taken, in bytes: 1 MiB. An Auth0 profile is some
	// 2 kB, Clerk allows metadata of some 8 kB.
	MaxBody int64
	// MaxBuffered bounds the bodies of all requests together, in bytes: 128 MiB.
	MaxBuffered int64
	// ReadTimeout is how long a sender may take over the body: 10 s.
	ReadTimeout time.Duration
	// AppendTimeout is how long a delivery may wait to be durable: 8 s.
	AppendTimeout time.Duration
	// Now is the clock: time.Now.
	Now func() time.Time
	// Registry takes the metrics; nil: there are none.
	Registry prometheus.Registerer
}

type handler struct {
	config   Config
	metrics  metrics
	buffered atomic.Int64 // bytes of bodies in memory
}

// New makes the handler for Path.
func New(config Config) http.Handler {
	config.MaxBody = cmp.Or(config.MaxBody, 1<<20)
	config.MaxBuffered = cmp.Or(config.MaxBuffered, 128<<20)
	config.ReadTimeout = cmp.Or(config.ReadTimeout, 10*time.Second)
	config.AppendTimeout = cmp.Or(config.AppendTimeout, 8*time.Second)
	if config.Now == nil {
		config.Now = time.Now
	}
	return &handler{config: config, metrics: newMetrics(config.Registry)}
}

// ServeHTTP receives one delivery.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := request{handler: h, w: w, r: r, provider: "unknown", received: h.config.Now()}
	defer func() { h.buffered.Add(-d.reserved) }()
	ctx := r.Context()
	answer := d.receive(ctx)
	h.metrics.deliveries.WithLabelValues(d.provider, answer.result).Inc()
	if answer.status == http.StatusNoContent {
		if h.config.Log.Enabled(ctx, slog.LevelDebug) {
			h.config.Log.LogAttrs(ctx, slog.LevelDebug, "delivery_accepted", append(d.attrs(ctx), slog.Int64("inbox_id", d.inboxID),
				slog.String("method", d.proof.Method), slog.String("secret", d.proof.Secret))...)
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	attrs := append(d.attrs(ctx), slog.Int("status", answer.status), slog.String("reason", answer.result))
	if answer.cause != nil {
		attrs = append(attrs, slog.Any("error", answer.cause))
	}
	h.config.Log.LogAttrs(ctx, slog.LevelInfo, "delivery_rejected", attrs...)
	d.write(answer)
}

// request is a delivery on its way through the handler.
type request struct {
	*handler

	w        http.ResponseWriter
	r        *http.Request
	received time.Time

	projectID uuid.UUID
	provider  string
	reserved  int64 // of handler.buffered
	body      []byte
	proof     provider.Proof
	inboxID   int64
}

// answer is what a sender is told. result is the word for log and metrics.
type answer struct {
	status int
	result string
	detail string
	cause  error // for the log
	closes bool  // the connection can't be used further
}

// receive runs the stations of the package comment; each ends the road by a status.
func (d *request) receive(ctx context.Context) answer {
	if d.r.Method != http.MethodPost {
		return answer{status: http.StatusMethodNotAllowed, result: "not_post", detail: "Webhooks are sent by POST."}
	}
	endpoint, a := d.lookup(ctx)
	if a.status != 0 {
		return a
	}
	if a := d.read(); a.status != 0 {
		return a
	}
	verifier, a := d.verify(ctx, endpoint.Verifier)
	if a.status != 0 {
		return a
	}
	// Before the question whether it is JSON: what is genuine is kept whatever it holds.
	if a := d.store(ctx); a.status != 0 {
		return a
	}
	if err := verifier.ValidBody(d.body); err != nil {
		return answer{
			status: http.StatusBadRequest, result: "not_json", cause: err,
			detail: fmt.Sprintf("The request is genuine and was stored as delivery %d, but its body can't be understood: %s. "+
				"Sending it again changes nothing.", d.inboxID, err),
		}
	}
	return answer{status: http.StatusNoContent, result: "accepted"}
}

func (d *request) lookup(ctx context.Context) (project.Endpoint, answer) {
	vars := mux.Vars(d.r)
	name, err := provider.ParseName(vars["provider"])
	if err != nil {
		return project.Endpoint{}, answer{status: http.StatusNotFound, result: "no_provider", cause: err, detail: "In the URL: " + err.Error() + "."}
	}
	d.provider = name
	if d.projectID, err = uuid.Parse(vars["projectID"]); err != nil || len(vars["projectID"]) != 36 {
		return project.Endpoint{}, answer{
			status: http.StatusNotFound, result: "no_project",
			detail: "The URL does not end in a project's id. Copy the URL that authsync gave for the integration (config.webhook_receiver).",
		}
	}
	endpoint, err := d.config.Directory.Lookup(ctx, d.projectID, name)
	return endpoint, d.lookupAnswer(err)
}

func (d *request) lookupAnswer(err error) answer {
	switch {
	case err == nil:
		return answer{}
	case errors.Is(err, project.ErrNoProject):
		return answer{
			status: http.StatusNotFound, result: "no_project", cause: err,
			detail: fmt.Sprintf("There is no project %s. Compare the URL with the one that authsync gave for the integration.", d.projectID),
		}
	case errors.Is(err, project.ErrNoIntegration):
		return answer{
			status: http.StatusNotFound, result: "no_integration", cause: err,
			detail: fmt.Sprintf("Project %s has no integration with %s. Make one (PUT /api/capydb/v1/projects/%s/integrations/%s), "+
				"or stop the provider from sending here.", d.projectID, d.provider, d.projectID, d.provider),
		}
	default:
		return unavailable("directory", err)
	}
}

// unavailable is the answer to every trouble that passes.
func unavailable(result string, err error) answer {
	return answer{
		status: http.StatusServiceUnavailable, result: result, cause: err,
		detail: "The delivery could not be stored just now. Nothing is wrong with it: send it again.",
	}
}

// verify checks the request, and before it refuses one for good makes sure that
// the secrets are not those of a moment ago. The verifier returned is the one
// that was satisfied.
func (d *request) verify(ctx context.Context, verifier provider.Verifier) (provider.Verifier, answer) {
	var err error
	if d.proof, err = verifier.Verify(d.r.Header, d.body, d.received); err == nil {
		return verifier, answer{}
	}
	if !errors.Is(err, provider.ErrTooOld) && !errors.Is(err, provider.ErrTooNew) {
		fresh, lookupErr := d.config.Directory.LookupFresh(ctx, d.projectID, d.provider)
		if a := d.lookupAnswer(lookupErr); a.status != 0 {
			return nil, a
		}
		if d.proof, err = fresh.Verifier.Verify(d.r.Header, d.body, d.received); err == nil {
			return fresh.Verifier, answer{}
		}
	}
	result, advice := explain(err)
	return nil, answer{
		status: http.StatusUnauthorized, result: result, cause: err,
		detail: fmt.Sprintf("The request could not be verified: %s. %s", err, advice),
	}
}

// explain gives the word for an error of Verify, and what the sender's operator should look at.
func explain(err error) (result, advice string) {
	switch {
	case errors.Is(err, provider.ErrNoSecret):
		return "no_secret", "Set credentials.webhook_signing_secret of the integration to the secret that the provider signs with."
	case errors.Is(err, provider.ErrMissingSignature):
		return "no_signature", "Check that the provider is set up to authenticate, and that no proxy removes the header."
	case errors.Is(err, provider.ErrTooOld), errors.Is(err, provider.ErrTooNew):
		return "wrong_time", "Compare the clocks of this server and of the sender; a captured request can't be sent again."
	case errors.Is(err, provider.ErrMalformed):
		return "bad_signature", "Check that the URL is set up for the right provider."
	default:
		return "no_match", "Compare the provider's secret with the integration's webhook_signing_secret, " +
			"and check that no proxy changes the body."
	}
}

func (d *request) store(ctx context.Context) answer {
	limited, cancel := context.WithTimeout(ctx, d.config.AppendTimeout)
	defer cancel()
	begun := time.Now()
	var err error
	d.inboxID, err = d.config.Inbox.Append(limited, inbox.Delivery{
		ProjectID: d.projectID, Provider: d.provider, DeliveryID: d.proof.DeliveryID,
		ReceivedAt: d.received, Headers: keep(d.r.Header, d.proof), Body: d.body,
	})
	switch {
	case err == nil:
		d.metrics.appended.Observe(time.Since(begun).Seconds())
		return answer{}
	case errors.Is(err, inbox.ErrFull):
		return unavailable("full", err)
	case ctx.Err() != nil:
		return unavailable("sender_left", err)
	default:
		return unavailable("not_stored", err)
	}
}

func (d *request) attrs(ctx context.Context) []slog.Attr {
	return []slog.Attr{
		slog.String("provider", d.provider), slog.String("project_id", d.projectID.String()),
		slog.String("delivery_id", d.proof.DeliveryID), slog.Int("bytes", len(d.body)),
		slog.Duration("took", d.config.Now().Sub(d.received)), slog.String("request_id", problem.RequestID(ctx)),
	}
}

func (d *request) write(a answer) {
	var options []problem.Option
	switch a.status {
	case http.StatusServiceUnavailable:
		// Spread out, so that those refused together do not come back together.
		options = append(options, problem.RetryAfter(2*time.Second+rand.N(5*time.Second)))
	case http.StatusUnauthorized:
		d.w.Header().Set("WWW-Authenticate", "Webhook")
	case http.StatusMethodNotAllowed:
		d.w.Header().Set("Allow", http.MethodPost)
	}
	if a.closes {
		d.w.Header().Set("Connection", "close")
	}
	problem.Write(d.w, d.r, a.status, "", a.detail, options...)
}
