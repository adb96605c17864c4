package delivery_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// unsteady is a destination of which each message may fail a few times, by a draw that
// depends on nothing but chance.
func unsteady(odds int) func(context.Context, []destination.Message) []destination.Result {
	return func(ctx context.Context, messages []destination.Message) []destination.Result {
		results := make([]destination.Result, len(messages))
		for i := range results {
			switch rand.N(odds) {
			case 0:
				results[i] = destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it is unsteady"}
			case 1:
				results[i] = destination.Result{Outcome: destination.Deferred, After: time.Millisecond, Reason: "not now"}
			case 2:
				if ctx.Err() == nil && rand.N(3) == 0 {
					<-time.After(time.Duration(rand.N(20)) * time.Millisecond)
				}
			}
		}
		return results
	}
}

// Whatever fails, and whichever worker dies when: every change arrives, no message comes
// under two ids, and for each user the first arrivals are in the order of the changes. With states,
// the last message of each user is the newest state, and each says from which row it
// differs: the one that is held there, unless more than that may have arrived.
func TestOrderUnderFailuresAndDyingWorkers(t *testing.T) {
	t.Parallel()
	b := setup(t)
	rapid.Check(t, func(rt *rapid.T) {
		states := rapid.Bool().Draw(rt, "states")
		odds := rapid.SampledFrom([]int{4, 10, 100}).Draw(rt, "odds")
		s := &sink{traits: destination.Capabilities{
			States: states, Batch: rapid.IntRange(1, 5).Draw(rt, "batch"), Parallel: rapid.IntRange(1, 6).Draw(rt, "parallel"),
		}}
		s.answer = unsteady(odds)
		id := b.addFrom(t, "sink-"+uuid.NewString()[:8], s, nil, delivery.From{})
		var workers []func()
		for range 2 {
			workers = append(workers, b.start(t))
		}
		users := rapid.SliceOfN(rapid.SampledFrom([]string{"u1", "u2", "u3", "u4", "u5"}), 1, 60).Draw(rt, "users")
		newest := map[string]int64{}
		for len(users) > 0 {
			n := rapid.IntRange(1, len(users)).Draw(rt, "at once")
			b.change(t, users[:n]...)
			users = users[n:]
			if rapid.IntRange(0, 2).Draw(rt, "dies") == 0 {
				victim := rapid.IntRange(0, 1).Draw(rt, "victim")
				workers[victim]()
				workers[victim] = b.start(t)
			}
		}
		b.settle(t, rt, id)
		for _, stop := range workers {
			stop()
		}
		var changes, arrivedOnce int
		rows, err := b.control.Query(t.Context(), `SELECT user_id, change_id FROM authsync.deliveries WHERE destination_id = $1`, id)
		require.NoError(rt, err)
		var user string
		var change int64
		_, err = pgx.ForEachRow(rows, []any{&user, &change}, func() error {
			changes++
			newest[user] = max(newest[user], change)
			return nil
		})
		require.NoError(rt, err)
		first, last, holds := map[string]int64{}, map[string]int64{}, map[string]string{}
		seen := map[string]int64{}
		for _, m := range s.messages() {
			if blocked, told := holds[m.UserID]; states && told && m.Attempt == 1 {
				require.Equal(rt, blocked, string(m.Before), "what differs says nothing to one who holds another row")
			}
			holds[m.UserID] = string(m.User)
			if known, ok := seen[m.ID]; ok {
				require.Equal(rt, known, m.ChangeID)
				last[m.UserID] = m.ChangeID
				continue
			}
			seen[m.ID] = m.ChangeID
			arrivedOnce++
			require.Greater(rt, m.ChangeID, first[m.UserID], "user %s out of order", m.UserID)
			first[m.UserID], last[m.UserID] = m.ChangeID, m.ChangeID
		}
		if !states {
			require.Equal(rt, changes, arrivedOnce)
		}
		require.Equal(rt, newest, last)
		_, err = b.control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
		require.NoError(rt, err)
	})
}

// start starts a worker; what it gives cuts it off in the middle of whatever it does.
func (b *testBundle) start(t *testing.T) (kill func()) {
	t.Helper()
	return b.workWith(t, b.newOutbox(t))
}

// settle waits until all is delivered, and helps the clock: a killed worker's lease is taken up
// only after a while, and what failed is tried again only then.
func (b *testBundle) settle(t *testing.T, rt *rapid.T, id uuid.UUID) {
	t.Helper()
	deadline := time.Now().Add(waittest.Bound)
	for {
		var left int
		require.NoError(rt, b.control.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM authsync.deliveries WHERE destination_id = $1 AND finished_at IS NULL)
			     + (SELECT count(*) FROM authsync.job_requests AS r WHERE r.job_id IS NOT NULL AND r.subject IN ($1::uuid::text, $2::uuid::text))`, id, b.projectID).Scan(&left))
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.logTables(t)
			require.FailNow(rt, "not all is delivered", "%d left: %s", left, b.states(t, id))
		}
		jobstest.Retry(t, b.control)
		_, err := b.control.Exec(t.Context(), `
			UPDATE authsync.destination_progress SET breaker_open_until = CASE WHEN breaker_open_until IS NOT NULL THEN now() END,
				lease = CASE WHEN leased_until < now() + interval '27 seconds' THEN NULL ELSE lease END
			WHERE breaker_open_until > now() OR leased_until < now() + interval '27 seconds'`)
		require.NoError(rt, err)
		<-time.After(20 * time.Millisecond)
	}
}

// Four workers in two pools never exceed the limit in any window, as the other side counts.
func TestRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const requests, per = 40, 2 * time.Second
	var mu sync.Mutex
	var at []time.Time
	answer := func(s *sink) func(context.Context, []destination.Message) []destination.Result {
		return func(ctx context.Context, messages []destination.Message) []destination.Result {
			results := make([]destination.Result, len(messages))
			for i := range results {
				if err := s.deps.Limiter.Take(ctx, "all"); err != nil {
					results[i] = destination.Result{Outcome: destination.Deferred, After: time.Millisecond, Reason: err.Error()}
					continue
				}
				mu.Lock()
				at = append(at, time.Now())
				mu.Unlock()
			}
			return results
		}
	}
	account := uuid.NewString()
	var ids []uuid.UUID
	for i := range 4 {
		s := &sink{traits: destination.Capabilities{
			Parallel: 4, Account: account, Limits: map[string]destination.Limit{"all": {Requests: requests, Per: per}},
		}}
		s.answer = answer(s)
		ids = append(ids, b.add(t, fmt.Sprint("sink", i), s))
	}
	b.work(t)
	b.work(t)
	users := make([]string, 30)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.change(t, users...)
	for _, id := range ids {
		b.eventually(t, id, "delivered 30")
	}
	require.Len(t, at, 120)
	for i := range at {
		n := 0
		for j := i; j < len(at) && at[j].Sub(at[i]) < per; j++ {
			n++
		}
		require.LessOrEqual(t, n, requests, "in the window that begins with request %d", i)
	}
	t.Logf("120 requests in %s; the limit is %d in %s", at[len(at)-1].Sub(at[0]), requests, per)
}
