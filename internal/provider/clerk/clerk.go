// Package clerk verifies, decodes and signs the webhooks of Clerk, which Svix delivers: one event
// per request, its id in the header svix-id. Source of the wire facts: Clerk's OpenAPI definition
// of its webhooks (2025-04-15), its documentation, and Svix's on manual verification.
package clerk

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
)

// Provider is Clerk. It uses the credentials webhook_signing_secret and secret_key, and the options
// absent_fields, record_types, exclude and base_url.
type Provider struct{}

// New returns Clerk.
func New() Provider { return Provider{} }

// Name returns the name used in the database.
func (Provider) Name() string { return provider.Clerk }

const whereItIs = "it must be the Signing Secret of the webhook endpoint (Clerk dashboard, Webhooks, your endpoint), which begins with whsec_"

type verifier struct {
	keys    []standardwebhooks.Key
	exclude payload.Exclusion
}

// NewVerifier checks the signing secrets and the format of the API key.
func (Provider) NewVerifier(c provider.Credentials, o provider.Options) (provider.Verifier, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if err := provider.CheckOwner(provider.Clerk, c, o); err != nil {
		return nil, err
	}
	if err := checkFetch(c, o); err != nil {
		return nil, err
	}
	if err := c.WebhookSigningSecret.Check("credentials.webhook_signing_secret"); err != nil {
		return nil, err
	}
	if err := provider.CheckExclude(o, needed()); err != nil {
		return nil, err
	}
	v := verifier{exclude: payload.NewExclusion(o)}
	for i, secret := range c.WebhookSigningSecret {
		raw, err := parseSecret(secret)
		if err != nil {
			return nil, fmt.Errorf("secret %d of %w", i+1, err)
		}
		key, err := standardwebhooks.NewKey(raw, i+1)
		if err != nil {
			return nil, fmt.Errorf("secret %d of credentials.webhook_signing_secret: %w", i+1, err)
		}
		v.keys = append(v.keys, key)
	}
	return v, nil
}

// CheckStrength checks the keys after whsec_.
func (Provider) CheckStrength(c provider.Credentials, _ provider.Options) error {
	for _, secret := range c.WebhookSigningSecret {
		raw, err := parseSecret(secret)
		if err != nil {
			return err
		}
		if err := provider.CheckStrength("credentials.webhook_signing_secret", string(secret), raw); err != nil {
			return err
		}
	}
	return nil
}

func parseSecret(secret provider.Secret) ([]byte, error) {
	if !standardwebhooks.HasPrefix(string(secret)) {
		return nil, errors.New("credentials.webhook_signing_secret does not begin with whsec_: " + whereItIs)
	}
	key, err := standardwebhooks.ParseSecret(string(secret))
	if err != nil {
		return nil, fmt.Errorf("credentials.webhook_signing_secret cannot be used, %w: %s", err, whereItIs)
	}
	return key, nil
}

func isSecretKey(key string) bool {
	rest, live := strings.CutPrefix(key, "sk_live_")
	if !live {
		var test bool
		if rest, test = strings.CutPrefix(key, "sk_test_"); !test {
			return false
		}
	}
	odd := func(r rune) bool { return r <= ' ' || r > '~' }
	return rest != "" && !strings.ContainsFunc(rest, odd)
}

// Verify accepts only the svix-* headers, like Clerk's own verifier.
func (v verifier) Verify(h http.Header, body []byte, now time.Time) (provider.Proof, error) {
	if len(v.keys) == 0 {
		return provider.Proof{}, provider.ErrNoSecret
	}
	id, position, err := standardwebhooks.Verify(v.keys, standardwebhooks.Svix, h, body, now)
	if err != nil {
		return provider.Proof{}, err
	}
	return provider.Proof{MessageID: id, Secret: position, Method: "svix"}, nil
}

// ValidBody accepts an object; it also accepts an array, which Clerk never sends and which becomes
// a visible failed event.
func (verifier) ValidBody(body []byte) error { return payload.CheckBody(body) }

// Redact also removes what an end user can sign in or join with: messages that Clerk hands over for
// sending contain a code or a link, invitations a ticket, verifications what they are carried on with.
func (v verifier) Redact(body []byte) (stored []byte, excluded []string) {
	return v.exclude.Remove(redact(body))
}

func redact(body []byte) []byte {
	doc, err := payload.Parse(body)
	if err == nil && doc.IsObject() {
		switch kind, _, _ := strings.Cut(doc.Member("type").Plain(), "."); kind {
		case "email", "sms":
			return payload.Redact(body, "body", "bodyplain", "message", "subject", "actionurl")
		case "organizationInvitation", "invitation", "waitlistEntry": // which holds the invitation that it led to
			return payload.Redact(body, invitations().Secrets...)
		}
	}
	return payload.Redact(body, verificationSecrets()...)
}
