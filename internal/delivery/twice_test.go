package delivery_test

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
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// door holds back the messages of the user "slow", and knows how many of them are on their way.
type door struct {
	sink

	first  destination.Result // of the slow user, which is not held back
	open   chan struct{}
	inside chan struct{} // one for each that is held back

	mu     sync.Mutex
	begun  int
	inHand int
	most   int
}

func newDoor(first destination.Result) *door {
	d := &door{first: first, open: make(chan struct{}), inside: make(chan struct{}, 10)}
	d.traits = destination.Capabilities{Parallel: 4}
	d.set(d.pass)
	return d
}

func (d *door) pass(ctx context.Context, messages []destination.Message) []destination.Result {
	if messages[0].UserID != "slow" {
		return d.results(1)
	}
	d.mu.Lock()
	d.begun++
	d.inHand++
	d.most = max(d.most, d.inHand)
	held := d.begun > 1 || d.first.Outcome == destination.Delivered
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.inHand--
	}()
	if !held {
		return []destination.Result{d.first}
	}
	d.inside <- struct{}{}
	select {
	case <-d.open:
		return d.results(1)
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

func (b *testBundle) deliveryOf(t *testing.T, user string) int64 {
	t.Helper()
	id, err := strconv.ParseInt(b.of(t, user, "id"), 10, 64)
	require.NoError(t, err)
	return id
}

// failed is tried again after as long as the test says; see testBundle.pause.
func failed() destination.Result {
	return destination.Result{Outcome: destination.Retry, Status: 500, After: time.Hour, Reason: "it failed"}
}

// passes has a change of somebody else go all the way, so that whatever could be sent was looked at.
func (b *testBundle) passes(t *testing.T, user string) {
	t.Helper()
	b.change(t, user)
	b.until(t, "delivered", func() string { return b.of(t, user, "state") })
}

// What its own job is sending is not sent by the destination's as well, whatever a person asks for.
func TestWhatIsBeingSentIsNotSentTwiceAtOnce(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(t *testing.T, b *testBundle, d *door, deliveryID int64){
		"Retry": func(t *testing.T, b *testBundle, _ *door, deliveryID int64) {
			t.Helper()
			err := b.outbox.Retry(t.Context(), b.projectID, deliveryID)
			require.True(t, fault.Is(err, fault.WrongState), err)
			require.ErrorContains(t, err, "it is being sent right now")
		},
		"CancelAndRetry": func(t *testing.T, b *testBundle, d *door, deliveryID int64) {
			t.Helper()
			require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, deliveryID))
			err := b.outbox.Retry(t.Context(), b.projectID, deliveryID)
			require.True(t, fault.Is(err, fault.WrongState), err)
			require.ErrorContains(t, err, "it is being sent right now")
			require.Equal(t, "cancelled", b.of(t, "slow", "state"))
			b.passes(t, "other")
			close(d.open)
			b.until(t, "completed", func() string {
				return b.one(t, `SELECT state::text FROM authsync.river_job WHERE kind = 'retry_delivery'`)
			})
			d.mustHaveSent(t, 2)
			require.NoError(t, b.outbox.Retry(t.Context(), b.projectID, deliveryID), "now it can be sent again")
			b.until(t, "delivered", func() string { return b.of(t, "slow", "state") })
			d.mustHaveSent(t, 3)
		},
		"CancelAndReplay": func(t *testing.T, b *testBundle, _ *door, deliveryID int64) {
			t.Helper()
			id := b.one(t, `SELECT id::text FROM authsync.destinations`)
			require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, deliveryID))
			done, err := b.outbox.Replay(t.Context(), b.projectID, uuid.MustParse(id), delivery.Replay{UserID: "slow"})
			require.NoError(t, err)
			require.Equal(t, delivery.Replayed{Matched: 1}, done)
		},
		"Resume": func(t *testing.T, b *testBundle, _ *door, _ int64) {
			t.Helper()
			require.NoError(t, b.outbox.Resume(t.Context(), uuid.MustParse(b.one(t, `SELECT id::text FROM authsync.destinations`))))
			require.Equal(t, "retrying", b.of(t, "slow", "state"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			d := newDoor(failed())
			b.add(t, "sink", &d.sink)
			b.work(t)
			b.change(t, "slow")
			d.wait(t)
			act(t, b, d, b.deliveryOf(t, "slow"))
			if name == "CancelAndRetry" {
				return
			}
			b.passes(t, "other")
			close(d.open)
			b.until(t, "completed", func() string {
				return b.one(t, `SELECT state::text FROM authsync.river_job WHERE kind = 'retry_delivery'`)
			})
			d.mustHaveSent(t, 2)
		})
	}
}

// The destination's job has it in hand: cancelled and taken up again, it is the same sending still.
func TestWhatARunHasInHandIsNotTakenAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.slice = time.Minute
	d := newDoor(destination.Result{})
	b.add(t, "sink", &d.sink)
	b.work(t)
	b.change(t, "slow")
	d.wait(t)
	deliveryID := b.deliveryOf(t, "slow")
	require.NoError(t, b.outbox.Cancel(t.Context(), b.projectID, deliveryID))
	require.NoError(t, b.outbox.Retry(t.Context(), b.projectID, deliveryID))
	require.Equal(t, "ready", b.of(t, "slow", "state"))
	b.passes(t, "other")
	close(d.open)
	b.until(t, "delivered 1", func() string { return b.of(t, "slow", "state, attempts") })
	d.mustHaveSent(t, 1)
}

// Those that only wait go with the others when the destination is resumed.
func TestResumeTakesBackWhatWaits(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.pause = time.Hour
	d := newDoor(failed())
	id := b.add(t, "sink", &d.sink)
	b.work(t)
	b.change(t, "slow")
	b.until(t, "retrying", func() string { return b.of(t, "slow", "state") })
	require.NoError(t, b.outbox.Resume(t.Context(), id))
	d.wait(t)
	close(d.open)
	b.eventually(t, id, "delivered 1")
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
			b := setup(t)
			b.pause = time.Hour
			s := &sink{answer: always(failed())}
			id := b.add(t, "sink", s)
			stop := b.work(t)
			b.change(t, "u1")
			b.eventually(t, id, "retrying 1")
			stop()
			s.set(nil)
			require.Equal(t, 1, jobstest.Retry(t, b.control, delivery.RetryArgs{}.Kind()))
			job := jobstest.Fetch(t, b.control, "dead", delivery.QueueRetry)
			require.NotNil(t, job)
			b.setClock(time.Now().Add(2 * time.Hour)) // its time has passed
			require.NoError(t, b.outbox.Resume(t.Context(), id))
			require.Equal(t, "retrying 1", b.states(t, id))
			end(t, b.control, job)
			b.work(t)
			b.until(t, "delivered 1", func() string {
				_, err := b.control.Exec(t.Context(), `SELECT authsync.rescue_deliveries($1, $2)`, id, b.now()) // as it is each half minute
				require.NoError(t, err)
				return b.states(t, id)
			})
		})
	}
}
