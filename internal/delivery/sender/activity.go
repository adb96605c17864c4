package sender

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/pause"
)

const (
	// activeWindow is how long the process counts as shared after another job began.
	activeWindow = time.Second
	// maxYield is the longest single pause of a run.
	maxYield = 100 * time.Millisecond
	// sharedWindow limits the deliveries in flight, or two batches if that is more, while other jobs are
	// active: large writes would block them.
	sharedWindow = 48
)

// Hook observes all jobs of a process, so that a backlog yields to them.
func (s *Sender) Hook() rivertype.Hook { return &s.activity }

// OthersActive reports whether a job for a different subject began recently in this process.
func (s *Sender) OthersActive(job *rivertype.JobRow) bool {
	return s.activity.othersActive(runner(job), time.Now())
}

// activity tracks whether jobs other than a given run are active in the process.
type activity struct {
	river.HookDefaults

	mu     sync.Mutex
	latest string // runner of the latest job
	at     time.Time
	before time.Time // when a different runner last began a job
}

// WorkBegin records the start of a job. It never fails.
func (c *activity) WorkBegin(_ context.Context, job *rivertype.JobRow) error {
	switch job.Kind {
	case delivery.RetryArgs{}.Kind(), delivery.RescueArgs{}.Kind(), delivery.PruneArgs{}.Kind(): // not latency-sensitive
		return nil
	}
	c.begin(runner(job), time.Now())
	return nil
}

// runner identifies what a job works on. Runs for the same destination have the same runner.
func runner(job *rivertype.JobRow) string { return job.Kind + string(job.EncodedArgs) }

func (c *activity) begin(who string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who != c.latest {
		c.latest, c.before = who, c.at
	}
	c.at = at
}

// othersActive reports whether a runner other than who began a job recently.
func (c *activity) othersActive(who string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	if who == c.latest {
		at = c.before
	}
	return now.Sub(at) < activeWindow
}

// yieldToOthers pauses for as long as the run's statements took since its last pause, if other jobs are
// active. Otherwise a backlog would saturate the database and the CPU, and a single change of another project
// would queue at every step. Requests in flight continue.
func (w *window) yieldToOthers(ctx context.Context) {
	spent := min(w.spent, maxYield)
	w.spent = 0
	if spent <= 0 || !w.sender.activity.othersActive(w.run.name, time.Now()) {
		return
	}
	_ = pause.For(ctx, spent) // that ctx ended is noticed by the next read or write
}

// limit returns the maximum number of deliveries in flight.
func (w *window) limit() int {
	if w.sender.activity.othersActive(w.run.name, time.Now()) {
		return min(w.size, max(sharedWindow, 2*w.to.destination.Capabilities.Batch))
	}
	return w.size
}
