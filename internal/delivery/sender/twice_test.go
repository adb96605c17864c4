package sender_test

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// door holds back the messages of the user "slow", and knows how many of them are on their way.
type door struct {
	deliverytest.Sink

	first  destination.Result // of the slow user, which is not held back
	open   chan struct{}
	inside chan struct{} // one for each that is held back

	mu       sync.Mutex
	begun    int
	inFlight int
	most     int
}

func newDoor(first destination.Result) *door {
	d := &door{first: first, open: make(chan struct{}), inside: make(chan struct{}, 10)}
	d.Can = destination.Capabilities{Parallel: 4}
	d.Set(d.pass)
	return d
}

func (d *door) pass(ctx context.Context, messages []destination.Message) []destination.Result {
	if messages[0].RecordID != "slow" {
		return d.Results(1)
	}
	d.mu.Lock()
	d.begun++
	d.inFlight++
	d.most = max(d.most, d.inFlight)
	held := d.begun > 1 || d.first.Outcome == destination.Delivered
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inFlight--
	}()
	if !held {
		return []destination.Result{d.first}
	}
	d.inside <- struct{}{}
	select {
	case <-d.open:
		return d.Results(1)
	case <-ctx.Done():
		return []destination.Result{{Outcome: destination.Retry, Reason: "stopped"}}
	}
}

// wait waits until a message of the slow user is held back.
func (d *door) wait(t *testing.T) {
	t.Helper()
	waittest.Receive(t, d.inside, "nothing is sent")
}

// mustHaveSent fails unless the slow user's message was sent so often, and never twice at once.
func (d *door) mustHaveSent(t *testing.T, times int) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	require.Equal(t, 1, d.most, "at once")
	require.Equal(t, times, d.begun)
}

func deliveryOf(t *testing.T, b *deliverytest.Bundle, user string) int64 {
	t.Helper()
	id, err := strconv.ParseInt(b.Of(t, user, "id"), 10, 64)
	require.NoError(t, err)
	return id
}

// failed is tried again after as long as the test says; see deliverytest.Bundle.pause.
func failed() destination.Result {
	return destination.Result{Outcome: destination.Retry, Status: 500, After: time.Hour, Reason: "it failed"}
}

// passes has a change of somebody else go all the way, so that whatever could be sent was looked at.
func passes(t *testing.T, b *deliverytest.Bundle, user string) {
	t.Helper()
	b.Change(t, user)
	b.Until(t, "delivered", func() string { return b.Of(t, user, "state") })
}

// What its own job is sending is not sent by the destination's as well, whatever a person asks for.
func TestWhatIsBeingSentIsNotSentTwiceAtOnce(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(t *testing.T, b *deliverytest.Bundle, d *door, deliveryID int64){
		"Retry": func(t *testing.T, b *deliverytest.Bundle, _ *door, deliveryID int64) {
			t.Helper()
			err := b.Admin.Retry(t.Context(), b.ProjectID, deliveryID)
			require.True(t, fault.Is(err, fault.WrongState), err)
			require.ErrorContains(t, err, "it is being sent right now")
		},
		"CancelAndRetry": func(t *testing.T, b *deliverytest.Bundle, d *door, deliveryID int64) {
			t.Helper()
			require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, deliveryID))
			err := b.Admin.Retry(t.Context(), b.ProjectID, deliveryID)
			require.True(t, fault.Is(err, fault.WrongState), err)
			require.ErrorContains(t, err, "it is being sent right now")
			require.Equal(t, "cancelled", b.Of(t, "slow", "state"))
			passes(t, b, "other")
			close(d.open)
			b.Until(t, "completed", func() string {
				return b.One(t, `SELECT state::text FROM authsync.river_job WHERE kind = 'retry_delivery'`)
			})
			d.mustHaveSent(t, 2)
			require.NoError(t, b.Admin.Retry(t.Context(), b.ProjectID, deliveryID), "now it can be sent again")
			b.Until(t, "delivered", func() string { return b.Of(t, "slow", "state") })
			d.mustHaveSent(t, 3)
		},
		"CancelAndReplay": func(t *testing.T, b *deliverytest.Bundle, _ *door, deliveryID int64) {
			t.Helper()
			id := b.One(t, `SELECT id::text FROM authsync.destinations`)
			require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, deliveryID))
			done, err := b.Admin.Replay(t.Context(), b.ProjectID, uuid.MustParse(id), admin.Replay{UserID: "slow"})
			require.NoError(t, err)
			require.Equal(t, admin.Replayed{Matched: 1}, done)
		},
		"Resume": func(t *testing.T, b *deliverytest.Bundle, _ *door, _ int64) {
			t.Helper()
			require.NoError(t, b.Admin.Resume(t.Context(), uuid.MustParse(b.One(t, `SELECT id::text FROM authsync.destinations`))))
			require.Equal(t, "retrying", b.Of(t, "slow", "state"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			d := newDoor(failed())
			b.Add(t, "sink", &d.Sink)
			b.Work(t)
			b.Change(t, "slow")
			d.wait(t)
			act(t, b, d, deliveryOf(t, b, "slow"))
			if name == "CancelAndRetry" {
				return
			}
			passes(t, b, "other")
			close(d.open)
			b.Until(t, "completed", func() string {
				return b.One(t, `SELECT state::text FROM authsync.river_job WHERE kind = 'retry_delivery'`)
			})
			d.mustHaveSent(t, 2)
		})
	}
}

// The destination's job has it in flight: cancelled and retried, it is still the same attempt.
func TestWhatARunHasInHandIsNotTakenAgain(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Slice = time.Minute
	d := newDoor(destination.Result{})
	b.Add(t, "sink", &d.Sink)
	b.Work(t)
	b.Change(t, "slow")
	d.wait(t)
	deliveryID := deliveryOf(t, b, "slow")
	require.NoError(t, b.Admin.Cancel(t.Context(), b.ProjectID, deliveryID))
	require.NoError(t, b.Admin.Retry(t.Context(), b.ProjectID, deliveryID))
	require.Equal(t, "ready", b.Of(t, "slow", "state"))
	passes(t, b, "other")
	close(d.open)
	b.Until(t, "delivered 1", func() string { return b.Of(t, "slow", "state, attempts") })
	d.mustHaveSent(t, 1)
}

// Those that only wait go with the others when the destination is resumed.
func TestResumeTakesBackWhatWaits(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	d := newDoor(failed())
	id := b.Add(t, "sink", &d.Sink)
	b.Work(t)
	b.Change(t, "slow")
	b.Until(t, "retrying", func() string { return b.Of(t, "slow", "state") })
	require.NoError(t, b.Admin.Resume(t.Context(), id))
	d.wait(t)
	close(d.open)
	b.Eventually(t, id, "delivered 1")
}

// A process died while it sent, and somebody resumed the destination: what was left alone goes on when
// River finds that its job is dead, and if there were no attempts left for that, when it is mended.
func TestWhatADeadProcessWasSendingGoesOn(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(testing.TB, *pgxpool.Pool, *rivertype.JobRow){
		"Rescued":   func(testing.TB, *pgxpool.Pool, *rivertype.JobRow) {},
		"Discarded": jobstest.Discard,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := deliverytest.New(t)
			b.Pause = time.Hour
			s := &deliverytest.Sink{Answer: deliverytest.Always(failed())}
			id := b.Add(t, "sink", s)
			stop := b.Work(t)
			b.Change(t, "u1")
			b.Eventually(t, id, "retrying 1")
			stop()
			s.Set(nil)
			require.Equal(t, 1, jobstest.Retry(t, b.Control, delivery.RetryArgs{}.Kind()))
			job := jobstest.Fetch(t, b.Control, "dead", delivery.QueueRetry)
			require.NotNil(t, job)
			b.SetClock(time.Now().Add(2 * time.Hour)) // its time has passed
			require.NoError(t, b.Admin.Resume(t.Context(), id))
			require.Equal(t, "retrying 1", b.States(t, id))
			end(t, b.Control, job)
			b.Work(t)
			b.Until(t, "delivered 1", func() string {
				_, err := b.Control.Exec(t.Context(), `SELECT authsync.rescue_deliveries($1, $2)`, id, b.Now()) // as it is each half minute
				require.NoError(t, err)
				return b.States(t, id)
			})
		})
	}
}

// Also if the one that is taken up again is the earlier of the two.
func TestOnlyOneOfAUserIsUnderWay(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := deliverytest.Backlog(t, b.Control, b.ProjectID, "one")
	states := func() string {
		return b.One(t, `SELECT string_agg(state, ', ' ORDER BY change_id) FROM authsync.deliveries WHERE destination_id = $1 AND user_id = 'user-1'`, id)
	}
	deliver := func() {
		_, err := b.Control.Exec(t.Context(), deliverytest.RecordCall, id, false, "delivered", 1)
		require.NoError(t, err)
	}
	require.Equal(t, "ready, blocked, blocked, blocked, blocked", states())
	deliver()
	require.Equal(t, "delivered, ready, blocked, blocked, blocked", states())
	_, err := b.Control.Exec(t.Context(), `
		SELECT authsync.requeue_deliveries($1, ARRAY(SELECT id FROM authsync.deliveries WHERE destination_id = $1 AND state = 'delivered'))`, id)
	require.NoError(t, err)
	require.Equal(t, "blocked, ready, blocked, blocked, blocked", states())
	_, err = b.Control.Exec(t.Context(), `
		SELECT authsync.cancel_delivery(project_id, id, now()) FROM authsync.deliveries WHERE destination_id = $1 AND user_id = 'user-1' AND state = 'ready'`, id)
	require.NoError(t, err)
	require.Equal(t, "ready, cancelled, blocked, blocked, blocked", states(), "the earliest comes next")
}
