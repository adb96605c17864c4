// Package provider verifies the requests of identity providers and translates their payloads into
// events. Each provider is a package below this one; package registry lists them. Nothing here uses
// a database.
package provider

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// The providers' names, as used in the database. Paths and commands also accept "better-auth"; see
// ParseName.
const (
	Auth0      = "auth0"
	Clerk      = "clerk"
	BetterAuth = "better_auth"
)

// Errors of Verifier.Verify. All of them are 401 to the sender; log and metrics distinguish them.
var (
	ErrMissingSignature = errors.New("the request carries no signature")
	ErrMalformed        = errors.New("the signature is malformed")
	ErrTooOld           = errors.New("the signed timestamp is too old")
	ErrTooNew           = errors.New("the signed timestamp lies in the future")
	ErrNoMatch          = errors.New("no signing secret matches")
	// ErrFormat: the request has a signature format that the integration does not accept.
	ErrFormat = errors.New("the integration does not accept this signature format")
	// ErrNoSecret: the integration has no signing secret yet, so nothing can be verified.
	ErrNoSecret = errors.New("the integration has no webhook_signing_secret")
)

// ErrTooManyEvents is an error of Verifier.ValidBody.
var ErrTooManyEvents = errors.New("the body holds too many events")

// Provider is an identity provider.
type Provider interface {
	// Name returns the name used in the database.
	Name() string
	// NewVerifier validates credentials and options given by a person and prepares a verifier. The
	// error names the field and what to do, and never contains a secret. Without a signing secret
	// the verifier's Verify returns ErrNoSecret.
	NewVerifier(c Credentials, o Options) (Verifier, error)
	// CheckStrength returns an error if the secrets that verify requests could be guessed. It need
	// not be called with credentials and options that NewVerifier refuses.
	CheckStrength(c Credentials, o Options) error
	// Decode translates a message into its events, at least one. It never fails: what cannot be
	// decoded is an event with its own verdict.
	Decode(d Message, o Options) []Event
	// Sign creates the request that the provider would send for a sample event.
	Sign(s Sample, c Credentials, o Options, now time.Time) (http.Header, []byte, error)
}

// ContextDecoder is a provider whose Decode may have to wait for something that is shared.
type ContextDecoder interface {
	// DecodeContext is Decode. The error means that nothing is known of the message yet: try again later.
	DecodeContext(ctx context.Context, d Message, o Options) ([]Event, error)
}

// Decode decodes a message with any provider. The error is one of ContextDecoder.
func Decode(ctx context.Context, kind Provider, m Message, o Options) ([]Event, error) {
	if waits, is := kind.(ContextDecoder); is {
		return waits.DecodeContext(ctx, m, o)
	}
	return kind.Decode(m, o), nil
}

// Stored is a provider whose NewVerifier checks more than a verifier needs, at a cost that a tenant chooses.
type Stored interface {
	// StoredVerifier is NewVerifier for credentials and options that it accepted when they were stored.
	StoredVerifier(c Credentials, o Options) (Verifier, error)
	// Prepare does what NewVerifier with these options would spend most on, and keeps it: nothing that a tenant can make
	// costly belongs into a transaction.
	Prepare(o Options) error
}

// Recipient is where credentials of an integration are sent.
type Recipient struct {
	// Origin is scheme, host and port; empty if nothing is sent.
	Origin string
	// Field is the credential or option that sets it.
	Field string
	// Credentials are the names of the credentials that are sent.
	Credentials []string
}

// Addresser is a provider that sends credentials to a configurable address. Whoever changes the
// address must know them, because stored secrets are never shown.
type Addresser interface {
	SendsTo(c Credentials, o Options) Recipient
}

// Verifier verifies requests of one integration. It is safe for concurrent use.
type Verifier interface {
	// Verify returns how the request was proven genuine, or one of the errors above, wrapped.
	Verify(h http.Header, body []byte, now time.Time) (Proof, error)
	// ValidBody returns an error, which can be shown to the sender, if a verified body is not
	// well-formed for this provider (JSON). A wrapped ErrTooManyEvents means that it is, but has
	// too many events.
	ValidBody(body []byte) error
	// Redact returns a verified body as it may be stored: with secrets of end users and live tokens
	// replaced, without the fields of option exclude, and the rest byte by byte unchanged. excluded
	// are the entries of that option that matched.
	Redact(body []byte) (stored []byte, excluded []string)
}

// Proof is how a request was proven genuine.
type Proof struct {
	// MessageID is the sender's message id, empty if its headers have none.
	MessageID string
	// Secret is the position of the secret that matched ("1" is the first), never the secret
	// itself.
	Secret string
	// SecretName names that secret without revealing it; see SecretName. The project directory adds it.
	SecretName string
	// Method is the authentication method, such as "bearer" or "svix".
	Method string
}

// String is how the inbox notes a proof: the method and the name of the secret, such as "svix 3fa2".
func (p Proof) String() string { return strings.TrimSpace(p.Method + " " + p.SecretName) }
