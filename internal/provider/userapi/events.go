package userapi

import (
	"context"
	"time"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
)

// EventSourcer is a provider whose events can be pulled, so that it need not reach authsync.
type EventSourcer interface {
	// NewEventSource prepares pulling; it sends nothing. The errors are those of Sourcer.NewSource.
	NewEventSource(c provider.Credentials, o provider.Options, d Deps) (EventSource, error)
}

// EventSource is where an integration's events are pulled from. It keeps what several connections
// share, such as a token. One goroutine uses it at a time.
type EventSource interface {
	// Origin identifies what a cursor belongs to: one of another origin means nothing here.
	Origin() string
	// Follow passes on what happens from a position on, in as many steps as the provider likes, until
	// ctx ends, the provider ends the connection, or something fails. pause is how long the provider
	// asks to wait before the next call.
	//
	// Errors: nil if the provider ended the connection as it does from time to time; *LostError;
	// *RateLimitError; fault.CredentialsRefused, fault.ProviderError, fault.ProviderUnavailable; the
	// sink's own; the cause of ctx.
	Follow(ctx context.Context, from Position, to EventSink) (pause time.Duration, err error)
}

// EventPreparer is an EventSource that needs something in the customer's own database.
type EventPreparer interface {
	// Prepare creates it, unless it is there.
	Prepare(ctx context.Context) error
	// Remove removes what Prepare has created, and nothing else.
	Remove(ctx context.Context) error
}

// Position is where in a provider's events reading begins.
type Position struct {
	// Cursor is the last one of a batch that the sink took; empty if there was none yet.
	Cursor string
	// Since is where to begin without a cursor.
	Since time.Time
}

// EventSink takes what is pulled.
type EventSink interface {
	// Connected is called once the provider has accepted the position.
	Connected(ctx context.Context) error
	// Take stores a batch durably: after it returned nil, the events before its cursor are never
	// asked for again.
	Take(ctx context.Context, batch EventBatch) error
}

// EventBatch are events in the order in which the provider gave them. It may hold none: then only
// the cursor moves.
type EventBatch struct {
	// Bodies are the events, each as the provider's webhook would have it.
	Bodies [][]byte
	// Cursor is the position after the last of them.
	Cursor string
}

// LostError reports that events cannot be had any more: the mirror has to be compared with the
// provider. Reading goes on from Cursor or, if it is empty, from the time of the error.
type LostError struct {
	Reason string
	Cursor string
}

func (e *LostError) Error() string { return e.Reason }

func (e *LostError) Unwrap() error { return fault.New(fault.ProviderError, e.Reason) }
