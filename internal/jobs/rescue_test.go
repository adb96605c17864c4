package jobs_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// args are those of a job that does what the test says.
type args struct {
	N int `json:"n"`
}

func (args) Kind() string { return "try" }

type worker struct {
	river.WorkerDefaults[args]

	work func(ctx context.Context, job *river.Job[args]) error
}

// Timeout: however slow the machine is, a run ends when the test says so.
func (w *worker) Timeout(*river.Job[args]) time.Duration { return -1 }

func (w *worker) Work(ctx context.Context, job *river.Job[args]) error { return w.work(ctx, job) }

// process is a client with a pool of its own, as a process has it.
type process struct {
	*jobs.Client

	pool *pgxpool.Pool
}

func start(t *testing.T, control *pgxpool.Pool, work func(ctx context.Context, job *river.Job[args]) error) *process {
	t.Helper()
	pool, err := pgdb.Open(t.Context(), pgtest.URL(t, control), pgdb.Options{MaxConns: 6, ApplicationName: t.Name()})
	require.NoError(t, err)
	client, err := jobs.New(jobs.Config{
		Pool: pool, Log: slog.New(slog.DiscardHandler),
		Workers: []jobs.Register{func(workers *river.Workers, queues map[string]river.QueueConfig) {
			river.AddWorker(workers, &worker{work: work})
			queues[river.QueueDefault] = river.QueueConfig{MaxWorkers: 10}
		}},
	})
	require.NoError(t, err)
	require.NoError(t, client.Start(context.Background()))
	p := &process{Client: client, pool: pool}
	t.Cleanup(func() {
		require.NoError(t, client.StopAndCancel(context.Background()))
		pool.Close()
	})
	return p
}

// orphan makes a job that a client runs which holds no lock, if there is one of that name at all.
func orphan(t *testing.T, control *pgxpool.Pool, client string, rescues int) (id int64) {
	t.Helper()
	require.NoError(t, control.QueryRow(t.Context(), `
		INSERT INTO authsync.river_job (kind, state, attempt, max_attempts, attempted_at, attempted_by, args, metadata)
		VALUES ('try', 'running', 1, 25, now(), ARRAY[$1], '{}', jsonb_build_object('rescues', $2::integer))
		RETURNING id`, client, rescues).Scan(&id))
	return id
}

func one(t *testing.T, pool *pgxpool.Pool, query string, args ...any) (text string) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&text))
	return text
}

func becomes(t *testing.T, pool *pgxpool.Pool, want, query string, args ...any) {
	t.Helper()
	waittest.Until(t, func() bool { return one(t, pool, query, args...) == want },
		"%s does not become %s", query, want)
}

func TestJobsOfADeadClientRunAtOnce(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	ran := make(chan *river.Job[args], 10)
	start(t, control, func(_ context.Context, job *river.Job[args]) error { ran <- job; return nil })
	id := orphan(t, control, "dead", 0)
	begun := time.Now()
	select {
	case job := <-ran:
		require.Equal(t, id, job.ID)
		require.Equal(t, 1, job.Attempt, "the death of a worker costs no attempt")
		t.Logf("taken over within %s", time.Since(begun).Round(10*time.Millisecond))
	case <-time.After(waittest.Bound):
		require.Fail(t, "the job is not rescued")
	}
	becomes(t, control, "completed dead", `SELECT state::text || ' ' || (metadata ->> 'rescued_from') FROM authsync.river_job WHERE id = $1`, id)
}

func TestAClientBringsForwardWhatAWrongClockPutOff(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	inserted, err := jobstest.Client(t, control).Insert(t.Context(), args{}, &river.InsertOpts{ScheduledAt: time.Now().Add(24 * time.Hour)})
	require.NoError(t, err)
	start(t, control, func(context.Context, *river.Job[args]) error { return nil })
	becomes(t, control, "true", `SELECT (scheduled_at < now() + interval '11 minutes')::text FROM authsync.river_job WHERE id = $1`, inserted.Job.ID)
}

func TestAJobThatItsClientWorksStays(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	began, end := make(chan struct{}, 10), make(chan struct{})
	p := start(t, control, func(ctx context.Context, _ *river.Job[args]) error {
		began <- struct{}{}
		select {
		case <-end:
		case <-ctx.Done():
		}
		return nil
	})
	_, err := p.Insert(t.Context(), args{}, nil)
	require.NoError(t, err)
	waittest.Receive(t, began)
	start(t, control, func(context.Context, *river.Job[args]) error { return nil }) // later, or it might take the job
	first := orphan(t, control, "dead", 0)                                          // by which is seen that sweeps took place
	becomes(t, control, "1", `SELECT coalesce(metadata ->> 'rescues', '0') FROM authsync.river_job WHERE id = $1`, first)
	second := orphan(t, control, "dead too", 0)
	becomes(t, control, "1", `SELECT coalesce(metadata ->> 'rescues', '0') FROM authsync.river_job WHERE id = $1`, second)
	close(end)
	becomes(t, control, "0", `SELECT count(*)::text FROM authsync.river_job WHERE state NOT IN ('completed')`)
	require.Equal(t, "0", one(t, control, `SELECT count(*)::text FROM authsync.river_job WHERE metadata ? 'rescues' AND id <> ALL ($1)`,
		[]int64{first, second}))
}

// A worker that was cut off from the control database does not record how its job ended.
func TestAJobThatItsClientForgotRunsAgain(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	p := start(t, control, func(context.Context, *river.Job[args]) error { return nil })
	id := orphan(t, control, p.ID(), 0)
	becomes(t, control, "completed", `SELECT state::text FROM authsync.river_job WHERE id = $1`, id)
	require.Equal(t, "1", one(t, control, `SELECT metadata ->> 'rescues' FROM authsync.river_job WHERE id = $1`, id))
}

func TestAClientThatLostItsConnectionTakesItsLockAgain(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	p := start(t, control, func(context.Context, *river.Job[args]) error { return nil })
	const held = `SELECT (NOT pg_try_advisory_xact_lock_shared(authsync.client_lock_key($1)))::text`
	require.Equal(t, "true", one(t, control, held, p.ID()))
	_, err := control.Exec(t.Context(), `
		SELECT pg_terminate_backend(a.pid) FROM pg_stat_activity AS a WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()`)
	require.NoError(t, err)
	becomes(t, control, "true", held, p.ID())
}

// The first holder of a job goes on while another one has it: it was stopped, or cut off.
func TestAnOldHolderDoesNotEndTheJobOfANewOne(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	type running struct {
		job *river.Job[args]
		end chan error
	}
	works := make(chan running, 10)
	work := func(ctx context.Context, job *river.Job[args]) error {
		r := running{job, make(chan error)}
		works <- r
		select {
		case err := <-r.end:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p, other := start(t, control, work), start(t, control, work)
	processes := map[string]*process{p.ID(): p, other.ID(): other}
	inserted, err := p.Insert(t.Context(), args{}, nil)
	require.NoError(t, err)
	id := inserted.Job.ID
	holder := func(job *river.Job[args]) string { return job.AttemptedBy[len(job.AttemptedBy)-1] }
	first := <-works
	for name, end := range map[string]error{
		"by completing it": nil, "by a snooze": river.JobSnooze(time.Hour), "by cancelling it": river.JobCancel(context.Canceled),
		"by failing": context.Canceled,
	} {
		// As one does that finds it running for too long.
		_, err = control.Exec(t.Context(), `SELECT authsync.rescue_jobs('another', '{}', '{}', '0', '30 seconds', NULL)`)
		require.NoError(t, err)
		var second running
		waittest.Until(t, func() bool {
			jobstest.Retry(t, control, args{}.Kind()) // it waits, because it has outlived several workers
			select {
			case second = <-works:
				return true
			default:
				return false
			}
		})
		require.Equal(t, id, second.job.ID)
		require.NotEqual(t, holder(first.job), holder(second.job), "not the process in which it is at work already")
		first.end <- end
		waittest.Until(t, func() bool { return !processes[holder(first.job)].Holds(id) }) // the end of the first run is recorded
		require.Equal(t, "running", one(t, control, `SELECT state::text FROM authsync.river_job WHERE id = $1`, id), name)
		first = second
	}
	first.end <- nil
	becomes(t, control, "completed", `SELECT state::text FROM authsync.river_job WHERE id = $1`, id)
}

func TestRescueJobs(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	insert := func(state, client, attempted, metadata string) (id int64) {
		require.NoError(t, control.QueryRow(t.Context(), `
			INSERT INTO authsync.river_job (kind, state, attempt, max_attempts, attempted_at, attempted_by, args, metadata)
			VALUES ('try', $1::text::authsync.river_job_state, 3, 25, now() + $3::text::interval, ARRAY['earlier', $2], '{}', $4)
			RETURNING id`, state, client, attempted, metadata).Scan(&id))
		return id
	}
	state := func(id int64) (text string) {
		require.NoError(t, control.QueryRow(t.Context(), `
			SELECT concat_ws(' ', state, attempt, CASE WHEN scheduled_at > clock_timestamp() + interval '500 milliseconds' THEN 'later' END)
			FROM authsync.river_job WHERE id = $1`, id).Scan(&text))
		return text
	}
	rescue := func(suspects, atWork string) (rescued int64, next []string) {
		require.NoError(t, control.QueryRow(t.Context(),
			`SELECT rescued, suspects FROM authsync.rescue_jobs('me', $2::text::bigint[], $1::text::text[], '45 seconds', '30 seconds', NULL)`,
			suspects, atWork).Scan(&rescued, &next))
		return rescued, next
	}
	cases := []struct {
		name, client, attempted, metadata, want string
	}{
		{"of a dead client", "dead", "-1 second", "{}", "available 2"},
		{"of a dead client, cancelled meanwhile", "dead", "-1 second", `{"cancel_attempted_at": "2026-01-01T00:00:00Z"}`, "cancelled 2"},
		{"of a client that seems dead for the first time", "fresh", "-1 second", "{}", "running 3"},
		{"of a client that lives", "alive", "-40 seconds", "{}", "running 3"},
		{"of a client that lives, for too long", "alive", "-46 seconds", "{}", "available 2"},
		{"of a client that lives, from a time to come", "alive", "1 day", "{}", "available 2"},
		{"mine, and forgotten", "me", "-3 seconds", "{}", "available 2"},
		{"mine, and just fetched", "me", "-1 second", "{}", "running 3"},
		{"of a dead client, after two others", "dead", "-1 second", `{"rescues": 2}`, "available 2 later"},
		{"of a dead client, after many others", "dead", "-1 second", `{"rescues": 2000}`, "available 2 later"},
	}
	ids := make([]int64, len(cases))
	for i, c := range cases {
		ids[i] = insert("running", c.client, c.attempted, c.metadata)
	}
	waiting := insert("available", "dead", "-1 day", "{}")
	alive, err := control.Acquire(t.Context())
	require.NoError(t, err)
	t.Cleanup(alive.Release)
	_, err = alive.Exec(t.Context(), `SELECT pg_advisory_lock(authsync.client_lock_key('alive'))`)
	require.NoError(t, err)

	rescued, next := rescue("{dead,gone}", "{}")
	require.ElementsMatch(t, []string{"dead", "fresh"}, next)
	require.Equal(t, int64(7), rescued)
	for i, c := range cases {
		require.Equal(t, c.want, state(ids[i]), c.name)
	}
	require.Equal(t, "available 3", state(waiting), "a job that does not run")
	rescued, _ = rescue("{dead,fresh}", "{}")
	require.Equal(t, int64(1), rescued)
}

func TestLeasesGoWithTheirJobs(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	lease := func(by string, job int64, taken string) (id string) {
		return one(t, control, `
			WITH p AS (
				INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('p' || md5(random()::text), '') RETURNING id
			), d AS (
				INSERT INTO authsync.destinations (project_id, name, type, secrets_sealed)
				SELECT p.id, 'd', 'webhook', '' FROM p RETURNING id
			)
			INSERT INTO authsync.destination_progress (destination_id, cursor, lease, leased_by, leased_job, leased_until)
			SELECT d.id, 0, gen_random_uuid(), $1, $2, now() + interval '30 seconds' + $3::text::interval FROM d
			RETURNING destination_id::text`, by, job, taken)
	}
	cases := map[string]struct {
		id   string
		free string
	}{
		"of a dead client":                     {lease("dead", 1, "-1 second"), "true"},
		"of a client that seems dead for once": {lease("fresh", 2, "-1 second"), "false"},
		"mine, of a job at work":               {lease("me", 3, "-10 seconds"), "false"},
		"mine, of a job that ended":            {lease("me", 4, "-10 seconds"), "true"},
		"mine, just taken":                     {lease("me", 5, "-1 second"), "false"},
	}
	_, err := control.Exec(t.Context(), `SELECT authsync.rescue_jobs('me', '{3}', '{dead}', '45 seconds', '30 seconds', NULL)`)
	require.NoError(t, err)
	for name, c := range cases {
		require.Equal(t, c.free, one(t, control, `SELECT (lease IS NULL)::text FROM authsync.destination_progress WHERE destination_id = $1::text::uuid`, c.id), name)
	}
}
