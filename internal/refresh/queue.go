package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/authsync/authsync/internal/account"
)

// JobQueue is the River queue of the jobs refresh_users: a provider that answers
// slowly must not hold up deliveries.
const JobQueue = "refreshes"

// Args are the arguments of the job refresh_users, which reads the users of a
// project and provider that authsync.wanted_refreshes names.
type Args struct {
	ProjectID uuid.UUID `json:"project_id"`
	Provider  string    `json:"provider"`
}

// Kind names the job.
func (Args) Kind() string { return "refresh_users" }

// InsertOpts lets the job run as often as it takes: only the death of a worker
// costs an attempt.
func (Args) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: JobQueue, MaxAttempts: 30_000}
}

// Queue takes wishes to read users. Many wishes for a user need one request, but it
// must begin after the last of them. There is one job for all users of a project and
// provider, and a row of authsync.refresh_jobs exactly as long as that job:
//
//	Want    users into wanted_refreshes, lock the row or make it and the job
//	job     read users, delete those that nobody asked for meanwhile, … ,
//	        lock the row, look once more, delete the row and finish
//
// Each step is one transaction, so a wish finds either a job that will see it or
// none, and then makes one. Whatever dies: the wish or its job is in the database. A job
// that a person cancelled or deleted leaves its row behind, and mend_refreshes makes another.
type Queue struct {
	jobs     *river.Client[pgx.Tx]
	accounts account.Accounts
}

// NewQueue makes a Queue. jobs only inserts.
func NewQueue(jobs *river.Client[pgx.Tx], accounts account.Accounts) *Queue {
	return &Queue{jobs: jobs, accounts: accounts}
}

// Possible returns nil if users can be read with the credentials that are stored;
// the errors are those of account.Accounts.
func (q *Queue) Possible(ctx context.Context, projectID uuid.UUID, providerName string) error {
	opened, err := q.accounts.Open(ctx, projectID, providerName)
	if err != nil {
		return err
	}
	opened.Close()
	return nil
}

const (
	wantUsers = `
		INSERT INTO authsync.wanted_refreshes AS w (project_id, provider, user_id)
		SELECT DISTINCT $1::uuid, $2, u.user_id COLLATE "C" AS user_id
		FROM unnest($3::text[]) AS u (user_id)
		ORDER BY user_id
		ON CONFLICT (project_id, provider, user_id) DO UPDATE
		SET asked = w.asked + 1, tries = 0, next_try_at = clock_timestamp(), problem = NULL, gave_up_at = NULL`

	// The update changes nothing: it is for the lock.
	lockJob = `
		INSERT INTO authsync.refresh_jobs AS j (project_id, provider) VALUES ($1, $2)
		ON CONFLICT (project_id, provider) DO UPDATE SET job_id = j.job_id
		RETURNING job_id`

	// A person may have cancelled or deleted the job.
	isLive = `SELECT EXISTS (SELECT FROM authsync.river_job WHERE id = $1 AND finalized_at IS NULL)`

	noteJob = `UPDATE authsync.refresh_jobs SET job_id = $3 WHERE project_id = $1 AND provider = $2`

	forgetGivenUp = `
		DELETE FROM authsync.wanted_refreshes
		WHERE project_id = $1 AND provider = $2 AND user_id = $3 AND gave_up_at IS NOT NULL`
)

// Want asks for users to be read, in the caller's transaction. A transaction that
// asks for several providers does it in the order of their names, lest it meets
// another one that asks for the same.
func (q *Queue) Want(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, providerName string, userIDs []string) error {
	if len(userIDs) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, wantUsers, projectID, providerName, userIDs); err != nil {
		return fmt.Errorf("ask for users to be read: %w", err)
	}
	_, err := q.ensureJob(ctx, tx, lockJob, projectID, providerName)
	return err
}

// ensureJob makes the job that reads users unless there is one. lock is what locks the row
// of refresh_jobs: then nobody else makes a job meanwhile.
func (q *Queue) ensureJob(ctx context.Context, tx pgx.Tx, lock string, projectID uuid.UUID, providerName string) (made bool, err error) {
	var jobID int64
	if err := tx.QueryRow(ctx, lock, projectID, providerName).Scan(&jobID); err != nil {
		return false, fmt.Errorf("look for the job that reads users: %w", err)
	}
	var live bool
	if err := tx.QueryRow(ctx, isLive, jobID).Scan(&live); err != nil || live {
		return false, err
	}
	job, err := q.jobs.InsertTx(ctx, tx, Args{ProjectID: projectID, Provider: providerName}, nil)
	if err != nil {
		return false, fmt.Errorf("insert the job that reads users: %w", err)
	}
	_, err = tx.Exec(ctx, noteJob, projectID, providerName, job.Job.ID)
	return true, err
}

// isLasting reports an error that only a person can end.
func isLasting(err error) bool {
	var notPossible *account.NotPossibleError
	return errors.As(err, &notPossible) || isRefusal(err)
}
