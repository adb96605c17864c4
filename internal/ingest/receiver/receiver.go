// Package receiver accepts the webhooks of identity providers. It verifies that a request is
// genuine, appends it to the inbox, and answers once it is durable. It does not interpret payloads,
// except to remove the live tokens and secrets that a provider is known to send, and the fields of option exclude.
//
//	route ─▶ directory ─▶ read ─▶ verify ─▶ redact ─▶ append ─▶ JSON? ─▶ 204
//	 405       404         413      401                503        400
//	           503         415                413                 (stored all the same)
//	                       503
//
// Senders never retry a 4xx (Auth0 none of them, 429 included), so only requests that would always
// be rejected get one. Anything that may pass, including a slow connection, is 503 with
// Retry-After.
//
// # Limits of a request
//
// The surrounding server limits the time to send the headers. From then on, MaxBody limits the
// size, ReadTimeout the time to send the body (so a megabyte needs at least 100 kB/s), MaxBuffered
// the memory of all bodies together and each project's and address's share of it, and AppendTimeout
// the wait for the commit. An answer takes about 20 seconds at worst.
package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/mux"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/ingest/rejections"
	"github.com/authsync/authsync/internal/problem"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/tracing"
)

// Directory looks up integrations; see project.Directory.
type Directory interface {
	Lookup(ctx context.Context, projectID uuid.UUID, providerName string) (project.Endpoint, error)
	LookupFresh(ctx context.Context, projectID uuid.UUID, providerName string) (project.Endpoint, error)
	// Others returns the project's integrations with other providers.
	Others(projectID uuid.UUID, providerName string) []project.Endpoint
}

// Rejections records rejected requests for people; see rejections.Recorder.
type Rejections interface {
	Wants(projectID uuid.UUID, providerName string) bool
	Add(r rejections.Request)
}

// Usage counts what projects store; see usage.Counter.
type Usage interface {
	Exceeded(projectID uuid.UUID) (stored, quota int64, exceeded bool)
	Add(projectID uuid.UUID, receivedAt time.Time, bytes int)
}

// Message is a request to a webhook URL, as an observer sees it.
type Message struct {
	ReceivedAt time.Time
	ProjectID  uuid.UUID // zero if the project is unknown
	Provider   string
	// Path is the URL's path, percent-encoded and truncated; set only if the project is unknown.
	Path string
	// InboxID is 0 if it was not stored.
	InboxID   int64
	MessageID string // the sender's id
	Status    int
	Reason    string // accepted, or the reason for the rejection
	Detail    string // the reason in a sentence; empty if accepted
	Bytes     int
}

// Inbox stores messages durably; see inbox.Inbox.
type Inbox interface {
	Append(ctx context.Context, d inbox.Message) (int64, error)
}

// Config configures the receiver. Directory, Inbox and Log are required; other zero fields get the
// default in their comment.
type Config struct {
	Directory Directory
	Inbox     Inbox
	Log       *slog.Logger
	// Rejections, Usage and Observe may be nil. Observe is called for every request and must not
	// block.
	Rejections Rejections
	Usage      Usage
	Observe    func(Message)
	// Address returns where a request came from; nil means the connection's remote address.
	Address func(*http.Request) netip.Addr
	// MaxBody is the maximum size of a body, in bytes: 1 MiB. An Auth0 profile is about 2 kB; Clerk
	// allows metadata of about 8 kB.
	MaxBody int64
	// MaxBuffered limits the bodies of all requests together, in bytes: 64 MiB. See budget.
	MaxBuffered int64
	// ReadTimeout is how long a sender may take to send the body: 10 s.
	ReadTimeout time.Duration
	// WaitTimeout is how long a request may wait for memory: half of ReadTimeout.
	WaitTimeout time.Duration
	// AppendTimeout is how long storing a message may take: 8 s.
	AppendTimeout time.Duration
	// Now is the clock: time.Now.
	Now func() time.Time
	// Registry registers the metrics; nil means no metrics.
	Registry prometheus.Registerer
	// Tracer traces requests; nil means no traces.
	Tracer *tracing.Tracer
}

type handler struct {
	config  Config
	metrics metrics
	budget  *budget
}

// New returns the handler for Path.
func New(config Config) http.Handler {
	config.MaxBody = cmp.Or(config.MaxBody, 1<<20)
	config.MaxBuffered = cmp.Or(config.MaxBuffered, 64<<20)
	config.ReadTimeout = cmp.Or(config.ReadTimeout, 10*time.Second)
	config.WaitTimeout = cmp.Or(config.WaitTimeout, config.ReadTimeout/2)
	config.AppendTimeout = cmp.Or(config.AppendTimeout, 8*time.Second)
	if config.Now == nil {
		config.Now = time.Now
	}
	if config.Address == nil {
		config.Address = peer
	}
	return &handler{config: config, metrics: newMetrics(config.Registry), budget: newBudget(config.MaxBuffered, config.MaxBody)}
}

// peer returns the connection's remote address.
func peer(r *http.Request) netip.Addr {
	address, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return address.Addr().Unmap()
}

// ServeHTTP receives one message.
//
// A request that was read completely is verified and stored whether or not the sender is still
// connected: many give up after a second or two and never retry, and a half-closed connection looks
// to net/http like a closed one. Therefore nothing here depends on the request's context; each step
// has its own time limit.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := request{handler: h, w: w, r: r, provider: "unknown", received: h.config.Now(), address: h.config.Address(r)}
	defer func() { h.budget.release(&d.claim) }()
	ctx, span := h.config.Tracer.Receive(context.WithoutCancel(r.Context()), r.Header, "receive webhook")
	answer := d.receive(ctx)
	d.trace(span, answer)
	h.metrics.messages.WithLabelValues(provider.Kind(d.provider), answer.reason).Inc()
	d.report(answer)
	if answer.status == http.StatusNoContent {
		if h.config.Log.Enabled(ctx, slog.LevelDebug) {
			h.config.Log.LogAttrs(ctx, slog.LevelDebug, "message_accepted", append(d.attrs(ctx), slog.Int64("inbox_id", d.inboxID),
				slog.String("method", d.proof.Method), slog.String("secret", d.proof.Secret))...)
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	attrs := append(d.attrs(ctx), slog.Int("status", answer.status), slog.String("reason", answer.reason))
	if answer.cause != nil {
		attrs = append(attrs, slog.Any("error", answer.cause))
	}
	h.config.Log.LogAttrs(ctx, slog.LevelInfo, "message_rejected", attrs...)
	d.write(answer)
}

// request is a message on its way through the handler.
type request struct {
	*handler

	w        http.ResponseWriter
	r        *http.Request
	received time.Time

	projectID uuid.UUID
	known     bool // the project exists
	provider  string
	address   netip.Addr
	claim     claim // of handler.budget
	body      []byte
	proof     provider.Proof
	inboxID   int64
}

// answer is the response to a sender. reason is the value for the log and metrics.
type answer struct {
	status int
	reason string
	detail string
	cause  error // for the log
	closes bool  // the connection cannot be reused
}

// receive runs the steps in the package comment; each may end with a status.
func (d *request) receive(ctx context.Context) answer {
	if d.r.Method != http.MethodPost {
		return answer{status: http.StatusMethodNotAllowed, reason: reasonMethod, detail: "Webhooks are sent by POST."}
	}
	endpoint, a := d.lookup(ctx)
	if a.status != 0 {
		return a
	}
	if a := d.checkQuota(); a.status != 0 {
		return a
	}
	if a := d.read(); a.status != 0 { //nolint:contextcheck // who has not sent all of it may give up
		return a
	}
	verifying, span := d.config.Tracer.Start(ctx, "verify")
	verifier, a := d.verify(verifying, endpoint.Verifier)
	span.End(a.status != 0)
	if a.status != 0 {
		return a
	}
	invalid := verifier.ValidBody(d.body)
	if errors.Is(invalid, provider.ErrTooManyEvents) {
		return answer{
			status: http.StatusRequestEntityTooLarge, reason: reasonTooMany, cause: invalid,
			detail: capital(invalid.Error()) + ". None was taken: send fewer in a request.",
		}
	}
	// JSON or not: genuine messages are stored whatever they contain, except end users' secrets and excluded fields.
	stored, excluded := verifier.Redact(d.body)
	if a := d.store(ctx, stored, excluded); a.status != 0 {
		return a
	}
	if err := invalid; err != nil {
		return answer{
			status: http.StatusBadRequest, reason: reasonNotJSON, cause: err,
			detail: fmt.Sprintf("The request is genuine and was stored as message %d, but its body can't be understood: %s. "+
				"Sending it again changes nothing.", d.inboxID, err),
		}
	}
	return answer{status: http.StatusNoContent, reason: accepted}
}

func (d *request) lookup(ctx context.Context) (project.Endpoint, answer) {
	vars := mux.Vars(d.r)
	name, err := provider.ParseName(vars["provider"])
	if err != nil {
		return project.Endpoint{}, answer{status: http.StatusNotFound, reason: reasonNoProvider, cause: err, detail: "In the URL: " + err.Error() + "."}
	}
	d.provider = name
	if d.projectID, err = uuid.Parse(vars["projectID"]); err != nil || len(vars["projectID"]) != 36 {
		return project.Endpoint{}, answer{
			status: http.StatusNotFound, reason: reasonNoProject,
			detail: "The URL does not end in a project's id. Copy the URL that authsync gave for the integration (config.webhook_receiver).",
		}
	}
	endpoint, err := d.config.Directory.Lookup(ctx, d.projectID, name)
	d.known = err == nil || errors.Is(err, project.ErrNoIntegration)
	return endpoint, d.lookupAnswer(err)
}

func (d *request) lookupAnswer(err error) answer {
	switch {
	case err == nil:
		return answer{}
	case errors.Is(err, project.ErrNoProject):
		return answer{
			status: http.StatusNotFound, reason: reasonNoProject, cause: err,
			detail: fmt.Sprintf("There is no project %s. Compare the URL with the one that authsync gave for the integration.", d.projectID),
		}
	case errors.Is(err, project.ErrNoIntegration):
		return answer{
			status: http.StatusNotFound, reason: reasonNoIntegration, cause: err,
			detail: fmt.Sprintf("Project %s has no integration with %s. Make one (PUT /api/capydb/v1/projects/%s/integrations/%s), "+
				"or stop the provider from sending here.", d.projectID, d.provider, d.projectID, d.provider),
		}
	default:
		return unavailable(reasonDirectory, err)
	}
}

// verify verifies the request. Before it rejects one permanently it makes sure that the secrets are
// current. It returns the verifier that accepted the request.
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
	if errors.Is(err, provider.ErrKeysUnavailable) {
		return nil, unavailable(reasonKeys, err)
	}
	reason, advice := explain(err)
	return nil, answer{
		status: http.StatusUnauthorized, reason: reason, cause: err,
		detail: fmt.Sprintf("The request could not be verified: %s. %s", err, advice),
	}
}

func (d *request) store(ctx context.Context, body []byte, excluded []string) answer {
	ctx, span := d.config.Tracer.Start(ctx, "append to inbox")
	limited, cancel := context.WithTimeout(ctx, d.config.AppendTimeout)
	defer cancel()
	begun := time.Now()
	headers := keep(d.r.Header, d.proof)
	if parent := tracing.Parent(ctx); parent != "" {
		headers[tracing.Header] = parent // the job that applies the message continues the trace
	}
	var err error
	d.inboxID, err = d.config.Inbox.Append(limited, inbox.Message{
		ProjectID: d.projectID, Provider: d.provider, MessageID: d.proof.MessageID, VerifiedBy: d.proof.String(),
		ReceivedAt: d.received, Headers: headers, Body: body, Excluded: excluded,
	})
	span.End(err != nil, tracing.Int("authsync.inbox_id", d.inboxID))
	switch {
	case err == nil:
		d.metrics.appended.Observe(time.Since(begun).Seconds())
		if d.config.Usage != nil {
			d.config.Usage.Add(d.projectID, d.received, len(body))
		}
		return answer{}
	case errors.Is(err, inbox.ErrFull):
		return unavailable(reasonInboxFull, err)
	default:
		return unavailable(reasonNotStored, err)
	}
}

// trace ends the request's span. Names come from the directory, never from the sender.
func (d *request) trace(span tracing.Span, a answer) {
	attributes := []tracing.Attribute{
		tracing.Int("http.response.status_code", a.status), tracing.String("authsync.reason", a.reason),
		tracing.String("authsync.provider", provider.Kind(d.provider)),
	}
	if d.known {
		attributes = append(attributes, tracing.String("authsync.project_id", d.projectID.String()))
	}
	span.End(a.status >= http.StatusInternalServerError, attributes...)
}

func (d *request) attrs(ctx context.Context) []slog.Attr {
	return []slog.Attr{
		slog.String("provider", d.provider), slog.String("project_id", d.projectID.String()),
		slog.String("message_id", d.proof.MessageID), slog.Int("bytes", len(d.body)),
		slog.Duration("took", d.config.Now().Sub(d.received)), slog.String("request_id", problem.RequestID(ctx)),
	}
}

func (d *request) write(a answer) {
	var options []problem.Option
	switch a.status {
	case http.StatusServiceUnavailable:
		// Jitter, so that requests rejected together do not return together.
		after := 2 * time.Second
		if a.reason == reasonQuota {
			after = time.Minute // an earlier retry would be in vain
		}
		options = append(options, problem.RetryAfter(after+rand.N(5*time.Second)))
	case http.StatusUnauthorized:
		d.w.Header().Set("WWW-Authenticate", "Webhook")
	case http.StatusMethodNotAllowed:
		d.w.Header().Set("Allow", http.MethodPost)
	}
	if a.closes {
		d.w.Header().Set("Connection", "close")
	}
	problem.Write(d.w, d.r, a.status, a.detail, options...)
}

// capital capitalizes the first letter of an error's text.
func capital(text string) string { return strings.ToUpper(text[:1]) + text[1:] }
