package refresh

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/redact"
	"github.com/authsync/authsync/internal/sync/source"
	"github.com/authsync/authsync/internal/tenantdb"
)

const (
	// maxWorkers is the number of providers whose users a process reads concurrently.
	maxWorkers = 20
	// batchSize is the number of users per query and call of the mirror.
	batchSize = 50
	// sliceLength is how long a job works before it yields. readTime limits the requests of a
	// batch, whose answers must be written in the rest of workTime, which is below the time after
	// which a job is rescued.
	sliceLength = 10 * time.Second
	readTime    = 10 * time.Second
	workTime    = 28 * time.Second

	// maxAttempts per user, with pauses that double from firstPause on: about an hour.
	maxAttempts = 8
	firstPause  = 30 * time.Second
	// deferralPause is the pause for a user whose row is locked in the project's database.
	deferralPause = 5 * time.Second
	// lastingPause is the pause when a person has to act first.
	lastingPause = 5 * time.Minute
	failurePause = 2 * time.Second
)

// Config configures the workers.
type Config struct {
	Pool     *pgxpool.Pool // the control database
	Queue    *Queue
	Accounts source.Accounts
	Mirror   Mirror
	Log      *slog.Logger
	// ReadTime limits the requests of a batch; 0 means 10 s.
	ReadTime time.Duration
	// Retry replaces the pause after a failure, for tests; nil means no change.
	Retry func(time.Duration) time.Duration
}

// Register adds the workers and their queue to a River client under construction.
func Register(c Config, workers *river.Workers, queues map[string]river.QueueConfig) {
	c.ReadTime = cmp.Or(c.ReadTime, readTime)
	if c.Retry == nil {
		c.Retry = func(pause time.Duration) time.Duration { return pause }
	}
	river.AddWorker(workers, &worker{config: c})
	queues[JobQueue] = river.QueueConfig{MaxWorkers: maxWorkers}
}

type worker struct {
	river.WorkerDefaults[Args]

	config Config
}

// Work refreshes users for a slice of time. If the process dies, users that were not settled are
// read again.
func (w *worker) Work(ctx context.Context, job *river.Job[Args]) error {
	working, cancel := context.WithTimeoutCause(ctx, workTime, errSlow)
	defer cancel()
	r := &run{worker: w, job: job}
	err := r.work(working)
	switch {
	case err == nil, jobs.Yields(err):
		return err
	case ctx.Err() != nil: // we are shutting down: another process continues
		return river.JobSnooze(0)
	case errors.Is(err, errControl):
		return err
	case errors.Is(context.Cause(working), errSlow):
		err = errSlow
	}
	return r.deferRun(ctx, err)
}

// errControl marks an error of the control database: nothing can be recorded.
var errControl = errors.New("note which users were read")

// NextRetry retries soon after a worker died.
func (w *worker) NextRetry(job *river.Job[Args]) time.Time {
	return time.Now().Add(min(time.Duration(job.Attempt)*time.Second, 10*time.Second))
}

// Timeout is longer than the worker's own time limit, so that the latter expires first.
func (w *worker) Timeout(*river.Job[Args]) time.Duration { return workTime + 2*time.Second }

// run is one turn of a job.
type run struct {
	*worker

	job        *river.Job[Args]
	progressed bool
}

// refreshRequest is a user to be read.
type refreshRequest struct {
	UserID       string
	RequestCount int64
	Attempts     int
}

const (
	// Requests made until now are satisfied by a read that begins now.
	nextRequests = `
		SELECT user_id, request_count, attempts
		FROM authsync.refresh_requests
		WHERE project_id = $1 AND provider = $2 AND abandoned_at IS NULL AND next_attempt_at <= clock_timestamp()
		ORDER BY next_attempt_at, user_id
		LIMIT $3`

	// Rows are locked in the same order as by Request. Users requested again in the meantime stay
	// and are read again.
	settleRequests = `
		WITH done AS (
			SELECT d.user_id, d.request_count, nullif(d.problem, '') AS problem, d.pause, d.gives_up, d.is_deferred
			FROM unnest($3::text[], $4::bigint[], $5::text[], $6::double precision[], $7::boolean[], $8::boolean[])
				AS d (user_id, request_count, problem, pause, gives_up, is_deferred)
		), locked AS MATERIALIZED (
			SELECT w.user_id, d.problem, d.pause, d.gives_up, d.is_deferred
			FROM authsync.refresh_requests AS w
			JOIN done AS d ON d.user_id = w.user_id
			WHERE w.project_id = $1 AND w.provider = $2 AND w.request_count = d.request_count
			ORDER BY w.user_id
			FOR UPDATE OF w
		), removed AS (
			DELETE FROM authsync.refresh_requests AS w
			USING locked AS l
			WHERE w.project_id = $1 AND w.provider = $2 AND w.user_id = l.user_id AND l.problem IS NULL
		)
		UPDATE authsync.refresh_requests AS w
		SET attempts = w.attempts + CASE WHEN l.is_deferred THEN 0 ELSE 1 END, last_error = l.problem, next_attempt_at = clock_timestamp() + l.pause * interval '1 second',
			abandoned_at = CASE WHEN l.gives_up THEN clock_timestamp() END
		FROM locked AS l
		WHERE w.project_id = $1 AND w.provider = $2 AND w.user_id = l.user_id AND l.problem IS NOT NULL`

	// In seconds, by the clock that nextRequests uses.
	nextTry = `
		SELECT extract(epoch FROM min(next_attempt_at) - clock_timestamp())::double precision
		FROM authsync.refresh_requests
		WHERE project_id = $1 AND provider = $2 AND abandoned_at IS NULL`

	deleteRequests = `DELETE FROM authsync.refresh_requests WHERE project_id = $1 AND provider = $2`
)

func (r *run) work(ctx context.Context) error {
	owns, err := jobs.Owns(ctx, r.config.Pool, r.job.JobRow, r.job.Args.subject())
	if err != nil {
		return errors.Join(errControl, err)
	}
	if !owns {
		return r.end(ctx)
	}
	for until := time.Now().Add(sliceLength); time.Now().Before(until); {
		requests, err := r.next(ctx)
		if err != nil {
			return err
		}
		if len(requests) == 0 {
			return r.finish(ctx)
		}
		if err := r.refresh(ctx, requests); err != nil {
			return err
		}
	}
	return jobs.Yield(ctx)
}

func (r *run) next(ctx context.Context) ([]refreshRequest, error) {
	rows, err := r.config.Pool.Query(ctx, nextRequests, r.job.Args.ProjectID, r.job.Args.Provider, batchSize)
	if err != nil {
		return nil, errors.Join(errControl, err)
	}
	requests, err := pgx.CollectRows(rows, pgx.RowToStructByName[refreshRequest])
	if err != nil {
		return nil, errors.Join(errControl, err)
	}
	return requests, nil
}

// refresh reads users, updates the mirror, and settles their requests.
func (r *run) refresh(ctx context.Context, requests []refreshRequest) error {
	args := r.job.Args
	opened, err := r.config.Accounts.Open(ctx, args.ProjectID, args.Provider)
	if err != nil {
		return err
	}
	defer opened.Close()
	reader := Reader{
		Type: record.User, Account: opened, Mirror: r.config.Mirror, ProjectID: args.ProjectID, Provider: args.Provider,
		Kind: provider.KindRefresh, RunID: uuid.NewString(), Time: r.config.ReadTime,
	}
	ids, byID := make([]string, len(requests)), make(map[string]refreshRequest, len(requests))
	for i, request := range requests {
		ids[i], byID[request.UserID] = request.UserID, request
	}
	answers, failed := reader.Read(ctx, ids)
	if errors.Is(failed, errSlow) && len(answers) > 0 {
		failed = nil // the others come with the next batch
	}
	if err := aboutNoUser(answers); err != nil {
		return err
	}
	results, err := reader.Apply(ctx, answers)
	if err != nil {
		return err
	}
	if err := delivery.RequestRelay(ctx, r.config.Pool, r.job.Args.ProjectID); err != nil {
		return errors.Join(errControl, err)
	}
	if err := r.settle(ctx, byID, answers, results); err != nil {
		return err
	}
	return failed
}

// aboutNoUser returns the common error of several answers, if all failed: it is then not about
// single users, and none of them may be abandoned for it.
func aboutNoUser(answers []Answer) error {
	understood := slices.ContainsFunc(answers, func(a Answer) bool { return a.Err == nil })
	if understood || len(answers) < 3 {
		return nil
	}
	return answers[0].Err
}

// settle deletes the satisfied requests and defers the others.
func (r *run) settle(ctx context.Context, requests map[string]refreshRequest, answers []Answer, results []mirror.Result) error {
	n := len(answers)
	if n == 0 {
		return nil
	}
	ids, counts, problems := make([]string, n), make([]int64, n), make([]string, n)
	pauses, givesUp, deferred := make([]float64, n), make([]bool, n), make([]bool, n) // pauses in seconds
	for i := range answers {
		request := requests[answers[i].ID]
		ids[i], counts[i] = request.UserID, request.RequestCount
		if err := cmp.Or(answers[i].Err, results[i].Err); err != nil {
			problems[i] = pgdb.Describe(err)
			givesUp[i] = request.Attempts+1 >= maxAttempts
			pauses[i] = r.config.Retry(firstPause << min(request.Attempts, maxAttempts)).Seconds()
		} else if results[i].Outcome == mirror.OutcomeDeferred { // costs no attempt, however often
			problems[i], deferred[i] = results[i].Reason, true
			pauses[i] = r.config.Retry(deferralPause).Seconds()
		}
	}
	args := r.job.Args
	if _, err := r.config.Pool.Exec(ctx, settleRequests, args.ProjectID, args.Provider, ids, counts, problems, pauses, givesUp, deferred); err != nil {
		return errors.Join(errControl, err)
	}
	r.progressed = true
	r.config.Log.DebugContext(ctx, "users_refreshed", slog.Int64("job_id", r.job.ID), slog.Int("users", n))
	return nil
}

// finish ends the job if nothing was requested in the meantime, or waits for the next retry.
func (r *run) finish(ctx context.Context) error {
	args := r.job.Args
	var next *float64
	if err := r.config.Pool.QueryRow(ctx, nextTry, args.ProjectID, args.Provider).Scan(&next); err != nil {
		return errors.Join(errControl, err)
	}
	if next == nil {
		return r.end(ctx)
	}
	return jobs.Wait(ctx, r.job.JobRow, "users that could not be read are tried again", &jobs.WaitError{
		After: time.Duration(*next * float64(time.Second)), Progressed: true,
	})
}

// end ends the job unless something was requested in the meantime.
func (r *run) end(ctx context.Context) error {
	err := jobs.End(ctx, r.config.Pool, r.job.JobRow, r.job.Args.subject(), time.Now())
	if err == nil || jobs.Yields(err) {
		return err
	}
	return errors.Join(errControl, err)
}

// deferRun records why no user could be read and retries later, at no cost of an attempt.
func (r *run) deferRun(ctx context.Context, err error) error {
	var limited *userapi.RateLimitError
	var delayed *tenantdb.DelayError
	because, wait := redact.Reason(err), &jobs.WaitError{Err: err, Progressed: r.progressed}
	switch {
	case errors.Is(err, project.ErrNoIntegration), errors.Is(err, project.ErrNoProject):
		return r.abandon(ctx)
	case errors.As(err, &limited):
		wait.After = max(limited.After, time.Second)
	case errors.As(err, &delayed):
		wait.After, because = delayed.After, "the project's database cannot be used now: "+redact.Reason(delayed.Err)
	case isLasting(err):
		wait.After = lastingPause
	default:
		wait.After, wait.Failed, wait.Most = failurePause, true, lastingPause
	}
	args := r.job.Args
	r.config.Log.WarnContext(ctx, "refreshes_deferred", slog.String("project_id", args.ProjectID.String()),
		slog.String("provider", args.Provider), slog.Duration("for", wait.After), slog.Any("error", err))
	wait.After = r.config.Retry(wait.After)
	return jobs.Wait(ctx, r.job.JobRow, because, wait)
}

// abandon deletes the requests of a deleted integration: there is no one left to ask.
func (r *run) abandon(ctx context.Context) error {
	args := r.job.Args
	if _, err := r.config.Pool.Exec(ctx, deleteRequests, args.ProjectID, args.Provider); err != nil {
		return errors.Join(errControl, err)
	}
	r.config.Log.InfoContext(ctx, "refreshes_abandoned", slog.String("project_id", args.ProjectID.String()), slog.String("provider", args.Provider))
	return r.end(ctx)
}
