package outbox

import (
	"time"

	"github.com/riverqueue/river"
)

// Mend gives the job that mends.
func Mend() river.JobArgs { return mendArgs{} }

// Crowd is a crowd that tests may ask.
type Crowd = crowd

func (c *crowd) Begin(who string, at time.Time)         { c.begin(who, at) }
func (c *crowd) Besides(who string, now time.Time) bool { return c.besides(who, now) }
