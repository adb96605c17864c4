package sender_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// Five users' failures, with no success between them, open the breaker; then one probe at a time is let through,
// which costs no attempt, and a success closes it.
func TestBreakerOpensProbesAndCloses(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour // no retry comes by itself
	begun := time.Now().UTC().Truncate(time.Microsecond)
	b.SetClock(begun)
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	b.Work(t)
	users := []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"}
	b.Change(t, users...)
	open := func(times int) (until time.Time) {
		b.Until(t, strconv.Itoa(times), func() string { return b.One(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
		require.NoError(t, b.Control.QueryRow(t.Context(), `SELECT breaker_open_until FROM authsync.destination_progress`).Scan(&until))
		return until
	}
	until := open(1)
	require.WithinRange(t, until, begun.Add(25*time.Second), begun.Add(35*time.Second))
	b.Until(t, "true", func() string {
		return b.One(t, `SELECT (wait_reason LIKE 'the destination has failed several times in a row%')::text FROM authsync.destination_health`)
	})
	before := s.Tried()
	require.Less(t, before, 9)

	b.Pause = 20 * time.Millisecond
	for i := range 3 { // each failed probe doubles the wait
		b.SetClock(until.Add(time.Second))
		b.Kick(t)
		waittest.Until(t, func() bool { return s.Tried() == before+1+i }, "one probe")
		next := open(i + 2)
		wait := next.Sub(b.Now())
		require.InEpsilon(t, float64(int(30)<<(i+1)), wait.Seconds(), 0.3)
		until = next
	}
	require.Equal(t, "1", b.One(t, `SELECT max(attempts)::text FROM authsync.deliveries`), "a failed probe costs no attempt")

	b.SetClock(until.Add(time.Second))
	s.Set(nil)
	b.Kick(t)
	b.Eventually(t, id, "delivered 8")
	require.Equal(t, "0 0", b.One(t, `SELECT concat_ws(' ', consecutive_failures, breaker_trips, breaker_open_until) FROM authsync.destination_progress`))
}

// A batch is one request: when it fails the service has failed once, however many were in it.
func TestBatchThatFailsIsOneFailure(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.Failing(), Can: destination.Capabilities{Batch: 20}}
	id := b.Add(t, "sink", s)
	users := make([]string, 20)
	for i := range users {
		users[i] = "u" + strconv.Itoa(i)
	}
	require.NoError(t, b.Admin.Pause(t.Context(), id, admin.ByUser, delivery.StatePaused, ""))
	b.Work(t)
	b.Change(t, users...)
	b.Eventually(t, id, "ready 20")
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Eventually(t, id, "retrying 20")
	require.Equal(t, "1", b.One(t, `SELECT concat_ws(' ', consecutive_failures, breaker_open_until) FROM authsync.destination_progress`))
}

func TestDestinationThatOnlyFailsIsDisabled(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	begun := time.Now()
	b.SetClock(begun)
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Until(t, "true", func() string {
		return b.One(t, `SELECT (failing_since IS NOT NULL)::text FROM authsync.destination_progress`)
	})
	b.SetClock(begun.Add(5*24*time.Hour + time.Minute))
	b.Change(t, "u2")
	waittest.Until(t, func() bool {
		b.Kick(t)
		return b.One(t, `SELECT state FROM authsync.destinations`) == "disabled"
	})
	require.Contains(t, b.One(t, `SELECT state_reason FROM authsync.destinations`), "Every attempt has failed since")

	s.Set(nil)
	b.Change(t, "u3")
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	b.Until(t, "delivered 3", func() string { // one that was being sent waits for a time of the test's clock
		b.Kick(t)
		return b.States(t, id)
	})
}

// A run whose breaker has opened waits for what it has sent. Who resumes the destination
// meanwhile need not wait until that run would have come back.
func TestResumeCountsWhileARunEnds(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	goOn := make(chan struct{})
	s := &deliverytest.Sink{Can: destination.Capabilities{Parallel: 2}}
	s.Set(func(ctx context.Context, messages []destination.Message) []destination.Result {
		if messages[0].RecordID == "slow" {
			<-goOn
			return s.Results(1)
		}
		return deliverytest.Failing()(ctx, messages)
	})
	id := b.Add(t, "sink", s)
	_, err := b.Control.Exec(t.Context(), `UPDATE authsync.destination_progress SET breaker_trips = 3`) // the next time is minutes long
	require.NoError(t, err)
	b.Work(t)
	b.Change(t, "slow", "u1", "u2", "u3", "u4", "u5")
	b.Until(t, "4", func() string { return b.One(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	s.Set(nil)
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	close(goOn)
	b.Eventually(t, id, "delivered 6")
}

// The breaker that a process opened whose clock was a day ahead is not open for a day.
func TestABreakerOfAWrongClockIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	b.SetClock(now.Add(24 * time.Hour))
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	stop := b.Work(t)
	b.Change(t, "u1", "u2", "u3", "u4", "u5")
	b.Until(t, "1", func() string { return b.One(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	stop()
	b.SetClock(now)
	s.Set(nil)
	b.Change(t, "u6")
	b.Work(t)
	b.Until(t, "", func() string {
		b.Kick(t)
		return b.One(t, `SELECT coalesce(breaker_open_until::text, '') FROM authsync.destination_progress WHERE destination_id = $1`, id)
	})
}

// A probe that is taken when the time slice of the run is used up is returned, so that the next run probes at once.
func TestAProbeThatIsNotSentIsReturned(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.SetClock(time.Now().UTC().Truncate(time.Microsecond))
	s := &deliverytest.Sink{Answer: deliverytest.Failing()}
	id := b.Add(t, "sink", s)
	stop := b.Work(t)
	b.Change(t, "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8")
	b.Until(t, "1", func() string { return b.One(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	stop()

	b.SetClock(b.Now().Add(time.Hour))
	tried := s.Tried()
	b.Slice = time.Nanosecond
	stop = b.Work(t)
	b.Until(t, "true", func() string {
		b.Kick(t)
		return b.One(t, `SELECT (breaker_open_until = $1)::text FROM authsync.destination_progress`, b.Now())
	})
	stop()
	require.Equal(t, tried, s.Tried(), "no run had the time to send")

	b.Slice = time.Minute
	s.Set(nil)
	b.Work(t)
	b.Kick(t)
	b.Eventually(t, id, "delivered 8")
}
