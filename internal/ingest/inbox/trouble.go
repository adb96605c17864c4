package inbox

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/authsync/authsync/internal/pgdb"
)

const (
	// failsFor is how long after a commit that failed the inbox counts as failing, unless one has
	// succeeded since. Then senders may try again: it is they who find out.
	failsFor = 5 * time.Second
	// troubleEvery is the least time between two lines about commits that fail.
	troubleEvery = 10 * time.Second
)

// health is what becomes of commits, for readiness and for the log, in which an outage is a line
// each ten seconds and not one a commit.
type health struct {
	mu       sync.Mutex
	since    time.Time // of the first commit that failed; zero: the last one succeeded
	last     time.Time // when the newest failed
	logged   time.Time
	unlogged counts
}

// counts are commits that failed, and the deliveries in them.
type counts struct{ commits, messages int }

// failed notes a commit that failed. log says that it is time to say so, and of how many.
func (t *health) failed(now time.Time, deliveries int) (log bool, failures counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		t.since = now
	}
	t.last = now
	t.unlogged.commits++
	t.unlogged.messages += deliveries
	if !t.logged.IsZero() && now.Sub(t.logged) < troubleEvery {
		return false, counts{}
	}
	failures, t.unlogged, t.logged = t.unlogged, counts{}, now
	return true, failures
}

// succeeded notes a commit that succeeded. ended says that those before it had not, for how long and
// how many of them no line has told of.
func (t *health) succeeded(now time.Time) (ended bool, lasted time.Duration, failures counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		return false, 0, counts{}
	}
	lasted, failures = now.Sub(t.since), t.unlogged
	t.since, t.last, t.logged, t.unlogged = time.Time{}, time.Time{}, time.Time{}, counts{}
	return true, lasted, failures
}

func (t *health) failing(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.since.IsZero() && now.Sub(t.last) < failsFor
}

// ErrFailing says that the database did not take what was last to be stored.
var ErrFailing = errors.New("the database takes no messages")

// Ready returns ErrFailing for five seconds after a commit that failed, unless one succeeds earlier: a database
// can answer and take nothing, when its disk is full for instance.
func (in *Inbox) Ready() error {
	if in.trouble.failing(in.config.Now()) {
		return ErrFailing
	}
	return nil
}

// noteFailure notes that a commit failed through no fault of what it was to store.
func (in *Inbox) noteFailure(ctx context.Context, deliveries int, took time.Duration, err error) {
	log, failures := in.trouble.failed(in.config.Now(), deliveries)
	if !log {
		return
	}
	in.config.Log.ErrorContext(ctx, "inbox_commit_failed",
		slog.Int("commits", failures.commits), slog.Int("deliveries", failures.messages), slog.Duration("took", took),
		slog.String("sqlstate", pgdb.Code(err)), slog.Any("error", err))
}

func (in *Inbox) noteSuccess(ctx context.Context) {
	if ended, lasted, failures := in.trouble.succeeded(in.config.Now()); ended {
		in.config.Log.InfoContext(ctx, "inbox_commit_recovered",
			slog.Duration("lasted", lasted), slog.Int("commits", failures.commits), slog.Int("deliveries", failures.messages))
	}
}
