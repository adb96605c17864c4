package inbox_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// partitions lists the days that have partitions, with the number of deliveries in each.
func partitions(t *testing.T, pool *pgxpool.Pool) map[string]int64 {
	t.Helper()
	rows, err := pool.Query(t.Context(), `SELECT coalesce(day::text, 'default'), inbox_partition::text FROM authsync.inbox_days WHERE day IS NULL OR outcomes_partition IS NOT NULL`)
	require.NoError(t, err)
	days := make(map[string]int64)
	tables := make(map[string]string)
	var day, table string
	_, err = pgx.ForEachRow(rows, []any{&day, &table}, func() error { tables[day] = table; return nil })
	require.NoError(t, err)
	for day, table := range tables {
		days[day] = value[int64](t, pool, `SELECT count(*) FROM `+table)
	}
	return days
}

func at(day string) func(*inbox.Message) {
	return func(d *inbox.Message) { d.ReceivedAt, _ = time.Parse("2006-01-02 15:04:05.999999", day) }
}

func TestMaintainMakesTheComingDays(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	want := map[string]int64{
		"default": 0, "2026-08-14": 0, "2026-08-15": 0, "2026-08-16": 0, "2026-08-17": 0,
		"2026-08-18": 0, "2026-08-19": 0, "2026-08-20": 0, "2026-08-21": 0,
	}
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, time.Hour, now()))
	require.Equal(t, want, partitions(t, pool))
	niue := time.FixedZone("Niue", -11*60*60) // where it is the 13th still
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, time.Hour, now().In(niue)))
	require.Equal(t, want, partitions(t, pool), "a second time")

	in := newInbox(t, pool, inbox.Config{})
	o := stored(t, in)
	record(t, pool, in, o)
	require.Equal(t, int64(1), partitions(t, pool)["2026-08-14"])
	require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.event_outcomes_default`))
	require.Zero(t, value[int64](t, pool, `
		SELECT count(*) FROM pg_class WHERE relnamespace = 'authsync'::regnamespace AND relkind IN ('r', 'p', 'v')
			AND relname ~ '^(inbox|event)' AND obj_description(oid) IS NULL`), "tables without comment")
}

func TestDaysAreThoseOfUTCWhateverTheSessionSays(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	for _, zone := range []string{"Pacific/Kiritimati", "Pacific/Niue"} { // 14 hours ahead, 11 behind
		exec(t, pool, `SELECT set_config('timezone', $1, true), authsync.make_inbox_partitions('2026-08-14', 2)`, zone)
	}
	in := newInbox(t, pool, inbox.Config{})
	stored(t, in, at("2026-08-14 00:00:00"))
	stored(t, in, at("2026-08-14 23:59:59.999999"))
	stored(t, in, at("2026-08-15 00:00:00"))
	require.Equal(t, map[string]int64{"default": 0, "2026-08-14": 2, "2026-08-15": 1}, partitions(t, pool))
}

func TestRowsOfTheDefaultPartitionMoveToTheirDay(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	today := stored(t, in)
	past := stored(t, in, at("2026-07-01 12:00:00"))
	record(t, pool, in, today, past)
	require.Equal(t, map[string]int64{"default": 2}, partitions(t, pool))

	require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now()))
	days := partitions(t, pool)
	require.Zero(t, days["default"])
	require.Equal(t, int64(1), days["2026-08-14"])
	require.Equal(t, int64(1), days["2026-07-01"], "also of days that nobody asked for")
	require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.event_outcomes_default`))
	for _, o := range []inbox.Outcome{today, past} {
		e, err := in.Event(t.Context(), o.InboxID, 0)
		require.NoError(t, err)
		require.Equal(t, inbox.Applied, e.Outcome)
	}
}

// fill puts rows into the default partitions as an outage of the maintenance leaves them.
func fill(t *testing.T, pool *pgxpool.Pool, day string, n int) {
	t.Helper()
	exec(t, pool, `
		WITH stored AS (
			INSERT INTO authsync.inbox (project_id, provider, received_at, headers, body)
			SELECT gen_random_uuid(), 'auth0', $1::text::timestamptz + n * interval '1 second', '{}', '\x7b7d'
			FROM generate_series(1, $2::integer) AS n
			RETURNING id, project_id, received_at
		)
		INSERT INTO authsync.event_outcomes (inbox_id, ordinal, received_at, project_id, outcome)
		SELECT id, 0, received_at, project_id, 'applied' FROM stored`, day, n)
}

// No row of a large default partition moves, so senders are not held for as long as that takes.
func TestLargeDefaultPartitionBecomesThatOfItsDays(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	oid := func(table string) uint32 { return value[uint32](t, pool, `SELECT '`+table+`'::regclass::oid`) }
	for round, days := range [][2]string{{"2026-08-12", "2026-08-13"}, {"2026-08-23", "2026-08-24"}} {
		fill(t, pool, days[0]+" 10:00Z", 1500)
		fill(t, pool, days[1]+" 10:00Z", 1500)
		inboxWas, outcomesWas := oid("authsync.inbox_default"), oid("authsync.event_outcomes_default")
		date, err := time.Parse(time.DateOnly, days[1])
		require.NoError(t, err)
		require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, date))
		suffix := date.Format("20060102")
		require.Equal(t, inboxWas, oid("authsync.inbox_"+suffix), "the very table")
		require.Equal(t, outcomesWas, oid("authsync.event_outcomes_"+suffix))
		found := partitions(t, pool)
		require.Equal(t, int64(3000), found[days[1]])
		require.Zero(t, found["default"])
		require.NotContains(t, found, days[0], "both days are in one")
		require.Contains(t, found, date.Add(24*time.Hour).Format(time.DateOnly), "the coming days have their own")
		require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, date), "a second time")
		require.Equal(t, int64(3000*(round+1)), value[int64](t, pool, `SELECT count(*) FROM authsync.events WHERE outcome = 'applied'`))

		stored(t, in, at(days[0]+" 23:00:00"))
		require.Equal(t, int64(3001), partitions(t, pool)[days[1]], "what comes late finds its place")
		exec(t, pool, `DELETE FROM authsync.inbox WHERE provider <> 'auth0'`)
		exec(t, pool, `DELETE FROM authsync.inbox AS i WHERE NOT EXISTS (SELECT FROM authsync.event_outcomes AS e WHERE e.inbox_id = i.id)`)
	}
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, 24*time.Hour, now().Add(40*24*time.Hour)))
	require.Zero(t, value[int64](t, pool, `SELECT count(*) FROM authsync.inbox`), "retention drops them")
}

func TestRowsOfADayAmongOthersThatHavePartitionsMove(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	exec(t, pool, `SELECT authsync.make_inbox_partitions('2026-08-12', 1)`)
	fill(t, pool, "2026-08-11 10:00Z", 800)
	fill(t, pool, "2026-08-13 10:00Z", 800)
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, 0, now()))
	found := partitions(t, pool)
	require.Zero(t, found["default"])
	require.Equal(t, int64(800), found["2026-08-11"])
	require.Equal(t, int64(800), found["2026-08-13"])
}

// Senders go on while a default partition that holds many rows becomes a partition of days.
func TestSendersGoOnWhileTheDefaultPartitionIsKept(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	fill(t, pool, "2026-08-14 00:00Z", 20_000)
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	var sent atomic.Int64
	faults := make(chan error, 4)
	for range 4 {
		wait.Go(func() {
			for ctx.Err() == nil {
				_, err := in.Append(context.WithoutCancel(ctx), inbox.Message{
					ProjectID: uuid.New(), Provider: "clerk", ReceivedAt: now(), Body: []byte(`{}`),
				})
				if err != nil {
					faults <- err
					return
				}
				sent.Add(1)
			}
		})
	}
	waittest.Until(t, func() bool { return sent.Load() > 0 })
	// A lock that is not to be had at once is tried for again, by the next run.
	waittest.Until(t, func() bool { return inbox.MaintainAt(t.Context(), pool, 0, now()) == nil })
	before := sent.Load()
	waittest.Until(t, func() bool { return sent.Load() > before })
	cancel()
	wait.Wait()
	close(faults)
	for err := range faults {
		require.NoError(t, err)
	}
	require.Equal(t, 20_000+sent.Load(), partitions(t, pool)["2026-08-14"])
}

func TestRetentionDropsFinishedDaysOnly(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	for _, day := range []string{"2026-08-01", "2026-08-02", "2026-08-03", "2026-08-04", "2026-08-05"} {
		exec(t, pool, `SELECT authsync.make_inbox_partitions($1::text::date, 1)`, day)
	}
	finished := stored(t, in, at("2026-08-01 10:00:00"))
	exec(t, pool, `INSERT INTO authsync.projects (id, name, database_url_sealed) VALUES ($1, 'shop', '')`, finished.ProjectID)
	// Finally failed, and pending in a project that is gone: they hold no day.
	forGood := stored(t, in, at("2026-08-01 11:00:00"))
	forGood.Outcome = inbox.Failed
	stored(t, in, at("2026-08-01 12:00:00"), func(d *inbox.Message) { d.ProjectID = uuid.New() })
	record(t, pool, in, finished, forGood)
	failed := stored(t, in, at("2026-08-02 10:00:00"))
	failed.Outcome = inbox.Failed
	exec(t, pool, `INSERT INTO authsync.river_job (kind, state, max_attempts, args)
		VALUES ('retry_event', 'retryable', 25, jsonb_build_object('inbox_id', $1::bigint, 'ordinal', 0))`, failed.InboxID)
	open := stored(t, in, at("2026-08-03 10:00:00"))
	record(t, pool, in, failed, stored(t, in, at("2026-08-03 11:00:00")), stored(t, in, at("2026-08-04 10:00:00")))

	settle(t, pool, open.InboxID)
	require.Equal(t, "1 0", value[string](t, pool, `SELECT waiting || ' ' || failed FROM authsync.inbox_unfinished('20260803', '2026-08-03', '2026-08-04')`))
	require.Equal(t, "0 1", value[string](t, pool, `SELECT waiting || ' ' || failed FROM authsync.inbox_unfinished('20260802', '2026-08-02', '2026-08-03')`))
	require.NoError(t, inbox.PruneAt(t.Context(), pool, 9*24*time.Hour, now()))
	require.Equal(t, map[string]int64{"default": 0, "2026-08-02": 1, "2026-08-03": 2, "2026-08-05": 0}, partitions(t, pool))

	failed.Outcome = inbox.Applied
	record(t, pool, in, failed, open)
	settle(t, pool)
	// Nine days before 2026-08-14 09:30 lies within the 5th, which stays.
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, 9*24*time.Hour, now()))
	days2 := partitions(t, pool)
	require.NotContains(t, days2, "2026-08-02")
	require.NotContains(t, days2, "2026-08-03")
	require.Contains(t, days2, "2026-08-05")
	require.Equal(t, int64(16+4), value[int64](t, pool, `SELECT count(*) FROM pg_inherits
		WHERE inhparent IN ('authsync.inbox'::regclass, 'authsync.event_outcomes'::regclass)`), "both tables: 8 days ahead, the 5th, the default")
}

func TestMaintainAtOnceByManyWhileDeliveriesArrive(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	in := newInbox(t, pool, inbox.Config{})
	exec(t, pool, `SELECT authsync.make_inbox_partitions('2026-08-01', 3)`)

	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	counts := make([]int64, 4)
	for i := range counts {
		wait.Go(func() {
			for ctx.Err() == nil {
				if _, err := in.Append(context.WithoutCancel(ctx), delivery()); err != nil {
					t.Errorf("append: %v", err)
				}
				counts[i]++
			}
		})
	}
	var maintainers sync.WaitGroup
	for range 4 {
		maintainers.Go(func() {
			// Who loses against the others' locks for too long fails and changes nothing.
			if err := inbox.MaintainAt(t.Context(), pool, 24*time.Hour, now()); err != nil && !pgdb.Retryable(err) {
				t.Errorf("maintain: %v", err)
			}
		})
	}
	maintainers.Wait()
	require.NoError(t, inbox.MaintainAt(t.Context(), pool, 24*time.Hour, now()))
	cancel()
	wait.Wait()
	days := partitions(t, pool)
	require.Len(t, days, 9)
	require.Zero(t, days["default"])
	require.Equal(t, counts[0]+counts[1]+counts[2]+counts[3], days["2026-08-14"])
}

func TestMaintainGivesUpRatherThanHoldUpDeliveries(t *testing.T) {
	t.Parallel()
	pool := pgtest.Control(t)
	exec(t, pool, `SELECT authsync.make_inbox_partitions('2026-08-01', 1)`)
	reader, err := pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = reader.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = reader.Exec(t.Context(), `SELECT count(*) FROM authsync.inbox`)
	require.NoError(t, err)

	err = inbox.PruneAt(t.Context(), pool, 24*time.Hour, now())
	require.Equal(t, "55P03", pgdb.Code(err))
	require.Contains(t, partitions(t, pool), "2026-08-01")
}
