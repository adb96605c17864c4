package jobs_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const (
	requestJob = `SELECT authsync.request_job('apply_inbox', $1, jsonb_build_object('project_id', $1::text))::text`
	makeWork   = `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		VALUES ($1::text::uuid, '{1}', 1, now(), now())`
	jobOf = `SELECT coalesce(job_id, 0)::text FROM authsync.job_requests WHERE subject = $1`
)

// fetch makes the job of the subject run, which is the only one.
func fetch(t *testing.T, control *pgxpool.Pool, subject string) *rivertype.JobRow {
	t.Helper()
	job := jobstest.Fetch(t, control, "me", river.QueueDefault)
	require.NotNil(t, job)
	require.Equal(t, one(t, control, jobOf, subject), strconv.FormatInt(job.ID, 10))
	return job
}

const finish = `
	SELECT authsync.finish_if_idle('apply_inbox', $1, j.id, j.attempted_at, now(), true)
	FROM authsync.river_job AS j
	WHERE j.id = $2::text::bigint`

func TestOneJobForManyRequests(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			_, err := control.Exec(t.Context(), requestJob, subject)
			return err
		})
	}
	require.NoError(t, group.Wait())
	require.Equal(t, "1", one(t, control, `SELECT count(*)::text FROM authsync.river_job`))
}

// Requesters of a subject that has a job neither wait for one another nor write its row.
func TestRequestersDoNotQueue(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	require.Equal(t, "true", one(t, control, requestJob, subject))
	const row = `SELECT xmin::text || ' ' || ctid::text FROM authsync.job_requests WHERE subject = $1`
	before := one(t, control, row, subject)
	for range 5 { // all open at once
		tx, err := control.Begin(t.Context())
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, tx.Rollback(context.Background())) })
		_, err = tx.Exec(t.Context(), `SET LOCAL lock_timeout = '1ms'`)
		require.NoError(t, err)
		var made string
		require.NoError(t, tx.QueryRow(t.Context(), requestJob, subject).Scan(&made))
		require.Equal(t, "false", made)
	}
	require.Equal(t, before, one(t, control, row, subject))
}

func TestAJobEndsOnlyIfThereIsNothingToDo(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	one(t, control, requestJob, subject)
	id := one(t, control, jobOf, subject)
	require.Equal(t, "lost", one(t, control, `SELECT authsync.finish_if_idle('apply_inbox', $1, $2::text::bigint, now(), now(), true)`, subject, id),
		"it does not run")
	fetch(t, control, subject)

	// A requester was faster, and has not committed.
	tx, err := control.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), makeWork, subject)
	require.NoError(t, err)
	var made string
	require.NoError(t, tx.QueryRow(t.Context(), requestJob, subject).Scan(&made))
	require.Equal(t, "false", made)
	require.Equal(t, "busy", one(t, control, finish, subject, id), "it does not wait for long")
	require.NoError(t, tx.Commit(t.Context()))
	require.Equal(t, "busy", one(t, control, finish, subject, id))

	_, err = control.Exec(t.Context(), `DELETE FROM authsync.inbox_pending`)
	require.NoError(t, err)
	require.Equal(t, "lost", one(t, control, `SELECT authsync.finish_if_idle('apply_inbox', $1, $2::text::bigint, now(), now(), true)`, subject, id),
		"another run has it")
	require.Equal(t, "idle", one(t, control, finish, subject, id))
	require.Equal(t, "0", one(t, control, jobOf, subject))
	require.Equal(t, "completed", one(t, control, `SELECT state::text FROM authsync.river_job`))
	require.Equal(t, "true", one(t, control, requestJob, subject), "the next one")
}

// Requesters hold their locks until their commits. A job with more work asks for none of its own, so neither waits.
func TestAJobWithMoreWorkLocksNothing(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	one(t, control, requestJob, subject)
	id := one(t, control, jobOf, subject)
	fetch(t, control, subject)
	_, err := control.Exec(t.Context(), makeWork, subject)
	require.NoError(t, err)
	tx, err := control.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.Background()) //nolint:errcheck // it has only looked
	var finished string
	require.NoError(t, tx.QueryRow(t.Context(), finish, subject, id).Scan(&finished))
	require.Equal(t, "busy", finished)

	require.Equal(t, id, one(t, control, `SELECT id::text FROM authsync.river_job FOR UPDATE NOWAIT`))
	require.Equal(t, subject, one(t, control, `SELECT subject FROM authsync.job_requests FOR UPDATE NOWAIT`))
}

// A person has a job run again whose subject is idle: there may be work that nobody asked for.
func TestAJobThatIsNotTheSubjectsRequestsOne(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	one(t, control, requestJob, subject)
	old := one(t, control, jobOf, subject)
	fetch(t, control, subject)
	_, err := control.Exec(t.Context(), `UPDATE authsync.job_requests SET job_id = NULL`)
	require.NoError(t, err)
	require.Equal(t, "lost", one(t, control, finish, subject, old))
	require.NotEqual(t, "0", one(t, control, jobOf, subject))
	require.NotEqual(t, old, one(t, control, jobOf, subject))
}

func TestASubjectWhoseJobIsGoneGetsAnother(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	for name, c := range map[string]struct {
		end  func(job *rivertype.JobRow)
		made string
	}{
		"cancelled": {func(job *rivertype.JobRow) {
			_, err := jobstest.Client(t, control).JobCancel(t.Context(), job.ID)
			require.NoError(t, err)
		}, "1"},
		"discarded": {func(job *rivertype.JobRow) { jobstest.Discard(t, control, job) }, "1"},
		"deleted": {func(job *rivertype.JobRow) {
			_, err := control.Exec(t.Context(), `DELETE FROM authsync.river_job WHERE id = $1`, job.ID)
			require.NoError(t, err)
		}, "1"},
		"deferred": {func(job *rivertype.JobRow) { jobstest.Snooze(t, control, job, time.Now().Add(time.Hour), nil) }, "0"},
		"running":  {func(*rivertype.JobRow) {}, "0"},
	} {
		subject := uuid.NewString()
		one(t, control, requestJob, subject)
		job := fetch(t, control, subject)
		if name == "cancelled" { // while it waits; one that runs is told
			jobstest.Snooze(t, control, job, time.Now().Add(time.Hour), nil)
		}
		c.end(job)
		require.Equal(t, c.made, one(t, control, `SELECT authsync.rescue_requests(NULL)::text`), name)
		require.Equal(t, "0", one(t, control, `SELECT authsync.rescue_requests(NULL)::text`), name)
		if c.made == "1" {
			fetch(t, control, subject)
		}
	}
}

// Those who request the job of a busy subject hold its row at all times, one after another.
func TestRequestersDoNotKeepASubjectFromItsJob(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	one(t, control, requestJob, subject)
	require.NoError(t, pgdb.InTx(t.Context(), control, func(tx pgx.Tx) error {
		var made string
		require.NoError(t, tx.QueryRow(t.Context(), requestJob, subject).Scan(&made))
		require.Equal(t, "false", made)
		_, err := control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
		require.NoError(t, err)
		require.Equal(t, "1", one(t, control, `SELECT authsync.rescue_requests(NULL)::text`))
		return nil
	}))
}

// Each process rescues. One that looks while another one has just made the job of a subject makes no second one.
func TestTwoRescuersMakeOneJob(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	const subjects = 30 // more than PL/pgSQL reads ahead, so that the last row is locked after the first job was made
	for range subjects {
		one(t, control, requestJob, uuid.NewString())
	}
	_, err := control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
	require.NoError(t, err)
	other, err := control.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), `LOCK TABLE authsync.river_job IN SHARE MODE`) // nobody else makes a job
	require.NoError(t, err)
	made := make(chan int64, 1)
	go func() {
		defer close(made)
		var n int64
		if err := control.QueryRow(t.Context(), `SELECT authsync.rescue_requests(NULL)`).Scan(&n); err == nil {
			made <- n
		}
	}()
	waittest.Until(t, func() bool {
		return one(t, control, `SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`) == "1"
	})
	var last int64
	require.NoError(t, other.QueryRow(t.Context(), `
		UPDATE authsync.job_requests AS r
		SET job_id = authsync.start_job(r.kind, r.args, false)
		WHERE r.subject = (SELECT max(m.subject) FROM authsync.job_requests AS m)
		RETURNING r.job_id`).Scan(&last))
	require.NoError(t, other.Commit(t.Context()))
	require.EqualValues(t, subjects-1, waittest.Receive(t, made))
	require.Equal(t, strconv.Itoa(subjects), one(t, control, `SELECT count(*)::text FROM authsync.river_job`))
	require.Equal(t, "1", one(t, control, `SELECT count(*)::text FROM authsync.job_requests WHERE job_id = $1`, last))
}

// Somebody deleted what says that there is something to do, or put it there by hand.
func TestWorkThatNobodyAskedForGetsItsJob(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	_, err := control.Exec(t.Context(), `
		WITH p AS (
			INSERT INTO authsync.projects (name, database_url_sealed) VALUES ('shop', ''), ('idle', '') RETURNING id, name
		), shop AS (
			SELECT p.id FROM p WHERE p.name = 'shop'
		), pending AS (
			INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to) SELECT id, '{1}', 1, now(), now() FROM shop
		), repairs AS (
			INSERT INTO authsync.mirror_repairs (project_id, cause, epoch, known_applied_to, found_applied_to, lost_since, last_inbox_id, found_at)
			SELECT id, 'rewound', gen_random_uuid(), 2, 1, now(), 0, now() FROM shop
		), refreshes AS (
			INSERT INTO authsync.refresh_requests (project_id, provider, user_id)
			SELECT id, 'auth0', u FROM shop, unnest('{a,b}'::text[]) AS u
		)
		INSERT INTO authsync.sync_runs (project_id, provider, kind, state, finished_at)
		SELECT id, 'auth0', 'reconcile', s.state, s.finished_at FROM shop
		CROSS JOIN (VALUES ('waiting', NULL::timestamptz), ('done', now())) AS s (state, finished_at)`)
	require.NoError(t, err)
	require.Equal(t, "4", one(t, control, `SELECT authsync.request_idle(now())::text`))
	require.Equal(t, "0", one(t, control, `SELECT authsync.request_idle(now())::text`))
	require.Equal(t, "apply_inbox default project_id, backfill backfills project_id run_id run_kind, refresh_users refreshes project_id provider, "+
		"repair_mirror default project_id", one(t, control, `
		SELECT string_agg(concat_ws(' ', j.kind, j.queue, (SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(j.args) AS k)), ', ' ORDER BY j.kind)
		FROM authsync.job_requests AS r JOIN authsync.river_job AS j ON j.id = r.job_id`))
}

func snooze(tb testing.TB, pool *pgxpool.Pool, job *rivertype.JobRow, until time.Time) {
	tb.Helper()
	jobstest.Snooze(tb, pool, job, until, nil)
}

// What a clock dated that was ahead for a moment does not stand until then; who has to wait for long looks now and then.
func TestAJobThatIsPutOffForLongIsBroughtForward(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	for name, c := range map[string]struct {
		postpone  func(testing.TB, *pgxpool.Pool, *rivertype.JobRow, time.Time)
		by, comes time.Duration
	}{
		"Tomorrow":   {snooze, 24 * time.Hour, 10 * time.Minute},
		"NextYear":   {jobstest.Fail, 365 * 24 * time.Hour, 10 * time.Minute},
		"TwelveMore": {snooze, 12 * time.Minute, 10 * time.Minute},
		"TenMore":    {snooze, 10 * time.Minute, 10 * time.Minute},
		"Soon":       {snooze, 5 * time.Second, 5 * time.Second},
	} {
		subject := uuid.NewString()
		one(t, control, requestJob, subject)
		c.postpone(t, control, fetch(t, control, subject), now.Add(c.by))
		one(t, control, `SELECT authsync.rescue_requests($1)::text`, now)
		var comes time.Time
		require.NoError(t, control.QueryRow(t.Context(), `
			SELECT j.scheduled_at FROM authsync.river_job AS j JOIN authsync.job_requests AS r ON r.job_id = j.id WHERE r.subject = $1`, subject).Scan(&comes))
		require.Equal(t, now.Add(c.comes), comes.UTC(), name)
	}
}

// So it is with other jobs, of whatever kind, unless a worker or River may have put them off for so long.
func TestJobsThatAWrongClockPutOffAreBroughtForward(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	now := time.Now().UTC().Truncate(time.Microsecond)
	longest := jobs.LongestPause
	for name, c := range map[string]struct {
		put       func(testing.TB, *pgxpool.Pool, *rivertype.JobRow, time.Time)
		attempt   int
		by, comes time.Duration
	}{
		"Tomorrow":           {snooze, 1, 24 * time.Hour, 10 * time.Minute},
		"AfterAnError":       {jobstest.Fail, 1, 24 * time.Hour, 10 * time.Minute},
		"TheLongest":         {snooze, 1, longest, longest},
		"OfManyAttempts":     {jobstest.Fail, 20, 44 * time.Hour, 44 * time.Hour},
		"OfTooFewAttempts":   {jobstest.Fail, 17, 44 * time.Hour, 10 * time.Minute},
		"OfTheLastNextMonth": {jobstest.Fail, 25, 30 * 24 * time.Hour, 10 * time.Minute},
		"InNoTime":           {snooze, 1, time.Second, time.Second},
	} {
		queue := "queue_of_" + strings.ToLower(name)
		_, err := control.Exec(t.Context(), `INSERT INTO authsync.river_queue (name, updated_at) VALUES ($1, now())`, queue)
		require.NoError(t, err)
		inserted, err := jobstest.Client(t, control).Insert(t.Context(), args{}, &river.InsertOpts{Queue: queue})
		require.NoError(t, err)
		c.put(t, control, jobstest.Fetch(t, control, "client", queue), now.Add(c.by))
		_, err = control.Exec(t.Context(), `UPDATE authsync.river_job SET attempt = $2 WHERE id = $1`, inserted.Job.ID, c.attempt)
		require.NoError(t, err)
		one(t, control, `SELECT authsync.bring_forward_jobs($1, $2)::text`, longest, now)
		var comes time.Time
		require.NoError(t, control.QueryRow(t.Context(), `SELECT j.scheduled_at FROM authsync.river_job AS j WHERE j.id = $1`, inserted.Job.ID).Scan(&comes))
		require.Equal(t, now.Add(c.comes), comes.UTC(), name)
	}
}

// Jobs that wait as they should are not read for that, however many there are, and whatever the statistics say.
func TestBringingJobsForwardReadsTheFewThatAreFar(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	tx, err := control.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }()
	_, err = tx.Exec(t.Context(), `
		INSERT INTO authsync.river_queue (name, updated_at) VALUES ('default', now());
		INSERT INTO authsync.river_job (kind, state, max_attempts, args, queue, scheduled_at)
		SELECT 'try', 'scheduled'::authsync.river_job_state, 25, '{}'::jsonb, 'default', now() + n * interval '1 second' FROM generate_series(1, 5000) AS n
		UNION ALL
		SELECT 'try', 'scheduled', 25, '{}', 'default', now() + interval '1 day' FROM generate_series(1, 3)`)
	require.NoError(t, err)
	for call, args := range map[string][]any{
		`SELECT authsync.bring_forward_jobs($1, now())`: {jobs.LongestPause},
		`SELECT authsync.rescue_requests(now())`:        nil,
	} {
		rows, entries := pgtest.RowsRead(t, tx, "authsync"), pgtest.EntriesRead(t, tx, "authsync")
		_, err := tx.Exec(t.Context(), call, args...)
		require.NoError(t, err)
		require.Less(t, pgtest.RowsRead(t, tx, "authsync")-rows, int64(50), call)
		require.Less(t, pgtest.EntriesRead(t, tx, "authsync")-entries, int64(50), call)
	}
	var far int
	require.NoError(t, tx.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE scheduled_at > now() + interval '12 hours'`).Scan(&far))
	require.Zero(t, far)
}

func TestASubjectThatHasLongBeenIdleIsForgotten(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	idle, busy := uuid.NewString(), uuid.NewString()
	one(t, control, requestJob, idle)
	one(t, control, requestJob, busy)
	_, err := control.Exec(t.Context(), `UPDATE authsync.job_requests SET job_id = NULL WHERE subject = $1`, idle)
	require.NoError(t, err)
	one(t, control, `SELECT authsync.prune_job_requests(now() + interval '23 hours')::text`)
	require.Equal(t, "2", one(t, control, `SELECT count(*)::text FROM authsync.job_requests`))
	one(t, control, `SELECT authsync.prune_job_requests(now() + interval '25 hours')::text`)
	require.Equal(t, busy, one(t, control, `SELECT string_agg(subject, ' ') FROM authsync.job_requests`))
}

// Requesters and a job, over and over: whatever is made while a job ends is done by it or by the next.
func TestNoRequestIsLostBetweenTwoJobs(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	subject := uuid.NewString()
	const requesters, each = 4, 60
	var group errgroup.Group
	for range requesters {
		ctx := t.Context()
		group.Go(func() error {
			for range each {
				err := pgdb.InTx(ctx, control, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, makeWork, subject); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, requestJob, subject)
					return err
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	var made sync.WaitGroup
	made.Go(func() { _ = group.Wait() })
	done := 0
	waittest.Until(t, func() bool { // a worker: it takes the job, works, and ends it, if there is one
		id := one(t, control, `SELECT coalesce(max(job_id), 0)::text FROM authsync.job_requests`)
		if id == "0" {
			return done == requesters*each
		}
		fetch(t, control, subject)
		for finished := "busy"; finished == "busy"; {
			tag, err := control.Exec(t.Context(), `DELETE FROM authsync.inbox_pending`)
			require.NoError(t, err)
			done += int(tag.RowsAffected())
			finished = one(t, control, finish, subject, id)
			require.NotEqual(t, "lost", finished)
		}
		return false
	})
	made.Wait()
	require.NoError(t, group.Wait())
	require.Equal(t, "0", one(t, control, `SELECT count(*)::text FROM authsync.inbox_pending`), fmt.Sprint(time.Now()))
}
