package delivery

import (
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/mirror"
)

// Mend gives the job that mends.
func Mend() river.JobArgs { return rescueArgs{} }

// NextPage is how many changes are read after a page of that many.
func NextPage(page int, changes []mirror.FeedChange) int { return nextPage(page, changes) }

// Crowd is a crowd that tests may ask.
type Crowd = activity

func (c *activity) Begin(who string, at time.Time)         { c.begin(who, at) }
func (c *activity) Besides(who string, now time.Time) bool { return c.othersActive(who, now) }

// NextChunk is how many deliveries are loaded after a chunk.
func NextChunk(chunk, fit, batch int) int { return nextChunk(chunk, fit, batch) }

// The bounds of the filters that are kept.
const (
	MaxFilters = maxFilters
	KeepFilter = keepFilter
)

// FilterOf is the filter of a destination that is configured so.
func (o *Outbox) FilterOf(id uuid.UUID, eventTypes, fields []string, condition *string) Filter {
	return o.filter(subscriber{ID: id, EventTypes: eventTypes, Fields: fields, Condition: condition}).Filter
}

// Filters is how many are kept.
func (o *Outbox) Filters() int { return len(o.filters.all) }

// The statements that the tests of plans run.
const (
	Planned          = planned
	SelectFlows      = selectSubscribers
	SelectTarget     = selectTarget
	LeaseDestination = leaseDestination
	SelectDeferrals  = selectDeferrals
	SelectAgain      = selectRetry
	SelectKnown      = selectKnown
	SelectToMend     = selectToRescue
	ListDeliveries   = listDeliveries
	FindDelivery     = findDelivery
	RequestRelayOf   = requestRelay
)
