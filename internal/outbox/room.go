package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

const (
	// lately is how long after a job began there may be more of the same.
	lately = time.Second
	// longestRest is how long a run rests at most at a time.
	longestRest = 100 * time.Millisecond
	// narrow is how many deliveries a run has in hand beside others at work, or two batches: what is
	// sent and noted in one go keeps the others waiting.
	narrow = 48
)

// Hook lets the outbox hear of all jobs of a process, so that a backlog leaves room for them.
func (o *Outbox) Hook() rivertype.Hook { return &o.crowd }

// OthersAtWork reports that a job for something else than this one's began lately in this process.
func (o *Outbox) OthersAtWork(job *rivertype.JobRow) bool {
	return o.crowd.besides(runner(job), time.Now())
}

// crowd knows whether others are at work in the process besides one run.
type crowd struct {
	river.HookDefaults

	mu     sync.Mutex
	latest string // who began a job last
	at     time.Time
	before time.Time // when somebody else began one before
}

// WorkBegin notes that a job begins. It never fails.
func (c *crowd) WorkBegin(_ context.Context, job *rivertype.JobRow) error {
	switch job.Kind {
	case AgainArgs{}.Kind(), mendArgs{}.Kind(), trimArgs{}.Kind(): // nobody waits for these
		return nil
	}
	c.begin(runner(job), time.Now())
	return nil
}

// runner names who works a job: runs for the same destination are the same.
func runner(job *rivertype.JobRow) string { return job.Kind + string(job.EncodedArgs) }

func (c *crowd) begin(who string, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who != c.latest {
		c.latest, c.before = who, c.at
	}
	c.at = at
}

// besides reports that somebody other than who began a job lately.
func (c *crowd) besides(who string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.at
	if who == c.latest {
		at = c.before
	}
	return now.Sub(at) < lately
}

// leaveRoom rests for as long as the run's statements took since it last did, if others are at
// work: a backlog would else take all the database and the processor give, and a single change of
// another project wait its turn at every step of its way. What is being sent goes on meanwhile.
func (p *pipe) leaveRoom(ctx context.Context) {
	spent := min(p.spent, longestRest)
	p.spent = 0
	if p.crowd.besides(p.name, time.Now()) {
		_ = sleep(ctx, spent) // whether we are being stopped is found out by who reads or writes next
	}
}

// width is how many deliveries to have in hand.
func (p *pipe) width() int {
	if p.crowd.besides(p.name, time.Now()) {
		return min(p.window, max(narrow, 2*p.to.traits.Batch))
	}
	return p.window
}
