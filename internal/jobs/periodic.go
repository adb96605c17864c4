package jobs

import (
	"time"

	"github.com/riverqueue/river"
)

// Every is a periodic job: it is inserted when a process becomes River's leader and after each
// pause. Its arguments should allow only a few attempts: the next one comes anyway, and one whose
// worker was killed must not end up discarded.
func Every(pause time.Duration, args river.JobArgs) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(pause),
		func() (river.JobArgs, *river.InsertOpts) { return args, nil },
		&river.PeriodicJobOpts{RunOnStart: true})
}
