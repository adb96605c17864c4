package auth0

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// Auth0's Events API (its documentation "Consume Events with the Events API" and the Management API
// definition, 2026-08-20): GET /api/v2/events answers with server-sent events, see follow.go. It has
// the same events as Event Streams, under the same ids.
const (
	readEvents = "read:events"
	// idlePatience is how many of a request's timeouts a connection may be silent. The interval of
	// heartbeats is not documented; a connection that is given up too early costs one request.
	idlePatience = 6
	maxRefusal   = 64 << 10
)

// eventSource pulls a tenant's events.
type eventSource struct {
	*source

	// stream is the client of the events themselves, which waits longer than that of the token.
	stream *userapi.Client
	timing streamTiming
}

// NewEventSource pulls the events of a tenant through its Events API, as the application given by
// domain, client_id and client_secret, which needs the permission read:events.
func (p Provider) NewEventSource(c provider.Credentials, o provider.Options, d userapi.Deps) (userapi.EventSource, error) {
	opened, err := p.NewSource(c, o, d)
	if err != nil {
		return nil, err
	}
	s, is := opened.(*source)
	if !is {
		return nil, errors.New("auth0: the source is of another type")
	}
	patient := d
	patient.Timeout = d.WithDefaults().Timeout * idlePatience
	return &eventSource{
		source: s,
		stream: userapi.NewClient(provider.Title(provider.Auth0), patient, userapi.Rate{}, c.ClientSecret),
		timing: streamTiming{message: patient.Timeout},
	}, nil
}

// Origin is the tenant's address.
func (s *eventSource) Origin() string { return s.base }

// Follow opens a connection and passes on what it brings, until Auth0 recycles it, as it does every
// few minutes.
func (s *eventSource) Follow(ctx context.Context, from userapi.Position, to userapi.EventSink) (pause time.Duration, err error) {
	stream, err := s.connect(ctx, from)
	if err != nil {
		return 0, err
	}
	defer stream.Close()
	defer stream.Bind(ctx)()
	if err := s.checkAnswer(stream, from); err != nil {
		return 0, err
	}
	if err := to.Connected(ctx); err != nil {
		return 0, err
	}
	f := s.newFollower(to)
	err = f.read(ctx, stream)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return f.decoder.Retry(), err
}

// connect sends the request with a token that is accepted.
func (s *eventSource) connect(ctx context.Context, from userapi.Position) (*userapi.Stream, error) {
	for attempt := 1; ; attempt++ {
		token, err := s.token(ctx)
		if err != nil {
			return nil, err
		}
		stream, err := s.stream.Open(ctx, s.request(from, token))
		if err != nil {
			return nil, err
		}
		if stream.Status != http.StatusUnauthorized || attempt == 2 {
			return stream, nil
		}
		stream.Close() //nolint:gosec // it is not of interest
		s.tokens.drop(token)
	}
}

// request asks for what comes after a position. from_timestamp takes whole seconds only and excludes
// nothing of its second, so the time is rounded down.
func (s *eventSource) request(from userapi.Position, token string) userapi.Request {
	r := userapi.Request{
		What: "pull the events", URL: s.base + apiPath + "/events", Bearer: token,
		// Without an encoding, so that nothing small unfolds to something large.
		Header: map[string]string{"Accept": "text/event-stream", "Accept-Encoding": "identity", "Cache-Control": "no-store"},
	}
	if from.Cursor != "" {
		r.Header["Last-Event-ID"] = from.Cursor
		return r
	}
	since := url.Values{"from_timestamp": {from.Since.UTC().Format("2006-01-02T15:04:05Z")}}
	r.URL += "?" + since.Encode()
	return r
}

// checkAnswer explains an answer that is no stream of events.
func (s *eventSource) checkAnswer(stream *userapi.Stream, from userapi.Position) error {
	if stream.Status == http.StatusOK {
		return checkStream(stream.Header)
	}
	body, err := io.ReadAll(io.LimitReader(stream, maxRefusal))
	if err != nil {
		body = nil // the status says enough
	}
	refusal := readProblem(body)
	words := s.say(refusal.Message)
	said := ""
	if words != "" {
		said = ". Auth0 says: " + words
	}
	switch {
	case stream.Status == http.StatusGone && from.Cursor != "":
		return &userapi.LostError{Reason: "Auth0 no longer has the events from where reading stopped (410): the connection was off for too long" + said}
	case stream.Status == http.StatusGone:
		return &userapi.LostError{Reason: "Auth0 no longer has the events from when pulling was turned on (410)" + said}
	case stream.Status == http.StatusBadRequest && from.Cursor != "":
		return &userapi.LostError{Reason: "Auth0 does not know the place where reading stopped (400)" + said}
	case stream.Status == http.StatusUnauthorized:
		return fault.Newf(fault.CredentialsRefused, "Auth0 does not accept its own token for credentials.client_id (401, pull the events): "+
			"is credentials.domain the tenant's own domain, such as shop.eu.auth0.com?%s", said)
	case stream.Status == http.StatusForbidden && s.lacks(readEvents, refusal):
		return &permissionError{permission: readEvents, what: "pull the events", words: said}
	case stream.Status == http.StatusForbidden:
		return fault.Newf(fault.ProviderUnavailable, "Auth0 refuses another connection to its Events API (403): "+
			"all connections of the tenant's plan are in use (1, 4 or 8, shared with other readers of its events)%s", said)
	case stream.Status == http.StatusNotFound:
		return fault.Newf(fault.ProviderError, "the tenant has no Events API (404): its plan may lack it, or credentials.domain is another server%s", said)
	default:
		return fault.Newf(fault.ProviderError, "pull the events of Auth0: the server answered %d%s", stream.Status, said)
	}
}

// say prepares Auth0's own words for an error.
func (s *eventSource) say(text string) string { return s.client.Say(text, s.tokens.current()) }

// lacks reports whether a refusal is about a permission: Auth0 answers 403 for too many connections,
// too. The token's own scope decides if the answer does not say.
func (s *eventSource) lacks(permission string, refusal problem) bool {
	if refusal.ErrorCode == "insufficient_scope" {
		return true
	}
	granted := s.tokens.granted()
	return len(granted) > 0 && !slices.Contains(granted, permission)
}

func checkStream(h http.Header) error {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil || kind != "text/event-stream" {
		return fault.New(fault.ProviderError, "pull the events of Auth0: the answer is no stream of events: is credentials.domain, or options.base_url, the tenant's?")
	}
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return fault.New(fault.ProviderError, "pull the events of Auth0: the answer is compressed, which was not asked for: is there a proxy on the way?")
	}
	return nil
}

// message is the data of a message of the stream.
type message struct {
	Offset string          `json:"offset"`
	Event  json.RawMessage `json:"event"`
	Error  *streamError    `json:"error"`
}

// streamError is why Auth0 ends a connection.
type streamError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Offset  string `json:"offset"`
}

// fault translates an error that came in the stream.
func (s *eventSource) fault(e *streamError) error {
	words := s.say(strings.TrimSpace(e.Code + " " + e.Message))
	switch e.Code {
	case "invalid_cursor", "cursor_expired":
		return &userapi.LostError{Reason: "Auth0 no longer has the events from where reading stopped: " + words}
	case "payload_too_large":
		return &userapi.LostError{Reason: "Auth0 leaves out an event that is too large for its Events API: " + words, Cursor: e.Offset}
	case "timeout", "connection_timeout":
		return nil // it recycles the connection
	default:
		return fault.New(fault.ProviderUnavailable, "Auth0 ends the connection to its Events API: "+words)
	}
}
