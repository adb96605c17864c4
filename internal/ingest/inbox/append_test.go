package inbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestAppendedDeliveryComesBackAsItWas(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	d := delivery(func(d *inbox.Message) {
		d.Provider, d.MessageID, d.VerifiedBy = "clerk", "msg_1", "svix 3fa2"
		d.ReceivedAt = now().Add(-time.Second).Add(789 * time.Nanosecond)
		d.Body = []byte("{\"b\":1,\"a\":\"\\u0000\"} \xff\x00")
	})
	id, err := in.Append(t.Context(), d)
	require.NoError(t, err)

	at := now().Add(-time.Second)
	got, err := in.Load(t.Context(), d.ProjectID, []int64{id}, at, at)
	require.NoError(t, err)
	require.Len(t, got, 1)
	require.Equal(t, "clerk", got[0].Provider)
	require.Equal(t, id, got[0].InboxID)
	require.Equal(t, "msg_1", got[0].MessageID)
	require.Equal(t, "svix 3fa2", got[0].VerifiedBy)
	require.Equal(t, at, got[0].ReceivedAt)
	require.Equal(t, d.Headers, got[0].Headers)
	require.Equal(t, d.Body, got[0].Body)

	other, err := in.Load(t.Context(), uuid.New(), []int64{id}, at, at)
	require.NoError(t, err)
	require.Empty(t, other, "another project's delivery")
	late, err := in.Load(t.Context(), d.ProjectID, []int64{id}, at.Add(time.Microsecond), at.Add(time.Hour))
	require.NoError(t, err)
	require.Empty(t, late, "a delivery of another time")
}

func TestSecretUsesAreThoseOfTheNewestMessages(t *testing.T) {
	t.Parallel()
	in := newInbox(t, pgtest.Control(t), inbox.Config{})
	d := delivery()
	send := func(verifiedBy string, at time.Time) {
		_, err := in.Append(t.Context(), delivery(func(m *inbox.Message) { m.ProjectID, m.VerifiedBy, m.ReceivedAt = d.ProjectID, verifiedBy, at }))
		require.NoError(t, err)
	}
	send("svix 00000001", now())
	send("svix 00000002", now().Add(time.Second))
	send("svix 00000002", now().Add(2*time.Second))
	send("", now().Add(3*time.Second))
	uses, err := in.SecretUses(t.Context(), d.ProjectID, d.Provider)
	require.NoError(t, err)
	require.Equal(t, []inbox.SecretUse{
		{Name: "00000002", Messages: 2, LastUsedAt: now().Add(2 * time.Second)}, {Name: "00000001", Messages: 1, LastUsedAt: now()},
	}, uses)
	none, err := in.SecretUses(t.Context(), d.ProjectID, "clerk")
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestAppendTakesWhateverAHeaderCanHold(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	d := delivery(func(d *inbox.Message) {
		d.MessageID = "a\x00b\xffc"
		d.Headers = map[string]string{"User-Agent": "x\x00\xff\"\n"}
		d.Body = nil
	})
	id, err := in.Append(t.Context(), d)
	require.NoError(t, err)
	got, err := in.Body(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "a\uFFFDb\uFFFDc", got.MessageID)
	require.Equal(t, map[string]string{"User-Agent": "x\uFFFD\uFFFD\"\n"}, got.Headers)
	require.Empty(t, got.Body)
	require.Equal(t, now(), got.ReceivedAt, "the inbox's clock, where the delivery says nothing")
}

// hold keeps the inbox from committing until release is called.
func hold(t *testing.T, pool *pgxpool.Pool) (release func()) {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `LOCK TABLE authsync.inbox IN SHARE ROW EXCLUSIVE MODE`)
	require.NoError(t, err)
	return sync.OnceFunc(func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) })
}

// occupy holds the inbox and hands in a delivery, which is then in flight and
// gets on only after release.
func occupy(t *testing.T, pool *pgxpool.Pool, in *inbox.Inbox) (first <-chan error, release func()) {
	t.Helper()
	release = hold(t, pool)
	result := make(chan error, 1)
	go func() { _, err := in.Append(context.WithoutCancel(t.Context()), delivery()); result <- err }()
	waittest.Until(t, func() bool {
		return value[bool](t, pool, `SELECT EXISTS (
			SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database())`)
	})
	return result, release
}

// waiting reads the gauge of deliveries that wait.
func waiting(t *testing.T, registry *prometheus.Registry) func() int {
	t.Helper()
	return func() int {
		families, err := registry.Gather()
		require.NoError(t, err)
		for _, f := range families {
			if f.GetName() == "authsync_inbox_waiting_messages" {
				return int(f.GetMetric()[0].GetGauge().GetValue())
			}
		}
		return -1
	}
}

func TestDeliveriesThatWaitTogetherShareACommitAndAJobEachProject(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	registry := prometheus.NewRegistry()
	in := newInbox(t, pool, inbox.Config{CommitsInFlight: 1, Registry: registry})
	first, release := occupy(t, pool, in)
	defer release()

	projects := []uuid.UUID{uuid.New(), uuid.New()}
	ids := make([]int64, 60)
	var wait sync.WaitGroup
	for i := range ids {
		wait.Go(func() {
			id, err := in.Append(t.Context(), delivery(func(d *inbox.Message) {
				d.ProjectID = projects[i%2]
				d.ReceivedAt = now().Add(time.Duration(i) * time.Second)
			}))
			if err != nil {
				t.Errorf("append: %v", err)
			}
			ids[i] = id
		})
	}
	waittest.Until(t, func() bool { return waiting(t, registry)() == 60 })
	release()
	wait.Wait()
	require.NoError(t, <-first)

	require.Equal(t, int64(2), value[int64](t, pool, `SELECT count(DISTINCT xmin::text) FROM authsync.inbox`), "commits")
	require.Equal(t, int64(3), value[int64](t, pool, `SELECT count(*) FROM authsync.river_job`), "one job a project, of which the first had one by the first commit")
	require.Equal(t, int64(3), value[int64](t, pool, `SELECT count(*) FROM authsync.inbox_pending`), "one row a project and commit")
	require.Zero(t, value[int64](t, pool, `
		SELECT count(*) FROM authsync.inbox AS i
		WHERE 1 <> (
			SELECT count(*) FROM authsync.inbox_pending AS p
			WHERE p.xmin::text = i.xmin::text AND p.project_id = i.project_id AND i.id = ANY (p.inbox_ids)
				AND i.received_at BETWEEN p.received_from AND p.received_to
		)`), "deliveries of which not exactly one row of the same transaction says that they wait")
	require.Equal(t, int64(61), value[int64](t, pool, `SELECT sum(messages)::bigint FROM authsync.inbox_pending`))
	require.Equal(t, value[int64](t, pool, `SELECT sum(octet_length(body))::bigint FROM authsync.inbox`),
		value[int64](t, pool, `SELECT sum(bytes)::bigint FROM authsync.inbox_pending`))
	for i, id := range ids {
		require.Equal(t, projects[i%2], value[uuid.UUID](t, pool, `SELECT project_id FROM authsync.inbox WHERE id = $1`, id))
		require.Equal(t, now().Add(time.Duration(i)*time.Second),
			value[time.Time](t, pool, `SELECT received_at FROM authsync.inbox WHERE id = $1`, id).UTC(), "the id is that of the caller's own delivery")
	}
}

func TestAppendedDeliveryIsVisibleToOthers(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	for range 20 {
		id, err := in.Append(t.Context(), delivery())
		require.NoError(t, err)
		require.Equal(t, int64(1), value[int64](t, pool, `SELECT count(*) FROM authsync.inbox WHERE id = $1`, id))
	}
}

func TestDeliveryThatPostgreSQLRefusesDoesNotHurtItsNeighbours(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	exec(t, pool, `ALTER TABLE authsync.inbox ADD CONSTRAINT refused CHECK (message_id <> 'poison')`)
	registry := prometheus.NewRegistry()
	in := newInbox(t, pool, inbox.Config{CommitsInFlight: 1, Registry: registry})
	first, release := occupy(t, pool, in)
	defer release()

	errs := make([]error, 10)
	var wait sync.WaitGroup
	for i := range errs {
		wait.Go(func() {
			_, errs[i] = in.Append(t.Context(), delivery(func(d *inbox.Message) {
				d.MessageID = fmt.Sprintf("msg_%d", i)
				if i == 5 {
					d.MessageID = "poison"
				}
			}))
		})
	}
	waittest.Until(t, func() bool { return waiting(t, registry)() == 10 })
	release()
	wait.Wait()
	require.NoError(t, <-first)
	for i, err := range errs {
		if i == 5 {
			require.Equal(t, "23514", pgdb.Code(err))
			continue
		}
		require.NoError(t, err)
	}
	require.Equal(t, int64(10), value[int64](t, pool, `SELECT count(*) FROM authsync.inbox`))
}

func TestHangingDatabaseIsAnErrorInTime(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{CommitTimeout: 200 * time.Millisecond})
	release := hold(t, pool)
	defer release()
	_, err := in.Append(t.Context(), delivery())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, pgdb.Unavailable(err))

	release()
	waittest.Until(t, func() bool {
		_, err := in.Append(t.Context(), delivery())
		return err == nil
	}, "once it answers again")
}

func TestFullInboxRefusesAtOnce(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]inbox.Config{
		"ByCount": {MaxWaiting: 3},
		"ByBytes": {MaxWaitingBytes: 3 * len(delivery().Body)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := pgtest.Control(t)
			config.CommitsInFlight = 1
			in := newInbox(t, pool, config)
			first, release := occupy(t, pool, in)
			defer release()

			results := make(chan error, 5)
			for range 5 {
				go func() { _, err := in.Append(t.Context(), delivery()); results <- err }()
			}
			require.ErrorIs(t, <-results, inbox.ErrFull)
			require.ErrorIs(t, <-results, inbox.ErrFull)
			release()
			for range 3 {
				require.NoError(t, <-results)
			}
			require.NoError(t, <-first)
		})
	}
}

func TestCallerWhoLeavesBeforeTheCommitLeavesNothing(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	registry := prometheus.NewRegistry()
	in := newInbox(t, pool, inbox.Config{CommitsInFlight: 1, Registry: registry})
	first, release := occupy(t, pool, in)
	defer release()
	results := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := in.Append(ctx, delivery(func(d *inbox.Message) { d.MessageID = "left" }))
		results <- err
	}()
	waittest.Until(t, func() bool { return waiting(t, registry)() == 1 })
	cancel()
	require.ErrorIs(t, <-results, context.Canceled)
	release()
	require.NoError(t, <-first)
	require.NoError(t, in.Close(t.Context()))
	require.Equal(t, int64(1), value[int64](t, pool, `SELECT count(*) FROM authsync.inbox`))
	_, err := in.Append(t.Context(), delivery())
	require.Error(t, err, "after Close")
}

// The server breaks connections at any moment, also between a commit and its
// confirmation: whatever was acknowledged is there, with its job.
func TestBrokenConnectionsLoseNothingAcknowledged(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	var mu sync.Mutex
	var acknowledged []int64
	var failures int
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for ctx.Err() == nil {
				id, err := in.Append(context.WithoutCancel(ctx), delivery())
				mu.Lock()
				if err == nil {
					acknowledged = append(acknowledged, id)
				} else {
					failures++
				}
				mu.Unlock()
			}
		})
	}
	killer, err := pgx.Connect(t.Context(), pgtest.URL(t, pool))
	require.NoError(t, err)
	progress := func() (stored, failed int) {
		mu.Lock()
		defer mu.Unlock()
		return len(acknowledged), failures
	}
	// Some are stored between two kills: on a slow machine nothing else would be done but connecting.
	for stored, failed := 0, 0; stored < 500 || failed < 50; {
		waittest.Until(t, func() bool {
			now, _ := progress()
			return now >= stored+4
		})
		stored, failed = progress()
		_, err := killer.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid <> pg_backend_pid() AND (query LIKE '%INSERT%' OR query ILIKE 'commit')`)
		require.NoError(t, err)
	}
	cancel()
	wait.Wait()
	require.NoError(t, killer.Close(t.Context()))
	pool.Reset() // its idle connections were killed as well

	slices.Sort(acknowledged)
	require.Equal(t, acknowledged, slices.Compact(slices.Clone(acknowledged)))
	require.Zero(t, value[int64](t, pool, `
		SELECT count(*) FROM unnest($1::bigint[]) AS a (id)
		WHERE NOT EXISTS (SELECT FROM authsync.inbox AS i WHERE i.id = a.id)
			OR NOT EXISTS (SELECT FROM authsync.inbox_pending AS p WHERE a.id = ANY (p.inbox_ids))`, acknowledged),
		"acknowledged deliveries without row, or that do not wait")
	require.Zero(t, value[int64](t, pool, `
		SELECT count(*) FROM authsync.inbox AS i
		WHERE NOT EXISTS (SELECT FROM authsync.inbox_pending AS p WHERE i.id = ANY (p.inbox_ids))`), "stored deliveries that do not wait")
	require.Zero(t, value[int64](t, pool, `
		SELECT count(DISTINCT p.project_id) - count(DISTINCT j.id)
		FROM authsync.inbox_pending AS p
		LEFT JOIN authsync.job_requests AS r ON r.kind = 'apply_inbox' AND r.subject = p.project_id::text
		LEFT JOIN authsync.river_job AS j ON j.id = r.job_id`), "projects without a job")
}

func TestErrorsOfAppendHoldNothingOfTheDelivery(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	exec(t, pool, `ALTER TABLE authsync.inbox ADD CONSTRAINT refused CHECK (octet_length(body) < 10)`)
	in := newInbox(t, pool, inbox.Config{})
	_, err := in.Append(t.Context(), delivery(func(d *inbox.Message) { d.Body = []byte(`{"email":"rosa@example.org"}`) }))
	require.Error(t, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		require.NotContains(t, e.Error(), "rosa")
	}
}

// Every delivery that made a job is followed by a notification that began after its commit.
func TestWorkersAreWokenAfterEveryCommitThatMakesAJob(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	listener, err := pgx.Connect(t.Context(), pgtest.URL(t, pool))
	require.NoError(t, err)
	defer listener.Close(context.WithoutCancel(t.Context()))
	_, err = listener.Exec(t.Context(), `LISTEN "authsync.river_insert"`)
	require.NoError(t, err)

	ctx := waittest.Context(t)
	for range 50 {
		_, err := in.Append(t.Context(), delivery())
		require.NoError(t, err)
		for open := true; open; { // until one comes that sees no job untouched
			notification, err := listener.WaitForNotification(ctx)
			require.NoError(t, err)
			require.JSONEq(t, `{"queue": "default"}`, notification.Payload)
			open = value[int64](t, pool, `SELECT count(*) FROM authsync.river_job WHERE state = 'available'`) == 0
		}
		finishJobs(t, pool)
	}
}

func TestRiverTakesTheJobsAsItsOwn(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	_, err := in.Append(t.Context(), delivery())
	require.NoError(t, err)
	require.NoError(t, pgdb.InTx(t.Context(), pool, func(tx pgx.Tx) error {
		_, err := newJobs(t).InsertTx(t.Context(), tx, inbox.ApplyInboxArgs{}, &river.InsertOpts{MaxAttempts: 30_000})
		return err
	}))
	require.Equal(t, int64(1), value[int64](t, pool, `
		SELECT count(*) FROM (
			SELECT DISTINCT to_jsonb(j) - '{id,args,created_at,scheduled_at}'::text[] FROM authsync.river_job AS j
		) AS kinds`), "differences to a job that River inserted")
	var args inbox.ApplyInboxArgs
	require.NoError(t, pool.QueryRow(t.Context(), `SELECT args FROM authsync.river_job WHERE id = 1`).Scan(&args))
	require.Equal(t, delivery().ProjectID, args.ProjectID)
}
