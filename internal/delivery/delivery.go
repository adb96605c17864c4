// Package delivery is the road out: it delivers every change of a project's records to the destinations subscribed to
// it, in order for each user and each organization (see OrderKey), within the destination's rate limits, retried until it succeeds, fails for the last
// time or is cancelled.
//
//	mirror:      changes ──relay_changes──▶ deliveries ──deliver──▶ Destination.Send
//	         (project's database)           (control)       │
//	                                                        └─ failed ─▶ retry_delivery
//
// Its stations are packages, which do not import one another:
//
//	relay    job relay_changes, one per project at a time: reads the feed from each destination's cursor and makes a
//	         delivery of each matching change
//	sender   job deliver, one per destination at a time: sends what is ready, concurrently; and job retry_delivery, one
//	         per delivery that failed, or is deferred while others succeed, retried by River
//	admin    what people ask for: pause and resume; list, retry, cancel and replay; preview and test
//	upkeep   jobs rescue_deliveries, which replaces deleted jobs every 30 seconds, and prune_deliveries
//
// They share subscription (which changes a destination takes), destcache (built destinations and their rate limits)
// and this package: the arguments of the jobs and the requests for them, states, the message made of a change, and
// metrics.
//
// A delivery:
//
//	 held     a deletion during the destination's holdback; nothing waits for it but what follows of the same record
//	  │
//	  ▼
//	blocked ──▶ ready ──▶ delivered
//	  ▲        │ ▲ ──▶ coalesced    merged into a newer one of the record, which was sent
//	  │        ▼ │
//	  │     retrying ─▶ failed      after 15 attempts, or at once after a permanent error
//	  └──────────────────┴──────▶ (replayed)            cancelled: by a user, or its change was lost and not restored
//
// Of the deliveries with an order key to a destination only one is ready or retrying; the others are blocked until it
// is finished. Code that makes or finishes deliveries locks the row of destination_progress first, so an order key
// with unfinished deliveries always has one that can be sent, or only held ones. These are released by the relay when they are
// due, once it has read all that was committed before, or by a user who confirms them; see package subscription.
//
// # What a crash leaves
//
// A destination's cursor moves in the transaction that makes the deliveries. A result is recorded after
// the message was sent: if the process dies in between, it is sent again with the same id. An idle job ends in a
// transaction that also checks for new requests (authsync.finish_if_idle).
package delivery

import (
	"errors"
	"strings"
	"time"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/mirror"
)

// Destination states.
const (
	StateActive   = "active"
	StatePaused   = "paused"
	StateDisabled = "disabled"
)

// Delivery states that the code distinguishes.
const (
	StateHeld      = "held"
	StateBlocked   = "blocked"
	StateReady     = "ready"
	StateRetrying  = "retrying"
	StateDelivered = "delivered"
	StateCoalesced = "coalesced"
	StateFailed    = "failed"
	StateCancelled = "cancelled"
)

// States are all states of deliveries.
func States() []string {
	return []string{StateHeld, StateBlocked, StateReady, StateRetrying, StateDelivered, StateCoalesced, StateFailed, StateCancelled}
}

// ErrNoDestination means that the destination was deleted.
var ErrNoDestination = errors.New("the destination was removed")

// A job works for Slice before it yields, and is stopped by River after JobTimeout, before it counts as stuck
// (jobs.StuckAfter).
const (
	Slice      = 10 * time.Second
	JobTimeout = 30 * time.Second
)

// The first page of a job that reads the feed is small; the size of later ones depends on the size of the rows. A
// page of large rows must neither fill the memory nor exceed the time limit of a read, on which the job would fail
// again and again.
const (
	FirstPage = 64
	largePage = 500
	pageBytes = 32 << 20 // bytes of rows per page
)

// NextPage returns the size of the page of the feed after this one.
func NextPage(page int, changes []mirror.FeedChange) int {
	bytes := 0
	for i := range changes {
		bytes += len(changes[i].Row) + len(changes[i].Before)
	}
	if bytes > pageBytes {
		return max(len(changes)*pageBytes/bytes, 1)
	}
	if bytes > pageBytes/2 {
		return page
	}
	return min(2*page, largePage)
}

// Clean removes what PostgreSQL's text does not accept, U+0000 and invalid UTF-8, and shortens the text to what is
// kept of a response.
func Clean(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) > destination.MaxResponse {
		text = strings.ToValidUTF8(text[:destination.MaxResponse], "")
	}
	return text
}
