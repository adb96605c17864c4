package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"
)

// held tracks the jobs that this process fetched and whose end is not yet recorded.
type held struct {
	clientID string
	now      func() time.Time

	mu   sync.Mutex
	jobs map[int64]hold
}

// hold is one fetch of a job. No two fetches of a job have the same time.
type hold struct {
	attemptedAt time.Time
	endedAt     time.Time // zero while it is running
}

func newHeld(clientID string, now func() time.Time) *held {
	return &held{clientID: clientID, now: now, jobs: make(map[int64]hold)}
}

// fetched records fetched jobs and returns as doubled those that are already running here: another
// process considered us dead, and River cannot tell two runs of a job apart.
func (h *held) fetched(rows []*rivertype.JobRow) (taken, doubled []*rivertype.JobRow) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, row := range rows {
		if _, ok := h.jobs[row.ID]; ok {
			doubled = append(doubled, row)
			continue
		}
		taken = append(taken, row)
		if row.AttemptedAt != nil {
			h.jobs[row.ID] = hold{attemptedAt: *row.AttemptedAt}
		}
	}
	return taken, doubled
}

// tokens returns the fetch times of the jobs; zero for jobs that are not held.
func (h *held) tokens(ids []int64) []time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	tokens := make([]time.Time, len(ids))
	for i, id := range ids {
		tokens[i] = h.jobs[id].attemptedAt
	}
	return tokens
}

func (h *held) recorded(ids []int64, tokens []time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, id := range ids {
		if h.jobs[id].attemptedAt.Equal(tokens[i]) { // otherwise it has been fetched again
			delete(h.jobs, id)
		}
	}
}

// atWork returns the jobs that are running here or ended a moment ago. It forgets the others: if
// they are still running in the database, nobody will record their end.
func (h *held) atWork() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := h.now().Add(-endedFor)
	ids := make([]int64, 0, len(h.jobs))
	for id, job := range h.jobs {
		if !job.endedAt.IsZero() && job.endedAt.Before(before) {
			delete(h.jobs, id)
			continue
		}
		ids = append(ids, id)
	}
	return ids
}

// middleware records when a job's work ends, for whatever reason.
func (h *held) middleware() rivertype.Middleware {
	return river.WorkerMiddlewareFunc(func(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) error {
		defer func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			if one, ok := h.jobs[job.ID]; ok && job.AttemptedAt != nil && one.attemptedAt.Equal(*job.AttemptedAt) {
				one.endedAt = h.now()
				h.jobs[job.ID] = one
			}
		}()
		return work(ctx)
	})
}

// fence is River's driver, restricted so that a process can only end its own jobs. A process that
// was considered dead must not end a job that another now works: River checks only the job's state.
type fence struct {
	*riverpgxv5.Driver

	held    *held
	mayTake func(ctx context.Context) bool
	contact *contact
}

// GetExecutor returns the executor of the client's services.
func (f *fence) GetExecutor() riverdriver.Executor {
	return &fencedExecutor{Executor: f.Driver.GetExecutor(), fence: f}
}

type fencedExecutor struct {
	riverdriver.Executor
	*fence
}

// Begin begins a transaction, as each client does every few seconds to become the leader.
func (e *fencedExecutor) Begin(ctx context.Context) (riverdriver.ExecutorTx, error) {
	tx, err := e.Executor.Begin(ctx)
	e.contact.note(err)
	return tx, err
}

// LeaderAttemptReelect keeps the leader the leader; it does not ask to be elected then.
func (e *fencedExecutor) LeaderAttemptReelect(ctx context.Context, params *riverdriver.LeaderReelectParams) (*riverdriver.Leader, error) {
	leader, err := e.Executor.LeaderAttemptReelect(ctx, params)
	e.contact.note(err)
	return leader, err
}

// JobGetAvailable fetches jobs and records them as held.
func (e *fencedExecutor) JobGetAvailable(
	ctx context.Context, params *riverdriver.JobGetAvailableParams,
) (*riverdriver.JobGetAvailableResult, error) {
	if e.mayTake != nil && !e.mayTake(ctx) {
		return &riverdriver.JobGetAvailableResult{}, nil
	}
	result, err := e.Executor.JobGetAvailable(ctx, params)
	e.contact.note(err)
	if result == nil {
		return result, err
	}
	var doubled []*rivertype.JobRow
	if result.Jobs, doubled = e.held.fetched(result.Jobs); len(doubled) > 0 {
		ids := make([]int64, len(doubled))
		for i, row := range doubled {
			ids[i] = row.ID
		}
		// If this fails, rescue_jobs takes them from us when they exceed their time.
		_ = e.Exec(ctx, giveBack, ids, e.held.clientID)
	}
	return result, err
}

const giveBack = `
	UPDATE authsync.river_job AS r
	SET state = 'available', attempt = greatest(r.attempt - 1, 0), scheduled_at = r.attempted_at + interval '500 milliseconds'
	WHERE r.id = ANY ($1::bigint[]) AND r.state = 'running' AND r.attempted_by[cardinality(r.attempted_by)] = $2`

const lockOwn = `
	SELECT coalesce(array_agg(o.id), '{}')
	FROM (
		SELECT r.id
		FROM unnest($1::bigint[], $2::timestamptz[]) AS h (id, attempted_at)
		JOIN authsync.river_job AS r ON r.id = h.id AND r.attempted_at = h.attempted_at
		WHERE r.state = 'running' AND r.attempted_by[cardinality(r.attempted_by)] = $3
		ORDER BY r.id
		FOR UPDATE OF r
	) AS o`

// JobSetStateIfRunningMany records the end of those jobs that this process still holds.
func (e *fencedExecutor) JobSetStateIfRunningMany(
	ctx context.Context, params *riverdriver.JobSetStateIfRunningManyParams,
) (rows []*rivertype.JobRow, err error) {
	tx, err := e.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // returns that the transaction is closed
	tokens := e.held.tokens(params.ID)
	var own []int64
	if err := tx.QueryRow(ctx, lockOwn, params.ID, tokens, e.held.clientID).Scan(&own); err != nil {
		return nil, err
	}
	if len(own) > 0 {
		if rows, err = tx.JobSetStateIfRunningMany(ctx, only(params, own)); err != nil {
			return nil, err
		}
	}
	if err := tx.Commit(ctx); err != nil {
		return nil, err
	}
	e.held.recorded(params.ID, tokens)
	return rows, nil
}

// only restricts the parameters to the given jobs.
func only(p *riverdriver.JobSetStateIfRunningManyParams, own []int64) *riverdriver.JobSetStateIfRunningManyParams {
	is := make(map[int64]bool, len(own))
	for _, id := range own {
		is[id] = true
	}
	some := &riverdriver.JobSetStateIfRunningManyParams{Now: p.Now, Schema: p.Schema}
	for i, id := range p.ID {
		if !is[id] {
			continue
		}
		some.ID = append(some.ID, id)
		some.Attempt = append(some.Attempt, p.Attempt[i])
		some.ErrData = append(some.ErrData, p.ErrData[i])
		some.FinalizedAt = append(some.FinalizedAt, p.FinalizedAt[i])
		some.MetadataDoMerge = append(some.MetadataDoMerge, p.MetadataDoMerge[i])
		some.MetadataUpdates = append(some.MetadataUpdates, p.MetadataUpdates[i])
		some.ScheduledAt = append(some.ScheduledAt, p.ScheduledAt[i])
		some.State = append(some.State, p.State[i])
	}
	return some
}
