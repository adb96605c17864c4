package syncrun_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/sync/syncrun"
	"github.com/authsync/authsync/internal/testkit/waittest"
	"github.com/authsync/authsync/internal/watch"
)

// laterBy is a clock that is ahead of the machine's.
type laterBy struct {
	mu sync.Mutex
	by time.Duration
}

func (l *laterBy) now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().Add(l.by)
}

func (l *laterBy) pass(by time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.by += by
}

// A provider that answers nothing but 429 is noticed after an hour, however often it is asked meanwhile. A page, and not an
// attempt, is progress.
func TestARunWithoutProgressIsNoticed(t *testing.T) {
	t.Parallel()
	b := setup(t, 30, 10)
	_, err := b.control.Exec(t.Context(), `INSERT INTO authsync.integrations (project_id, provider, credentials_sealed) VALUES ($1, 'clerk', '')`, b.projectID)
	require.NoError(t, err)
	clock := &laterBy{}
	b.clock = clock.now
	stuck := func() []watch.Finding {
		found, err := watch.SyncRuns(t.Context(), watch.NewLook(b.control, clock.now))
		require.NoError(t, err)
		return found
	}
	var mu sync.Mutex
	limited := true
	b.account.before = func(cursor string) (*userapi.Page, error) {
		mu.Lock()
		defer mu.Unlock()
		if limited && cursor != "" {
			return nil, &userapi.RateLimitError{After: time.Second}
		}
		return nil, nil
	}
	// refused waits for an attempt that begins after now.
	refused := func() {
		from := clock.now()
		waittest.Until(t, func() bool {
			var since time.Time
			require.NoError(t, b.control.QueryRow(t.Context(), `SELECT updated_at FROM authsync.sync_runs WHERE state IN ('running', 'waiting')`).Scan(&since))
			return !since.Before(from)
		})
	}

	b.work(t, b.mirrors, 0)
	b.start(t)
	run := b.eventually(t, func(r syncrun.Run) bool { return r.Read == 10 && r.WaitReason != nil })
	clock.pass(59 * time.Minute)
	refused()
	require.Empty(t, stuck())
	clock.pass(2 * time.Minute)
	refused()
	found := stuck()
	require.Len(t, found, 1)
	require.Equal(t, watch.SyncRunStuck, found[0].Kind)
	require.Contains(t, found[0].Detail, "the backfill of clerk in project shop has made no progress since "+watch.Moment(run.ProgressedAt)+": ")

	mu.Lock()
	limited = false
	mu.Unlock()
	b.ends(t, syncrun.Done)
	require.Empty(t, stuck())
}

// A process that lacks the key of an integration says so, and uses nothing up: another process may have it.
func TestARunWaitsForAProcessWithTheKey(t *testing.T) {
	t.Parallel()
	b := setup(t, 30, 10)
	b.start(t)
	b.account.lock(func() { b.account.openErr = seal.ErrUnknownKey })
	b.work(t, b.mirrors, 0)
	waittest.Until(t, func() bool { return b.account.timesOpened() > 2 })
	run := b.eventually(t, func(r syncrun.Run) bool { return r.WaitReason != nil })
	require.Regexp(t, `^process \S+ lacks the key that sealed the credentials: add it to its AUTHSYNC_ENCRYPTION_KEY`, *run.WaitReason)
	require.Equal(t, "0", one(t, b.control, `SELECT consecutive_failures::text FROM authsync.sync_runs`))
	b.account.lock(func() { b.account.openErr = nil })
	b.ends(t, syncrun.Done)
}
