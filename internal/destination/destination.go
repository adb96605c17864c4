// Package destination is what the systems that must follow have in common: what they
// are told (a Message), what they answer (a Result), and how they are made. Each type
// has a folder of its own: webhook, http, hubspot.
//
// On the road of a change it is the last station:
//
//	user_changes ──▶ outbox ──▶ destination ──▶ CRM, billing, any webhook
//
// A type knows its wire format and nothing of order, retries, rate limits or
// databases: these are the outbox's.
package destination

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// The event types.
const (
	UserCreated  = "user.created"
	UserUpdated  = "user.updated"
	UserDeleted  = "user.deleted"
	UserRestored = "user.restored"
)

// EventTypes lists the event types.
func EventTypes() []string { return []string{UserCreated, UserUpdated, UserDeleted, UserRestored} }

// MaxResponse is how much of an answer is kept, in bytes.
const MaxResponse = 4 << 10

// Message is one change of a user, as a destination is told of it. For a destination that
// takes states (Traits.States) it may unite several changes, and User is the user as the newest
// change that is known to the outbox left it.
type Message struct {
	// ID is the same for every attempt and every replay: the webhook-id, the idempotency key.
	ID string
	// ChangeID is the newest change in it (user_changes.id).
	ChangeID  int64
	ProjectID uuid.UUID
	UserID    string
	EventType string   // UserCreated, UserUpdated, UserDeleted or UserRestored
	Changed   []string // columns of users that differ between Before and User
	// User is the row of users, an object with one key a column of the mirror (id to raw),
	// as the change left it. Before is the row as it was; nil where the user was new.
	User, Before json.RawMessage
	Provider     string
	EventID      string
	EventAt      time.Time // the provider's clock
	ChangedAt    time.Time // when it was committed to the mirror
	// Attempt is 1 the first time. For a destination that takes states it is more than 1 if anything that
	// is united in it may have arrived before; then the other side may hold another state than Before.
	Attempt int
	// ExternalID is what an earlier Result asked to remember of this user; empty: nothing.
	ExternalID string
	// Deferred: the other side has asked to send this message later, and has taken others
	// since. If it asks so again, it speaks of this message, and not of all that is sent.
	Deferred bool
	// Test: it is a test event, about no real user; see TestMessage.
	Test bool
}

// Outcome says what became of a message.
type Outcome int

const (
	// Delivered says that the other side has it, or needs nothing (Reason says why).
	Delivered Outcome = iota
	// Retry says that it failed; after a pause it is tried again, which costs an attempt.
	Retry
	// GiveUp says that it failed, and will as often as it is sent. A person may replay it.
	GiveUp
	// Deferred says that nothing is wrong with it, but the other side takes no more now. It costs no attempt.
	Deferred
	// Pause says that no message will get through until a person mends what Reason says
	// (a token, a property). The message waits.
	Pause
	// Disable says that the other side is gone for good, by its own word. The message waits.
	Disable
)

// Result is what became of a message, with what the other side answered.
type Result struct {
	Outcome Outcome
	// Status is the HTTP status, 0 where there was no answer.
	Status int
	// Response is the beginning of the answer's body, valid UTF-8 of at most MaxResponse bytes.
	Response string
	// Reason is a sentence for a person: why it failed, what to do. Never a secret.
	Reason string
	// After is how long to wait at least before the next attempt, as the other side asks.
	After time.Duration
	// Shared, of a Later, says that it holds for whatever is sent: our own limit is used up, or the
	// other side says that the account's is. Otherwise the message may be what is put off.
	Shared bool
	// ExternalID is to be remembered of the user; empty: to be forgotten; nil: as it was.
	ExternalID *string
}

// Destination sends messages to one configured system. It is safe for concurrent use.
type Destination interface {
	Traits() Capabilities
	// Send sends messages, at most Traits.Batch of them, each about another user, and
	// gives a result for each, in order. When ctx ends, what is not yet
	// answered is a Retry; it may have arrived, and will come again with the same id.
	Send(ctx context.Context, messages []Message) []Result
	// Preview shows the requests that a message would make, without sending any.
	// The error is an *InvalidError if an expression fails on this message.
	Preview(ctx context.Context, message Message) ([]Request, error)
}

// Capabilities say how a destination wants to be served.
type Capabilities struct {
	// States: it takes the user's newest state, so that waiting changes of a user are
	// united into one. Otherwise each change is an event of its own.
	States bool
	// Batch is how many messages one Send takes at most, Parallel how many Sends may
	// run at a time in a process; both at least 1.
	Batch, Parallel int
	// Account names what the other side counts requests by, as a digest; destinations
	// with the same account share its limits. Empty: there are none.
	Account string
	// NoTest says why it can be sent no test event, and what to do instead; empty: it can.
	NoTest string
	// Limits are the account's limits by class; see Limiter.
	Limits map[string]Limit
}

// Limit is a rate that the other side allows.
type Limit struct {
	Requests int           // in any window of length Per; 0: no such limit
	Per      time.Duration // see Requests
	Daily    int           // in a day of Zone; 0: no such limit
	Zone     string        // IANA time zone, such as Europe/Berlin; empty: UTC
}

// Limiter keeps to the limits of an account, over all processes.
type Limiter interface {
	// Take waits until a request of the class may be sent, which must happen within a second.
	// If that is too long a wait, the error is a *DeferredError.
	Take(ctx context.Context, class string) error
	// Block lets no request of the class through for a while, because the other side said so.
	Block(ctx context.Context, class string, d time.Duration, because string) error
}

// DeferredError says that a request may be sent only after a longer wait.
type DeferredError struct {
	After  time.Duration
	Reason string
}

func (e *DeferredError) Error() string { return e.Reason }

// Request is a request as Preview shows it; secrets are masked.
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	// Header has the headers that matter, in the order of their names.
	Header http.Header `json:"headers"`
	// Body is JSON where the body is, else a text; nil: none.
	Body json.RawMessage `json:"body"`
	// Note says when this request is made, where that hangs on an answer.
	Note string `json:"note,omitempty"`
}

// Config is a configured destination.
type Config struct {
	ID        uuid.UUID
	ProjectID uuid.UUID
	Name      string
	Options   json.RawMessage // of its type; an object
	Secrets   Secrets
}

// Secrets are a destination's secrets by name.
type Secrets struct {
	Values map[string]string `json:"values"`
	// Old are earlier ones, which are valid a while longer.
	Old map[string]OldSecret `json:"old,omitempty"`
}

// OldSecret is a secret that has been replaced.
type OldSecret struct {
	Value string    `json:"value"`
	Until time.Time `json:"until"`
}

// Deps is what a destination needs of its surroundings.
type Deps struct {
	// Client sends requests to addresses that are allowed only, and follows no redirects; see package outbound.
	Client *http.Client
	// CheckURL says why requests to a URL would be refused; nil: anything goes.
	CheckURL func(url string) error
	// Limiter keeps to the limits; nil: there are none.
	Limiter Limiter
	// Now is the clock; nil: time.Now.
	Now func() time.Time
}

// Type makes destinations of one type.
type Type interface {
	// Name is the type's name in the API, the tables and the command.
	Name() string
	// New checks a configuration and makes the destination; it sends nothing. What a
	// person has to change is an *InvalidError.
	New(c Config, d Deps) (Destination, error)
	// SecretNames are the names of the secrets that it takes; nil: any name.
	SecretNames() []string
	// SendsSecretsTo gives the origins (see outbound.Origin) to which secrets are sent as they
	// are, by the options; nil: none is, they only sign. Options that it cannot read give none.
	SendsSecretsTo(options json.RawMessage) []string
	// NewSecret makes a value for a secret that a person need not give, and names it;
	// ok is false where there is none. It is shown once.
	NewSecret() (name, value string, ok bool)
}

// InvalidError says what is wrong with a configuration, and what to give instead.
// It never holds a secret.
type InvalidError struct {
	Detail string
	// Field is the path of the wrong value, such as options.url; empty: Detail begins with it.
	Field string
	Err   error // the cause, where there is one; its text is not to be shown
}

func (e *InvalidError) Error() string { return e.Detail }

// Unwrap gives the cause.
func (e *InvalidError) Unwrap() error { return e.Err }
