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
	// failsFor is how long the inbox counts as failing after a failed commit, unless one succeeds.
	// After that senders may try again, which is what finds out.
	failsFor = 5 * time.Second
	// troubleEvery is the minimum time between two log lines about failing commits.
	troubleEvery = 10 * time.Second
)

// health tracks commits, for readiness and for the log: an outage logs a line every ten seconds
// rather than one per commit.
type health struct {
	mu       sync.Mutex
	since    time.Time // of the first failed commit; zero if the last one succeeded
	last     time.Time // of the latest failed commit
	logged   time.Time
	unlogged counts
}

// counts counts failed commits and the messages in them.
type counts struct{ commits, messages int }

// failed records a failed commit. log reports that it is time to log, with the counts.
func (t *health) failed(now time.Time, messages int) (log bool, failures counts) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.since.IsZero() {
		t.since = now
	}
	t.last = now
	t.unlogged.commits++
	t.unlogged.messages += messages
	if !t.logged.IsZero() && now.Sub(t.logged) < troubleEvery {
		return false, counts{}
	}
	failures, t.unlogged, t.logged = t.unlogged, counts{}, now
	return true, failures
}

// succeeded records a successful commit. ended reports that it ended an outage, how long that
// lasted and how many failures have not been logged.
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

// ErrFailing reports that the database did not store the latest messages.
var ErrFailing = errors.New("the database takes no messages")

// Ready returns ErrFailing for five seconds after a failed commit, unless one succeeds earlier: a
// database can answer queries and still store nothing, for example when its disk is full.
func (in *Inbox) Ready() error {
	if in.trouble.failing(in.config.Now()) {
		return ErrFailing
	}
	return nil
}

// noteFailure records a commit that failed for reasons other than its data.
func (in *Inbox) noteFailure(ctx context.Context, messages int, took time.Duration, err error) {
	log, failures := in.trouble.failed(in.config.Now(), messages)
	if !log {
		return
	}
	in.config.Log.ErrorContext(ctx, "inbox_commit_failed",
		slog.Int("commits", failures.commits), slog.Int("messages", failures.messages), slog.Duration("took", took),
		slog.String("sqlstate", pgdb.Code(err)), slog.Any("error", err))
}

func (in *Inbox) noteSuccess(ctx context.Context) {
	if ended, lasted, failures := in.trouble.succeeded(in.config.Now()); ended {
		in.config.Log.InfoContext(ctx, "inbox_commit_recovered",
			slog.Duration("lasted", lasted), slog.Int("commits", failures.commits), slog.Int("messages", failures.messages))
	}
}
