package delivery_test

import (
	"context"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// Five users' failures, with no success between them, open the breaker; then one probe at a time is let through,
// which costs no attempt, and a success closes it.
func TestBreakerOpensProbesAndCloses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour // no retry comes by itself
	begun := time.Now().UTC().Truncate(time.Microsecond)
	b.setClock(begun)
	s := &sink{answer: failing()}
	id := b.add(t, "sink", s)
	b.work(t)
	users := []string{"u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8"}
	b.change(t, users...)
	open := func(times int) (until time.Time) {
		b.until(t, strconv.Itoa(times), func() string { return b.one(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
		require.NoError(t, b.control.QueryRow(t.Context(), `SELECT breaker_open_until FROM authsync.destination_progress`).Scan(&until))
		return until
	}
	until := open(1)
	require.WithinRange(t, until, begun.Add(25*time.Second), begun.Add(35*time.Second))
	b.until(t, "true", func() string {
		return b.one(t, `SELECT (wait_reason LIKE 'the destination has failed several times in a row%')::text FROM authsync.destination_health`)
	})
	before := s.tried()
	require.Less(t, before, 9)

	b.pause = 20 * time.Millisecond
	for i := range 3 { // each failed probe doubles the wait
		b.setClock(until.Add(time.Second))
		b.kick(t)
		waittest.Until(t, func() bool { return s.tried() == before+1+i }, "one probe")
		next := open(i + 2)
		wait := next.Sub(b.now())
		require.InEpsilon(t, float64(int(30)<<(i+1)), wait.Seconds(), 0.3)
		until = next
	}
	require.Equal(t, "1", b.one(t, `SELECT max(attempts)::text FROM authsync.deliveries`), "a failed probe costs no attempt")

	b.setClock(until.Add(time.Second))
	s.set(nil)
	b.kick(t)
	b.eventually(t, id, "delivered 8")
	require.Equal(t, "0 0", b.one(t, `SELECT concat_ws(' ', consecutive_failures, breaker_trips, breaker_open_until) FROM authsync.destination_progress`))
}

// A batch is one request: when it fails the service has failed once, however many were in it.
func TestBatchThatFailsIsOneFailure(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	s := &sink{answer: failing(), traits: destination.Capabilities{Batch: 20}}
	id := b.add(t, "sink", s)
	users := make([]string, 20)
	for i := range users {
		users[i] = "u" + strconv.Itoa(i)
	}
	require.NoError(t, b.outbox.Pause(t.Context(), id, delivery.ByUser, delivery.StatePaused, ""))
	b.work(t)
	b.change(t, users...)
	b.eventually(t, id, "ready 20")
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.eventually(t, id, "retrying 20")
	require.Equal(t, "1", b.one(t, `SELECT concat_ws(' ', consecutive_failures, breaker_open_until) FROM authsync.destination_progress`))
}

// kick has jobs run that wait for a time of the real clock, where the test has another.
func (b *testBundle) kick(t *testing.T) {
	t.Helper()
	jobstest.Retry(t, b.control, jobs.Deliver, delivery.RetryArgs{}.Kind())
}

func TestDestinationThatOnlyFailsIsDisabled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	begun := time.Now()
	b.setClock(begun)
	s := &sink{answer: failing()}
	id := b.add(t, "sink", s)
	b.work(t)
	b.change(t, "u1")
	b.until(t, "true", func() string {
		return b.one(t, `SELECT (failing_since IS NOT NULL)::text FROM authsync.destination_progress`)
	})
	b.setClock(begun.Add(5*24*time.Hour + time.Minute))
	b.change(t, "u2")
	waittest.Until(t, func() bool {
		b.kick(t)
		return b.one(t, `SELECT state FROM authsync.destinations`) == "disabled"
	})
	require.Contains(t, b.one(t, `SELECT state_reason FROM authsync.destinations`), "Every attempt has failed since")

	s.set(nil)
	b.change(t, "u3")
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	b.until(t, "delivered 3", func() string { // one that was being sent waits for a time of the test's clock
		b.kick(t)
		return b.states(t, id)
	})
}

// A run whose breaker has opened waits for what it has sent. Who resumes the destination
// meanwhile need not wait until that run would have come back.
func TestResumeCountsWhileARunEnds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	goOn := make(chan struct{})
	s := &sink{traits: destination.Capabilities{Parallel: 2}}
	s.set(func(ctx context.Context, messages []destination.Message) []destination.Result {
		if messages[0].UserID == "slow" {
			<-goOn
			return s.results(1)
		}
		return failing()(ctx, messages)
	})
	id := b.add(t, "sink", s)
	_, err := b.control.Exec(t.Context(), `UPDATE authsync.destination_progress SET breaker_trips = 3`) // the next time is minutes long
	require.NoError(t, err)
	b.work(t)
	b.change(t, "slow", "u1", "u2", "u3", "u4", "u5")
	b.until(t, "4", func() string { return b.one(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	s.set(nil)
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	close(goOn)
	b.eventually(t, id, "delivered 6")
}

// A probe that is taken when the time slice of the run is used up is returned, so that the next run probes at once.
func TestAProbeThatIsNotSentIsReturned(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.setClock(time.Now().UTC().Truncate(time.Microsecond))
	s := &sink{answer: failing()}
	id := b.add(t, "sink", s)
	stop := b.work(t)
	b.change(t, "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8")
	b.until(t, "1", func() string { return b.one(t, `SELECT breaker_trips::text FROM authsync.destination_progress`) })
	stop()

	b.setClock(b.now().Add(time.Hour))
	tried := s.tried()
	b.slice = time.Nanosecond
	stop = b.work(t)
	b.until(t, "true", func() string {
		b.kick(t)
		return b.one(t, `SELECT (breaker_open_until = $1)::text FROM authsync.destination_progress`, b.now())
	})
	stop()
	require.Equal(t, tried, s.tried(), "no run had the time to send")

	b.slice = time.Minute
	s.set(nil)
	b.work(t)
	b.kick(t)
	b.eventually(t, id, "delivered 8")
}
