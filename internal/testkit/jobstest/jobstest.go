// Package jobstest does to jobs in tests what processes and people do to them, by River's own calls:
// no test writes river_job by hand. Only tests import it.
package jobstest

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// Client makes a client that works no jobs: it inserts, retries, cancels and deletes them, as River UI does.
func Client(tb testing.TB, pool *pgxpool.Pool) *river.Client[pgx.Tx] {
	tb.Helper()
	return newClient(tb, pool, nil)
}

// ClientAt is Client at another time.
func ClientAt(tb testing.TB, pool *pgxpool.Pool, at time.Time) *river.Client[pgx.Tx] {
	tb.Helper()
	return newClient(tb, pool, always(at))
}

func newClient(tb testing.TB, pool *pgxpool.Pool, clock rivertype.TimeGenerator) *river.Client[pgx.Tx] {
	tb.Helper()
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Schema: jobs.Schema, Logger: slog.New(slog.DiscardHandler), Test: river.TestConfig{Time: clock},
	})
	require.NoError(tb, err)
	return client
}

// always is a clock that stands still.
type always time.Time

func (a always) Now() time.Time { return time.Time(a) }

func (a always) NowOrNil() *time.Time {
	now := time.Time(a)
	return &now
}

// Retry has jobs run now that wait for their time, and returns how many there were.
func Retry(tb testing.TB, pool *pgxpool.Pool, kinds ...string) int {
	tb.Helper()
	return RetryIn(tb, pool, []rivertype.JobState{rivertype.JobStateAvailable, rivertype.JobStateScheduled, rivertype.JobStateRetryable}, kinds...)
}

// Completed waits until a job of the kind has ended well, such as the one that a server begins with.
func Completed(tb testing.TB, pool *pgxpool.Pool, kind string) {
	tb.Helper()
	waittest.Until(tb, func() bool {
		var is bool
		require.NoError(tb, pool.QueryRow(tb.Context(),
			`SELECT EXISTS (SELECT FROM authsync.river_job AS j WHERE j.kind = $1 AND j.state = 'completed')`, kind).Scan(&is))
		return is
	}, "no job %s is completed", kind)
}

// RetryIn is Retry for jobs in the states given.
func RetryIn(tb testing.TB, pool *pgxpool.Pool, states []rivertype.JobState, kinds ...string) (retried int) {
	tb.Helper()
	client := Client(tb, pool)
	params := river.NewJobListParams().States(states...).First(10_000)
	if len(kinds) > 0 {
		params = params.Kinds(kinds...)
	}
	found, err := client.JobList(tb.Context(), params)
	require.NoError(tb, err)
	for _, job := range found.Jobs {
		_, err := client.JobRetry(tb.Context(), job.ID)
		if errors.Is(err, rivertype.ErrNotFound) {
			continue
		}
		require.NoError(tb, err)
		retried++
	}
	return retried
}

// Fetch has a client take the next job of a queue, as its process does; it gives nil if there is none. The client
// need not exist.
func Fetch(tb testing.TB, pool *pgxpool.Pool, client, queue string) *rivertype.JobRow {
	tb.Helper()
	return fetch(tb, pool, client, queue, nil)
}

// FetchAt is Fetch at another time, by which the job must have been due.
func FetchAt(tb testing.TB, pool *pgxpool.Pool, client, queue string, at time.Time) *rivertype.JobRow {
	tb.Helper()
	return fetch(tb, pool, client, queue, &at)
}

func fetch(tb testing.TB, pool *pgxpool.Pool, client, queue string, at *time.Time) *rivertype.JobRow {
	tb.Helper()
	result, err := riverpgxv5.New(pool).GetExecutor().JobGetAvailable(tb.Context(), &riverdriver.JobGetAvailableParams{
		ClientID: client, MaxAttemptedBy: 100, MaxToLock: 1, Now: at, Queue: queue, Schema: jobs.Schema,
	})
	require.NoError(tb, err)
	if len(result.Jobs) == 0 {
		return nil
	}
	return result.Jobs[0]
}

// Snooze puts a job off that was fetched; metadata may be nil.
func Snooze(tb testing.TB, pool *pgxpool.Pool, job *rivertype.JobRow, until time.Time, metadata []byte) {
	tb.Helper()
	set(tb, pool, riverdriver.JobSetStateSnoozed(job.ID, until, job.Attempt-1, metadata))
}

// Fail has the attempt of a job fail that was fetched: it is retried then.
func Fail(tb testing.TB, pool *pgxpool.Pool, job *rivertype.JobRow, again time.Time) {
	tb.Helper()
	set(tb, pool, riverdriver.JobSetStateErrorRetryable(job.ID, again, []byte(`{"error": "it failed"}`), nil))
}

// Discard ends a job that was fetched and has failed for the last time.
func Discard(tb testing.TB, pool *pgxpool.Pool, job *rivertype.JobRow) {
	tb.Helper()
	set(tb, pool, riverdriver.JobSetStateDiscarded(job.ID, time.Now(), []byte(`{"error": "it failed"}`), nil))
}

// set records how a job ended that was fetched.
func set(tb testing.TB, pool *pgxpool.Pool, p *riverdriver.JobSetStateIfRunningParams) {
	tb.Helper()
	rows, err := riverpgxv5.New(pool).GetExecutor().JobSetStateIfRunningMany(tb.Context(), &riverdriver.JobSetStateIfRunningManyParams{
		ID: []int64{p.ID}, Attempt: []*int{p.Attempt}, ErrData: [][]byte{p.ErrData}, FinalizedAt: []*time.Time{p.FinalizedAt},
		MetadataDoMerge: []bool{p.MetadataDoMerge}, MetadataUpdates: [][]byte{p.MetadataUpdates}, ScheduledAt: []*time.Time{p.ScheduledAt},
		Schema: jobs.Schema, State: []rivertype.JobState{p.State},
	})
	require.NoError(tb, err)
	require.Len(tb, rows, 1)
	require.Equal(tb, p.State, rows[0].State)
}
