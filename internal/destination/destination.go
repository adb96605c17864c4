// Package destination defines what all destination types share: what they are sent (a Message), what
// they return (a Result), and how they are built. Each type has its own package: webhook, http, hubspot.
//
// A destination is the last step of a change:
//
//	changes ──▶ deliveries ──▶ destination ──▶ CRM, billing, any webhook
//
// A type knows its wire format. Order, retries, rate limits and databases are those of the deliveries.
package destination

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/record"
)

// MaxResponse is the number of bytes of a response that are kept.
const MaxResponse = 4 << 10

// MaxOrganizations is the maximum number of Message.OrganizationIDs.
const MaxOrganizations = 100

// Message is one change of a record. For a destination that takes states (Capabilities.States) it may coalesce
// several changes, and Row is the state after the newest change that may be sent.
type Message struct {
	// ID is the webhook-id or idempotency key, the same for every attempt and replay.
	ID string
	// ChangeID is the newest change included (capydb_auth.changes.id).
	ChangeID   int64
	ProjectID  uuid.UUID
	RecordType record.Type
	RecordID   string   // of a membership, see record.MembershipID
	EventType  string   // one of EventTypes
	Changed    []string // columns that differ between Before and Row
	// Row is the record after the change, an object with one key per column of the mirror that comes from the
	// provider (see record.Definition.Row). Before is the row before it, nil for a new record.
	Row, Before json.RawMessage
	// Organization is, of a membership, its organization as the mirror has it now: a row of organizations, nil if the mirror has
	// none. OrganizationIDs are, of a user, the organizations of which the user is a member now, or, if deleted, ever was; at most
	// MaxOrganizations. Both are set for destinations with Capabilities.Organizations only.
	Organization    json.RawMessage
	OrganizationIDs []string
	Provider        string
	EventID         string
	EventAt         time.Time // by the provider's clock
	ChangedAt       time.Time // commit time in the mirror
	// Attempt starts at 1. For a destination that takes states it is greater than 1 if any coalesced change
	// may have arrived before; then the destination may hold a state other than Before.
	Attempt int
	// ExternalID is the external id of the record stored by an earlier Result; empty if there is none.
	ExternalID string
	// Deferred means that the destination has deferred this message before and has accepted others since.
	// Another deferral is then about this message, not about all requests.
	Deferred bool
	// Test marks a test event about a synthetic record; see TestMessage.
	Test bool
}

// Kind returns the kind of change, such as record.Created.
func (m *Message) Kind() string {
	_, kind := SplitEventType(m.EventType)
	return kind
}

// Outcome is the outcome of a message.
type Outcome int

const (
	// Delivered means that the destination has the message, or needs nothing (see Reason).
	Delivered Outcome = iota
	// Retry means that the attempt failed; another one follows after a pause.
	Retry
	// GiveUp means that the message failed and would fail each time. A user may replay it.
	GiveUp
	// Deferred means that the destination takes no more now, although the message is fine. It costs no
	// attempt.
	Deferred
	// Pause means that no message can succeed until a user fixes what Reason names (a token, a property). The
	// message waits.
	Pause
	// Disable means that the destination reported itself gone permanently. The message waits.
	Disable
)

// Result is the outcome of a message, with the response.
type Result struct {
	Outcome Outcome
	// Status is the HTTP status, 0 without a response.
	Status int
	// Response is the start of the response body: valid UTF-8, at most MaxResponse bytes.
	Response string
	// Reason explains to a user why the message failed and what to do. It never holds a secret.
	Reason string
	// After is the minimum wait before the next attempt, as requested by the destination.
	After time.Duration
	// Shared marks a Deferred result that applies to all requests: our own limit is used up, or the
	// destination reports the account's limit. Otherwise the deferral may be about this message.
	Shared bool
	// ExternalID is the record's external id to store; empty deletes it, nil leaves it as it is.
	ExternalID *string
	// Exchanges are the requests that were made for the message, in order: the last MaxExchanges of them; Omitted is the number
	// of those before.
	Exchanges []Exchange
	Omitted   int
}

// Destination sends messages to one configured system. It is safe for concurrent use.
type Destination interface {
	Capabilities() Capabilities
	// Send sends up to Capabilities.Batch messages, each about a different record, and returns one result per
	// message, in order. When ctx ends, messages without a response are a Retry; they may have arrived, and
	// are sent again with the same ids.
	Send(ctx context.Context, messages []Message) []Result
	// Preview returns the requests for a message without sending them. It returns a fault.Invalid if an
	// expression fails on this message.
	Preview(ctx context.Context, message Message) ([]Request, error)
}

// Capabilities describe how messages are sent to a destination.
type Capabilities struct {
	// RecordTypes are the types of the records that it takes changes of; nil: all.
	RecordTypes []record.Type
	// States is set if it takes the record's newest state: pending changes of a record are coalesced. Otherwise
	// each change is an event of its own.
	States bool
	// Organizations is set if messages are to carry the organizations of memberships and users; see Message.Organization.
	Organizations bool
	// Batch is the maximum number of messages per Send, Parallel the maximum number of concurrent Sends per
	// process; both at least 1.
	Batch, Parallel int
	// Account is a digest of what the rate limits apply to; destinations with the same account share them.
	// Empty if there are no limits.
	Account string
	// NoTest is why it takes no test events, and what to do instead; empty if it does.
	NoTest string
	// Limits are the account's rate limits by class; see Limiter.
	Limits map[string]Limit
}

// Limit is a rate limit.
type Limit struct {
	Requests int           // in any window of length Per; 0: no such limit
	Per      time.Duration // see Requests
	Daily    int           // in a day of Zone; 0: no such limit
	Zone     string        // IANA time zone, such as Europe/Berlin; empty: UTC
}

// Limiter enforces an account's rate limits across processes.
type Limiter interface {
	// Take waits until a request of the class may be sent, which must happen within a second. If the wait
	// would be too long, it returns a *DeferredError.
	Take(ctx context.Context, class string) error
	// Block rejects requests of the class for a while, because the destination asked for it.
	Block(ctx context.Context, class string, d time.Duration, because string) error
}

// DeferredError means that a request must wait longer than Take does.
type DeferredError struct {
	After  time.Duration
	Reason string
}

func (e *DeferredError) Error() string { return e.Reason }

// Request is a request as shown by Preview; secrets are masked.
type Request struct {
	Method string
	URL    string
	// Header holds the relevant headers.
	Header http.Header
	// Body is the JSON body, or another body as a JSON string; nil if there is none.
	Body json.RawMessage
	// Note says when this request is made, if that depends on a response.
	Note string
}

// Config is a destination's configuration.
type Config struct {
	ID        uuid.UUID
	ProjectID uuid.UUID
	Name      string
	Options   json.RawMessage // an object, as defined by the type
	Secrets   Secrets
}

// Secrets are a destination's secrets by name.
type Secrets struct {
	Values map[string]string `json:"values"`
	// Old are replaced secrets that are still valid.
	Old map[string]OldSecret `json:"old,omitempty"`
}

// OldSecret is a replaced secret.
type OldSecret struct {
	Value string    `json:"value"`
	Until time.Time `json:"until"`
}

// Deps are a destination's dependencies.
type Deps struct {
	// Client connects to allowed addresses only and follows no redirects; see package egress.
	Client *http.Client
	// CheckURL returns why requests to a URL would be refused; nil allows all.
	CheckURL func(url string) error
	// Limiter enforces the rate limits; nil means no limits.
	Limiter Limiter
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Type builds destinations of one type.
type Type interface {
	// Name returns the type's name in the API, the tables and the command.
	Name() string
	// New validates a configuration and builds the destination; it sends nothing. It returns a fault.Invalid
	// for mistakes in the configuration.
	New(c Config, d Deps) (Destination, error)
	// SecretNames returns the names of the secrets it takes; nil means any name.
	SecretNames() []string
	// SendsSecretsTo returns the origins (see egress.Origin) to which secrets are sent verbatim with these
	// options; nil if secrets are only used for signing, or if the options cannot be parsed.
	SendsSecretsTo(options json.RawMessage) []string
	// NewSecret generates a secret that the user need not provide, shown once; ok is false if there is none.
	NewSecret() (name, value string, ok bool)
}
