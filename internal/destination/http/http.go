// Package http calls any JSON API over HTTP: each event type has a configured method, URL, headers and
// body.
//
// URL and headers are templates with jq expressions in {{ }}, the body is a jq expression. The scheme, host and
// port of a URL are fixed, so that user data cannot choose who gets the credentials.
package http

import (
	"cmp"
	"context"
	"encoding/json"
	nethttp "net/http"
	"regexp"
	"slices"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
)

const (
	// minSecret is the minimum length of a secret that can be masked in responses.
	minSecret   = 8
	parallel    = 16
	idempotency = "Idempotency-Key"
	secretsName = "$secrets"
	fallback    = "default"
)

// Type builds HTTP destinations.
type Type struct {
	// AttemptTime limits an attempt; 0 means 15 s.
	AttemptTime time.Duration
}

// Options are the options of an HTTP destination.
type Options struct {
	// Requests are the requests by event type, by forms such as organization.*, and "default" for the other types.
	// An event type without any of these makes no request. The erasure of a user has user.erased, otherwise user.deleted.
	Requests map[string]RequestOptions `json:"requests"`
	// Headers apply to all requests; a request's own headers override them.
	Headers map[string]string `json:"headers,omitempty"`
	// IdempotencyHeader is the header with the message's id; nil means Idempotency-Key, empty means none.
	IdempotencyHeader *string `json:"idempotency_header,omitempty"`
	// Success, Retry and GiveUp classify statuses: numbers, or classes such as "5xx".
	Success []Status `json:"success,omitempty"`
	Retry   []Status `json:"retry,omitempty"`
	GiveUp  []Status `json:"give_up,omitempty"`
	// Latest sends the record's newest state: pending changes of a record are coalesced.
	Latest bool `json:"latest,omitempty"`
	// KeepEmpty keeps null and empty strings in the body, which are dropped otherwise.
	KeepEmpty bool                     `json:"keep_empty,omitempty"`
	Limit     *destination.LimitOption `json:"limit,omitempty"`
}

// RequestOptions configure one request.
type RequestOptions struct {
	Method  string            `json:"method,omitempty"` // empty: POST
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"` // empty: no body
}

// Name implements destination.Type.
func (Type) Name() string { return "http" }

// SecretNames is nil: the expressions name the secrets.
func (Type) SecretNames() []string { return nil }

// SendsSecretsTo returns the origins of all requests: any of them may use any secret.
func (Type) SendsSecretsTo(raw json.RawMessage) []string {
	var o struct {
		Requests map[string]struct {
			URL string `json:"url"`
		} `json:"requests"`
	}
	if json.Unmarshal(raw, &o) != nil {
		return nil
	}
	var origins []string
	for _, request := range o.Requests {
		scheme, host := splitURL(request.URL)
		origins = append(origins, egress.Origin(scheme+"://"+host))
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

// NewSecret generates none.
func (Type) NewSecret() (name, value string, ok bool) { return "", "", false }

// New validates a configuration and builds the destination.
func (k Type) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	var o Options
	if err := destination.DecodeOptions(c.Options, &o); err != nil {
		return nil, err
	}
	h := &api{options: o, now: d.Now, capabilities: destination.Capabilities{States: o.Latest, Batch: 1, Parallel: parallel}}
	if h.now == nil {
		h.now = time.Now
	}
	if err := cmp.Or(h.setSecrets(c.Secrets), h.setRequests(d), h.setStatuses(), o.Limit.Apply(&h.capabilities, c, httpsend.Class)); err != nil {
		return nil, err
	}
	h.sender = httpsend.NewSender(d, h.capabilities.Account != "", k.AttemptTime)
	return h, nil
}

// api is a configured destination.
type api struct {
	options      Options
	capabilities destination.Capabilities
	requests     map[string]*request
	outcomes     outcomes
	// secrets are the values; masked has the same names, for previews.
	secrets, masked map[string]any
	hidden          []string
	sender          *httpsend.Sender
	now             func() time.Time
}

func (h *api) setSecrets(s destination.Secrets) error {
	h.secrets, h.masked = map[string]any{}, map[string]any{}
	wellNamed := regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)
	for name, value := range s.Values {
		if !wellNamed.MatchString(name) {
			return fault.Newf(fault.Invalid,
				"secrets.%.70s cannot be referred to: a name has lower-case letters, digits and underscores, such as token, which is $secrets.token", name)
		}
		if len(value) < minSecret {
			return fault.Newf(fault.Invalid,
				"secrets.%s is too short: it has %d bytes, and one of less than %d could not be told from other text in an answer, to hide it", name, len(value), minSecret)
		}
		if err := httpsend.CheckHeaderValue("secrets", name, value); err != nil {
			return err
		}
		h.secrets[name], h.masked[name] = value, destination.Masked
		h.hidden = append(h.hidden, value)
	}
	for _, old := range s.Old {
		h.hidden = append(h.hidden, old.Value)
	}
	return nil
}

// Capabilities implements destination.Destination.
func (h *api) Capabilities() destination.Capabilities { return h.capabilities }

// Send sends messages, one request each.
func (h *api) Send(ctx context.Context, messages []destination.Message) []destination.Result {
	results := make([]destination.Result, len(messages))
	for i, m := range messages {
		results[i] = h.send(ctx, m)
	}
	return results
}

func (h *api) send(ctx context.Context, m destination.Message) destination.Result {
	ready, skip, err := h.prepare(ctx, m, h.secrets)
	switch {
	case err != nil && ctx.Err() != nil:
		return destination.Result{Outcome: destination.Retry, Reason: "sending was stopped before the request was sent"}
	case err != nil:
		return destination.Unmade(err, destination.NewMask(h.hidden...).Hide(err.Error()))
	case skip != "":
		return destination.Result{Outcome: destination.Delivered, Reason: skip}
	}
	result := h.exchange(ctx, ready, &m)
	ready.conceal(result.Exchanges)
	return result
}

// exchange sends a request and judges the response.
func (h *api) exchange(ctx context.Context, ready *ready, m *destination.Message) destination.Result {
	answer, result, done := h.sender.Do(ctx, ready.mask, ready.build)
	if done {
		return result
	}
	switch outcome := h.outcomes.of(answer.Status); outcome {
	case destination.Delivered:
		return answer.Result(outcome, "")
	case destination.Pause:
		return answer.Result(outcome, answer.Unwanted()+": it refuses the credentials; give valid ones as secrets of the destination, and it goes on")
	case destination.Retry:
		if later, is := h.sender.Later(ctx, m, answer, h.now()); is {
			return later
		}
		return answer.Result(outcome, answer.Unwanted())
	default:
		return answer.Result(outcome, answer.Unwanted())
	}
}

// Preview returns the request for a message.
func (h *api) Preview(ctx context.Context, m destination.Message) ([]destination.Request, error) {
	ready, skip, err := h.prepare(ctx, m, h.masked)
	if err != nil || skip != "" {
		return nil, err
	}
	return []destination.Request{ready.shown()}, nil
}

// methods returns the allowed methods.
func methods() []string {
	return []string{nethttp.MethodPost, nethttp.MethodPut, nethttp.MethodPatch, nethttp.MethodDelete, nethttp.MethodGet}
}
