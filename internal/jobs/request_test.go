package jobs_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/pgtest"
	"github.com/authsync/authsync/internal/waittest"
)

const (
	requestJob = `SELECT authsync.request_job('apply_inbox', $1, jsonb_build_object('project_id', $1::text))::text`
	makeWork   = `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		VALUES ($1::text::uuid, '{1}', 1, now(), now())`
	jobOf = `SELECT coalesce(job_id, 0)::text FROM authsync.job_requests WHERE subject = $1`
)

// fetch makes the job of the subject run, as River does.
func fetch(t *testing.T, control *pgxpool.Pool, subject string) {
	t.Helper()
	_, err := control.Exec(t.Context(), `
		UPDATE authsync.river_job SET state = 'running', attempt = 1, attempted_at = clock_timestamp(), attempted_by = '{me}'
		WHERE id = (SELECT job_id FROM authsync.job_requests WHERE subject = $1)`, subject)
	require.NoError(t, err)
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
		end  string
		made string
	}{
		"cancelled": {`UPDATE authsync.river_job SET state = 'cancelled', finalized_at = now() WHERE id = $1::text::bigint`, "1"},
		"discarded": {`UPDATE authsync.river_job SET state = 'discarded', finalized_at = now() WHERE id = $1::text::bigint`, "1"},
		"deleted":   {`DELETE FROM authsync.river_job WHERE id = $1::text::bigint`, "1"},
		"put off":   {`UPDATE authsync.river_job SET state = 'scheduled', scheduled_at = now() + interval '1 hour' WHERE id = $1::text::bigint`, "0"},
	} {
		subject := uuid.NewString()
		one(t, control, requestJob, subject)
		_, err := control.Exec(t.Context(), c.end, one(t, control, jobOf, subject))
		require.NoError(t, err)
		require.Equal(t, c.made, one(t, control, `SELECT authsync.rescue_requests()::text`), name)
		require.Equal(t, "0", one(t, control, `SELECT authsync.rescue_requests()::text`), name)
	}
}

// What a clock dated that was ahead for a moment does not stand until then; who has to wait for long looks now and then.
func TestAJobThatIsPutOffForLongIsBroughtForward(t *testing.T) {
	t.Parallel()
	control := pgtest.Control(t)
	for name, c := range map[string]struct{ state, putOff, comes string }{
		"Tomorrow":   {"scheduled", "1 day", "10 minutes"},
		"NextYear":   {"retryable", "1 year", "10 minutes"},
		"TwelveMore": {"scheduled", "12 minutes", "10 minutes"},
		"TenMore":    {"scheduled", "10 minutes", "10 minutes"},
		"Soon":       {"scheduled", "5 seconds", "5 seconds"},
	} {
		subject := uuid.NewString()
		one(t, control, requestJob, subject)
		_, err := control.Exec(t.Context(), `
			UPDATE authsync.river_job SET state = $2::text::authsync.river_job_state, scheduled_at = now() + $3::text::interval WHERE id = $1::text::bigint`,
			one(t, control, jobOf, subject), c.state, c.putOff)
		require.NoError(t, err)
		one(t, control, `SELECT authsync.rescue_requests()::text`)
		require.Equal(t, "true", one(t, control, `
			SELECT (scheduled_at BETWEEN now() + $2::text::interval - interval '5 minutes' AND now() + $2::text::interval)::text
			FROM authsync.river_job WHERE id = $1::text::bigint`, one(t, control, jobOf, subject), c.comes), name)
	}
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
