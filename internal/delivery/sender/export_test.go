package sender

import "time"

// Activity is an activity that tests may ask.
type Activity = activity

func (c *activity) Begin(who string, at time.Time)              { c.begin(who, at) }
func (c *activity) OthersActive(who string, now time.Time) bool { return c.othersActive(who, now) }

// NextChunk is how many deliveries are loaded after a chunk.
func NextChunk(chunk, fit, batch int) int { return nextChunk(chunk, fit, batch) }

// The statements that the tests of plans run.
const (
	SelectTarget     = selectTarget
	LeaseDestination = leaseDestination
	SelectDeferrals  = selectDeferrals
	SelectRetry      = selectRetry
)
