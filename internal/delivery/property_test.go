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

	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/rapidtest"
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
	rapidtest.InParts(t, orderUnderFailures)
}

func orderUnderFailures(t *testing.T) {
	t.Helper()
	b := deliverytest.New(t)
	rapid.Check(t, func(drawn *rapid.T) {
		rt := rapidtest.Loud(t, drawn)
		states := rapid.Bool().Draw(rt.T, "states")
		odds := rapid.SampledFrom([]int{4, 10, 100}).Draw(rt.T, "odds")
		s := &deliverytest.Sink{Can: destination.Capabilities{
			States: states, Batch: rapid.IntRange(1, 5).Draw(rt.T, "batch"), Parallel: rapid.IntRange(1, 6).Draw(rt.T, "parallel"),
		}}
		s.Answer = unsteady(odds)
		id := b.AddFrom(t, "sink-"+uuid.NewString()[:8], s, nil, admin.From{})
		var workers []func()
		for range 2 {
			workers = append(workers, start(t, b))
		}
		users := rapid.SliceOfN(rapid.SampledFrom([]string{"u1", "u2", "u3", "u4", "u5"}), 1, 60).Draw(rt.T, "users")
		newest := map[string]int64{}
		for len(users) > 0 {
			n := rapid.IntRange(1, len(users)).Draw(rt.T, "at once")
			b.Change(t, users[:n]...)
			users = users[n:]
			if rapid.IntRange(0, 2).Draw(rt.T, "dies") == 0 {
				victim := rapid.IntRange(0, 1).Draw(rt.T, "victim")
				workers[victim]()
				workers[victim] = start(t, b)
			}
		}
		settle(t, b, rt, id)
		for _, stop := range workers {
			stop()
		}
		var changes, arrivedOnce int
		rows, err := b.Control.Query(t.Context(), `SELECT user_id, change_id FROM authsync.deliveries WHERE destination_id = $1`, id)
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
		for _, m := range s.Messages() {
			if blocked, told := holds[m.RecordID]; states && told && m.Attempt == 1 {
				require.Equal(rt, blocked, string(m.Before), "what differs says nothing to one who holds another row")
			}
			holds[m.RecordID] = string(m.Row)
			if known, ok := seen[m.ID]; ok {
				require.Equal(rt, known, m.ChangeID)
				last[m.RecordID] = m.ChangeID
				continue
			}
			seen[m.ID] = m.ChangeID
			arrivedOnce++
			require.Greater(rt, m.ChangeID, first[m.RecordID], "user %s out of order", m.RecordID)
			first[m.RecordID], last[m.RecordID] = m.ChangeID, m.ChangeID
		}
		if !states {
			require.Equal(rt, changes, arrivedOnce, "there are %s, and arrived have %v", b.States(t, id), s.Got())
		}
		require.Equal(rt, newest, last)
		_, err = b.Control.Exec(t.Context(), `SELECT authsync.remove_destination($1)`, id)
		require.NoError(rt, err)
	})
}

// start starts a worker; what it gives cuts it off in the middle of whatever it does.
func start(t *testing.T, b *deliverytest.Bundle) (kill func()) {
	t.Helper()
	return b.WorkWith(t, b.NewDeliveries(t))
}

// restart kills the only worker, and starts another one. What the dead one had leased is free: that takes half a minute otherwise.
func restart(t *testing.T, b *deliverytest.Bundle, kill func()) (killNext func()) {
	t.Helper()
	kill()
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.destination_progress SET lease = NULL WHERE lease IS NOT NULL`)
	require.NoError(t, err)
	return start(t, b)
}

// settle waits until all is delivered but what is held back, and helps the clock: a killed worker's lease is taken up
// only after a while, and what failed is tried again only then.
func settle(t *testing.T, b *deliverytest.Bundle, rt require.TestingT, id uuid.UUID) {
	t.Helper()
	deadline := time.Now().Add(waittest.Bound)
	for {
		var left int
		require.NoError(rt, b.Control.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM authsync.deliveries WHERE destination_id = $1 AND finished_at IS NULL AND state <> 'held')
			     + (SELECT count(*) FROM authsync.job_requests AS r WHERE r.job_id IS NOT NULL AND r.subject IN ($1::uuid::text, $2::uuid::text))
			     + (`+deliverytest.Relaying+`)`, id, b.ProjectID).Scan(&left))
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			b.LogTables(t)
			require.FailNow(rt, "not all is delivered", "%d left: %s", left, b.States(t, id))
		}
		jobstest.Retry(t, b.Control)
		_, err := b.Control.Exec(t.Context(), `
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
	b := deliverytest.New(t)
	const requests, per = 40, 2 * time.Second
	var mu sync.Mutex
	var at []time.Time
	answer := func(s *deliverytest.Sink) func(context.Context, []destination.Message) []destination.Result {
		return func(ctx context.Context, messages []destination.Message) []destination.Result {
			results := make([]destination.Result, len(messages))
			for i := range results {
				if err := s.Deps.Limiter.Take(ctx, "all"); err != nil {
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
		s := &deliverytest.Sink{Can: destination.Capabilities{
			Parallel: 4, Account: account, Limits: map[string]destination.Limit{"all": {Requests: requests, Per: per}},
		}}
		s.Answer = answer(s)
		ids = append(ids, b.Add(t, fmt.Sprint("sink", i), s))
	}
	b.Work(t)
	b.Work(t)
	users := make([]string, 30)
	for i := range users {
		users[i] = fmt.Sprint("u", i)
	}
	b.Change(t, users...)
	for _, id := range ids {
		b.Eventually(t, id, "delivered 30")
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
