// Package webhook sends each change as a signed request, as specified by Standard Webhooks
// (https://www.standardwebhooks.com), so that receivers can verify it with a Standard Webhooks or Svix
// library.
package webhook

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/httpsend"
	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// SigningSecret is the name of the signing secret.
const SigningSecret = "signing_secret"

const (
	// minKey and maxKey are the key sizes in bytes that the specification allows.
	minKey, maxKey = 24, 64
	newKey         = 32
	parallel       = 16
)

// Type builds webhook destinations.
type Type struct {
	// AttemptTime limits an attempt; 0 means 15 s, as the specification advises.
	AttemptTime time.Duration
}

// Options are the options of a webhook.
type Options struct {
	URL string `json:"url"`
	// Headers are additional headers; they are not secret.
	Headers map[string]string `json:"headers,omitempty"`
	// Payload is a jq expression for the body; empty: the event as described in docs/events.
	Payload string                   `json:"payload,omitempty"`
	Limit   *destination.LimitOption `json:"limit,omitempty"`
	// SvixHeaders also sends id, timestamp and signature as svix-*, for verifiers that accept only these
	// names, such as Clerk's.
	SvixHeaders bool `json:"svix_headers,omitempty"`
}

// Name implements destination.Type.
func (Type) Name() string { return "webhook" }

// SecretNames returns the only secret.
func (Type) SecretNames() []string { return []string{SigningSecret} }

// SendsSecretsTo is nil: the secret signs and is never sent.
func (Type) SendsSecretsTo(json.RawMessage) []string { return nil }

// NewSecret generates a signing secret.
func (Type) NewSecret() (name, value string, ok bool) {
	key := make([]byte, newKey)
	_, _ = rand.Read(key) // never fails
	return SigningSecret, "whsec_" + base64.StdEncoding.EncodeToString(key), true
}

// New validates a configuration and builds the destination.
func (k Type) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	var o Options
	if err := destination.DecodeOptions(c.Options, &o); err != nil {
		return nil, err
	}
	w := &webhook{options: o, now: d.Now, capabilities: destination.Capabilities{Batch: 1, Parallel: parallel}}
	if w.now == nil {
		w.now = time.Now
	}
	if err := cmp.Or(w.setTarget(d), w.setKeys(c.Secrets), o.Limit.Apply(&w.capabilities, c, httpsend.Class)); err != nil {
		return nil, err
	}
	if o.Payload != "" {
		payload, err := jq.Compile("options.payload", o.Payload)
		if err != nil {
			return nil, err
		}
		w.payload = payload
	}
	// The key is never sent; the mask is for a server that knows it and echoes it.
	var secrets []string
	for _, secret := range []string{c.Secrets.Values[SigningSecret], c.Secrets.Old[SigningSecret].Value} {
		secrets = append(secrets, secret, strings.TrimPrefix(secret, "whsec_"))
	}
	w.mask = destination.NewMask(secrets...)
	w.sender = httpsend.NewSender(d, w.capabilities.Account != "", k.AttemptTime)
	return w, nil
}

type webhook struct {
	options      Options
	capabilities destination.Capabilities
	keys         []key // newest first
	payload      *jq.Expression
	mask         destination.Mask
	sender       *httpsend.Sender
	now          func() time.Time
}

// key signs until a time; the zero time means without end.
type key struct {
	key   []byte
	until time.Time
}

func (w *webhook) setTarget(d destination.Deps) error {
	if w.options.URL == "" {
		return fault.New(fault.Invalid, "options.url is missing: give the address that takes the webhooks, such as https://app.example.com/webhooks/authsync")
	}
	if err := httpsend.CheckURL("options.url", w.options.URL); err != nil {
		return err
	}
	if d.CheckURL != nil {
		if err := d.CheckURL(w.options.URL); err != nil {
			return fault.New(fault.Invalid, "options.url: "+err.Error())
		}
	}
	for name, value := range w.options.Headers {
		const field = "options.headers"
		err := httpsend.CheckHeaderName(field, name, "Content-Type", "User-Agent", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature",
			"Svix-Id", "Svix-Timestamp", "Svix-Signature", destination.TestHeader)
		if err != nil {
			return err
		}
		if err := httpsend.CheckHeaderValue(field, name, value); err != nil {
			return err
		}
	}
	return nil
}

func (w *webhook) setKeys(s destination.Secrets) error {
	current, given := s.Values[SigningSecret]
	if !given {
		return fault.New(fault.Invalid, "secrets.signing_secret is missing: leave secrets out to have one made, or give one")
	}
	main, err := parseKey("secrets."+SigningSecret, current)
	if err != nil {
		return err
	}
	w.keys = []key{{key: main}}
	if old, is := s.Old[SigningSecret]; is {
		earlier, err := parseKey("the earlier secrets."+SigningSecret, old.Value)
		if err != nil {
			return err
		}
		w.keys = append(w.keys, key{key: earlier, until: old.Until})
	}
	return nil
}

func parseKey(field, secret string) ([]byte, error) {
	advice := fmt.Sprintf("give whsec_ and the base64 of %d to %d random bytes (openssl rand -base64 %d makes them), or leave it out to have one made", minKey, maxKey, newKey)
	bytes, err := standardwebhooks.ParseSecret(secret)
	if err != nil {
		return nil, fault.Newf(fault.Invalid, "%s cannot be used: %s; %s", field, err, advice)
	}
	if len(bytes) < minKey || len(bytes) > maxKey {
		size := "too short"
		if len(bytes) > maxKey {
			size = "too long"
		}
		return nil, fault.Newf(fault.Invalid, "%s is %s, it has %d bytes: %s", field, size, len(bytes), advice)
	}
	return bytes, nil
}

// Capabilities implements destination.Destination.
func (w *webhook) Capabilities() destination.Capabilities { return w.capabilities }

// Send sends messages, one request each.
func (w *webhook) Send(ctx context.Context, messages []destination.Message) []destination.Result {
	results := make([]destination.Result, len(messages))
	for i, m := range messages {
		results[i] = w.send(ctx, m)
	}
	return results
}

func (w *webhook) send(ctx context.Context, m destination.Message) destination.Result {
	body, err := w.body(ctx, m)
	switch {
	case err != nil && ctx.Err() != nil:
		return destination.Result{Outcome: destination.Retry, Reason: "sending was stopped before the request was sent"}
	case err != nil:
		return destination.Unmade(err, err.Error())
	case body == nil:
		return destination.Result{Outcome: destination.Delivered, Reason: "nothing to send: options.payload gives nothing for this change"}
	}
	answer, result, done := w.sender.Do(ctx, w.mask, func(ctx context.Context) (*http.Request, error) { return w.request(ctx, m, body) })
	if done {
		return result
	}
	switch {
	case answer.Status >= 200 && answer.Status < 300:
		return answer.Result(destination.Delivered, "")
	case answer.Status == http.StatusGone:
		return answer.Result(destination.Disable, "it answered 410 Gone: it takes no webhooks any more; if that was a mistake, mend it there and resume the destination")
	case answer.Status == http.StatusTooManyRequests, answer.Status == http.StatusServiceUnavailable:
		if later, is := w.sender.Later(ctx, &m, answer, w.now()); is {
			return later
		}
	}
	return answer.Result(destination.Retry, answer.Unwanted())
}
