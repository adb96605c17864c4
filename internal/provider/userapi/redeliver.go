package userapi

import (
	"context"
	"time"
)

// Redeliverer is a Source whose provider keeps failed deliveries and resends them on request.
type Redeliverer interface {
	// Redeliver counts the failed deliveries of the event streams to a project's receiver and
	// requests that all of them be resent. Requesting an event twice is harmless: it keeps its id.
	//
	// The errors are those of a Source, fault.StreamNotFound and fault.RedeliveryUnderWay. If some
	// streams could not be asked but others could, there is no error: the former report it in
	// Problem.
	Redeliver(ctx context.Context, projectID string, r RedeliverRequest) (Redelivery, error)
}

// RedeliverRequest selects failed deliveries.
type RedeliverRequest struct {
	// From (inclusive) and To (exclusive) limit the time; zero means no limit. The provider takes
	// whole seconds, so they are rounded outwards.
	From, To time.Time
	// Stream is the id of an event stream; empty selects those that go to the project's receiver.
	Stream string
	// DryRun only counts.
	DryRun bool
}

// Redelivery is the result of Redeliver.
type Redelivery struct {
	DryRun bool
	// From and To are the limits as sent to the provider.
	From    *time.Time
	To      *time.Time
	Streams []RedeliveryStream
}

// RedeliveryStream is one event stream.
type RedeliveryStream struct {
	ID       string
	Name     string
	Endpoint string // host and path; empty if it is not a webhook
	Enabled  bool
	// Failed is the number of failed deliveries counted; if not Complete, there may be more, which
	// are resent as well.
	Failed   int
	Complete bool
	Types    map[string]int // number by event type
	// Oldest and Newest are the times of the first and last of these events.
	Oldest *time.Time
	Newest *time.Time
	// Requested reports that the provider accepted the request. The deliveries follow.
	Requested bool
	// Problem says why this stream could not be asked, and what to do; nil if it could.
	Problem *string
	// Notes are advice about the stream.
	Notes []string
}

// Reenabler is a Redeliverer whose provider may disable a stream, after which it keeps no events.
type Reenabler interface {
	// Reenable enables a stream again. The errors are those of a Source.
	Reenable(ctx context.Context, stream string) error
}

// LackError is an error about a permission that the stored credentials lack. They are right otherwise.
type LackError interface {
	error
	// LacksPermission returns the provider's name of the permission.
	LacksPermission() string
}
