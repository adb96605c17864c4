package delivery

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// activeWindow is how long after a job began there may be more of the same.
	activeWindow = time.Second
	// maxYield is how long a run rests at most at a time.
	maxYield = 100 * time.Millisecond
	// sharedWindow is how many deliveries a run has in hand beside others at work, or two batches: what is
	// sent and noted in one go keeps the others waiting.
	sharedWindow = 48
)

// Hook lets the outbox hear of all jobs of a process, so that a backlog leaves room for them.
func (o *Outbox) Hook() rivertype.Hook { return &o.activity }

// OthersActive reports that a job for something else than this one's began lately in this process.
func (o *Outbox) OthersActive(job *rivertype.JobRow) bool {
	return o.activity.othersActive(runner(job), time.Now())
}

// activity knows whether others are at work in the process besides one run.
type activity struct {
	river.HookDefaults

	mu     sync.Mutex
	latest string // who began a job last
	at     time.Time
	before time.Time // when somebody else began one before
}

// WorkBegin notes that a job begins. It never fails.
func (c *activity) WorkBegin(_ context.Context, job *rivertype.JobRow) error {
	switch job.Kind {
	case RetryArgs{}.Kind(), rescueArgs{}.Kind(), pruneArgs{}.Kind(): // nobody waits for these
		return nil
	}
	c.begin(runner(job), time.Now())
	return nil
}

// runner names who works a job: runs for the same destination are the same.
func runner(job *rivertype.JobRow) string { return job.Kind + string(job.EncodedArgs) }

func (c *activity) begin(who string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who != c.latest {
		c.latest, c.before = who, c.at
	}
	c.at = at
}

// othersActive reports that somebody other than who began a job lately.
func (c *activity) othersActive(who string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	if who == c.latest {
		at = c.before
	}
	return now.Sub(at) < activeWindow
}

// yieldToOthers rests for as long as the run's statements took since it last did, if others are at
// work: a backlog would else take all the database and the processor give, and a single change of
// another project wait its turn at every step of its way. What is being sent goes on meanwhile.
func (p *pipe) yieldToOthers(ctx context.Context) {
	spent := min(p.spent, maxYield)
	p.spent = 0
	if p.activity.othersActive(p.name, time.Now()) {
		_ = sleep(ctx, spent) // whether we are being stopped is found out by who reads or writes next
	}
}

// windowSize is how many deliveries to have in hand.
func (p *pipe) windowSize() int {
	if p.activity.othersActive(p.name, time.Now()) {
		return min(p.window, max(sharedWindow, 2*p.to.capabilities.Batch))
	}
	return p.window
}
