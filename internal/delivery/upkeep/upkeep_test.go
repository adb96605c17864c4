package upkeep_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// rescue runs the job that mends, once.
func rescue(t *testing.T, b *deliverytest.Bundle) {
	t.Helper()
	workers, queues := river.NewWorkers(), map[string]river.QueueConfig{}
	o := b.NewDeliveries(t)
	o.Register(workers, queues)
	client, err := river.NewClient(riverpgxv5.New(b.Control), &river.Config{
		Schema: inbox.RiverSchema, Workers: workers, Queues: map[string]river.QueueConfig{delivery.QueueRelay: queues[delivery.QueueRelay]},
		Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	before := b.One(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'rescue_deliveries' AND state = 'completed'`)
	_, err = b.Control.Exec(t.Context(), `SELECT authsync.rescue_requests(NULL)`) // as each process does each second
	require.NoError(t, err)
	_, err = client.Insert(t.Context(), delivery.RescueArgs{}, nil)
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	waittest.Until(t, func() bool {
		return b.One(t, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'rescue_deliveries' AND state = 'completed'`) != before
	})
	require.NoError(t, client.StopAndCancel(t.Context()))
}

// Whoever deletes jobs in River UI or SQL, half a minute later all is on its way again.
func TestDeletedJobsAreMadeUpFor(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	b.Pause = time.Hour
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", destination.Result{Outcome: destination.Retry, Status: 500, Reason: "it failed"})}
	id := b.Add(t, "sink", s)
	stop := b.Work(t)
	b.Change(t, "bad", "bad")
	b.Eventually(t, id, "blocked 1, retrying 1")
	stop()
	b.Change(t, "good")
	_, err := b.Control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
	require.NoError(t, err)
	b.SetClock(time.Now().Add(2 * time.Hour)) // the time of the attempt has passed
	rescue(t, b)
	b.SetClock(time.Time{})
	s.Set(nil)
	b.Work(t)
	b.Eventually(t, id, "delivered 3")

	// A delivery that somebody deleted leaves those behind it held.
	stop = b.Work(t)
	s.Set(deliverytest.Failing())
	b.Change(t, "u9", "u9")
	b.Eventually(t, id, "blocked 1, delivered 3, retrying 1")
	stop()
	_, err = b.Control.Exec(t.Context(), `DELETE FROM authsync.deliveries WHERE state = 'retrying'`)
	require.NoError(t, err)
	rescue(t, b)
	s.Set(nil)
	b.Eventually(t, id, "delivered 4")
}

// Nobody asks for the relay when a deletion is held no longer.
func TestHeldDeletionIsSentWhenItIsDue(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	id := b.Add(t, "sink", &deliverytest.Sink{})
	b.SetHoldback(t, id, 24*time.Hour)
	b.Work(t)
	b.ApplyRecords(t, record.Ref{Type: record.User, ID: "u1"})
	b.ApplyEvents(t, b.Deletion(record.Ref{Type: record.User, ID: "u1"}))
	b.Wake(t)
	b.Eventually(t, id, "delivered 1, held 1")
	b.Until(t, "2", func() string {
		return b.One(t, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id IS NULL`)
	})
	var at time.Time
	require.NoError(t, b.Control.QueryRow(t.Context(), `
		UPDATE authsync.job_requests SET idle_since = now() + interval '2 days'
		RETURNING (SELECT min(held_from) FROM authsync.deliveries WHERE state = 'held')`).Scan(&at))
	b.SetClock(at.Add(24*time.Hour - time.Microsecond))
	rescue(t, b)
	require.Equal(t, "delivered 1, held 1", b.States(t, id))
	require.Equal(t, "2", b.One(t, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id IS NULL`))
	b.SetClock(at.Add(24 * time.Hour))
	rescue(t, b)
	b.Eventually(t, id, "delivered 2")
}

// A change of which nobody spoke, because the process died in between, is found.
func TestUnspokenChangeIsFound(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "u1")
	b.Eventually(t, id, "delivered 1")
	b.Until(t, "2", func() string {
		return b.One(t, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id IS NULL`)
	})
	b.Apply(t, "u1") // and no request
	rescue(t, b)
	require.Equal(t, "delivered 1", b.States(t, id), "it is looked at only now and then")
	b.SetClock(time.Now().Add(6 * time.Minute))
	rescue(t, b)
	b.Eventually(t, id, "delivered 2")
}

func TestOldDeliveriesAreRemovedButFailedOnesStay(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	s := &deliverytest.Sink{Answer: deliverytest.FailingFor("bad", destination.Result{Outcome: destination.GiveUp, Status: 422, Reason: "refused"})}
	id := b.Add(t, "sink", s)
	b.Work(t)
	b.Change(t, "bad", "good")
	b.Eventually(t, id, "delivered 1, failed 1")
	const both = "delivered 1, failed 1"
	for _, c := range []struct {
		after    time.Duration
		defaults *string // of the server
		project  *int    // days
		want     string
	}{
		{30*24*time.Hour - time.Minute, new("720 hours"), nil, both},
		{1000 * 24 * time.Hour, nil, nil, both},
		{60 * 24 * time.Hour, new("720 hours"), new(61), both},
		{60 * 24 * time.Hour, nil, new(61), both},
		{61*24*time.Hour + time.Minute, nil, new(61), "failed 1"},
	} {
		_, err := b.Control.Exec(t.Context(), `UPDATE authsync.projects SET keep_deliveries = $1`, c.project)
		require.NoError(t, err)
		_, err = b.Control.Exec(t.Context(), `SELECT authsync.prune_deliveries($1, $2::text::interval, 100)`, time.Now().Add(c.after), c.defaults)
		require.NoError(t, err)
		require.Equal(t, c.want, b.States(t, id))
	}
}
