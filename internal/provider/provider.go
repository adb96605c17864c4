// Package provider verifies the requests of identity providers and translates
// their payloads into events. Each provider is a package of its own below this
// one; package registry knows them all. Nothing here knows a database.
package provider

import (
	"errors"
	"net/http"
	"time"
)

// The providers' names, as they stand in the database. In paths and commands
// "better-auth" is accepted as well; see ParseName.
const (
	Auth0      = "auth0"
	Clerk      = "clerk"
	BetterAuth = "better_auth"
)

// Errors of Verifier.Verify. All of them are 401 outside; log and metric say which it was.
var (
	ErrMissingSignature = errors.New("the request carries no signature")
	ErrMalformed        = errors.New("the signature is malformed")
	ErrTooOld           = errors.New("the signed timestamp is too old")
	ErrTooNew           = errors.New("the signed timestamp lies in the future")
	ErrNoMatch          = errors.New("no signing secret matches")
	// ErrFormat: the request is signed in a format that the integration does not accept.
	ErrFormat = errors.New("the integration does not accept this signature format")
	// ErrNoSecret: the integration has no signing secret yet, so nothing can be verified.
	ErrNoSecret = errors.New("the integration has no webhook_signing_secret")
)

// ErrTooManyEvents is an error of Verifier.ValidBody.
var ErrTooManyEvents = errors.New("the body holds too many events")

// Provider is one kind of identity provider.
type Provider interface {
	// Name is the name as it stands in the database.
	Name() string
	// NewVerifier checks credentials and options as given by a person and
	// prepares them for Verify. The error names the field and what to do,
	// and never holds a secret. Credentials without a signing secret give a
	// verifier whose Verify returns ErrNoSecret.
	NewVerifier(c Credentials, o Options) (Verifier, error)
	// CheckStrength reports why the secrets that requests are verified with could be
	// guessed. Credentials that NewVerifier refuses need not be checked.
	CheckStrength(c Credentials) error
	// Decode translates a delivery into its events, at least one. It never
	// fails: what cannot be understood is an event with a verdict of its own.
	Decode(d Message, o Options) []Event
	// Sign makes the request that the provider would send for a sample event.
	Sign(s Sample, c Credentials, o Options, now time.Time) (http.Header, []byte, error)
}

// Recipient is where credentials of an integration are sent.
type Recipient struct {
	// Origin is scheme, host and port; empty: nothing is sent.
	Origin string
	// Field is the credential or option that names it.
	Field string
	// Credentials are the names of those that are sent there.
	Credentials []string
}

// Addresser is what a provider implements that sends credentials to an address which may be
// changed. Whoever changes it must know them: stored secrets are never shown.
type Addresser interface {
	SendsTo(c Credentials, o Options) Recipient
}

// Verifier checks requests of one integration. It is safe for concurrent use.
type Verifier interface {
	// Verify reports how the request was proven genuine, or one of the errors above, wrapped.
	Verify(h http.Header, body []byte, now time.Time) (Proof, error)
	// ValidBody reports, with an error fit for the sender, whether a verified
	// body is well-formed for this provider (JSON). ErrTooManyEvents, wrapped, says
	// that it is, but holds more than can be taken.
	ValidBody(body []byte) error
	// Redact returns a verified body as it may be stored: secrets of end users and live
	// tokens replaced in their places, the rest byte by byte as it came.
	Redact(body []byte) []byte
}

// Proof is how a request was proven genuine.
type Proof struct {
	// MessageID is the sender's id of the delivery, empty where it sends none in its headers.
	MessageID string
	// Secret tells which of several secrets matched ("1" is the first given). Never the secret itself.
	Secret string
	// Method names the way, such as "bearer" or "svix".
	Method string
}
