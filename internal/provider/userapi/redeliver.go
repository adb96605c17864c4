package userapi

import (
	"context"
	"time"
)

// Redeliverer is implemented by a Source whose provider keeps the deliveries
// that failed, and sends them again if it is asked to.
type Redeliverer interface {
	// Redeliver counts the failed deliveries of the event streams that go to the
	// receiver of a project, and asks for all of them to be sent again. That an
	// event was asked for already does no harm: it comes with the id that it had.
	//
	// The errors are those of a Source, fault.StreamNotFound and fault.RedeliveryUnderWay. If some
	// streams were asked and others could not be, there is no error: the
	// latter say so themselves, in Problem.
	Redeliver(ctx context.Context, projectID string, r RedeliverRequest) (Redelivery, error)
}

// RedeliverRequest says which failed deliveries are meant.
type RedeliverRequest struct {
	// From and To narrow it to a time, From included and To not; zero: no bound.
	// The provider takes whole seconds, so they are rounded outwards.
	From, To time.Time
	// Stream is the id of an event stream; empty: those that go to the project's receiver.
	Stream string
	// DryRun counts only.
	DryRun bool
}

// Redelivery is what was found and asked for.
type Redelivery struct {
	DryRun bool `json:"dry_run"`
	// From and To are the bounds as the provider got them.
	From    *time.Time         `json:"since"`
	To      *time.Time         `json:"until"`
	Streams []RedeliveryStream `json:"streams"`
}

// RedeliveryStream is one event stream.
type RedeliveryStream struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Endpoint string `json:"endpoint"` // host and path; empty if it is no webhook
	Enabled  bool   `json:"enabled"`
	// Failed is how many failed deliveries were counted; if not Complete, there
	// may be more, and they are sent again as well.
	Failed   int            `json:"failed"`
	Complete bool           `json:"complete"`
	Types    map[string]int `json:"types"` // how many of which event type
	// Oldest and Newest are the times of the first and the last of these events.
	Oldest *time.Time `json:"oldest"`
	Newest *time.Time `json:"newest"`
	// Requested: the provider has taken the request. The deliveries follow.
	Requested bool `json:"requested"`
	// Problem is why this stream could not be asked, and what to do; nil: it could.
	Problem *string `json:"problem"`
	// Notes are what a person should know of the stream.
	Notes []string `json:"notes"`
}
