package refresh

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/account"
	"github.com/authsync/authsync/internal/jobs"
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
func (Args) Kind() string { return jobs.RefreshUsers }

// subject is what the job exists once for.
func (a Args) subject() string { return a.ProjectID.String() + "/" + a.Provider }

// Queue takes requests to read users. Many requests for a user need one request of the provider, but it
// must begin after the last of them. There is one job for all users of a project and
// provider; see authsync.request_job.
type Queue struct {
	accounts account.Accounts
}

// NewQueue makes a Queue.
func NewQueue(accounts account.Accounts) *Queue { return &Queue{accounts: accounts} }

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
	args := Args{ProjectID: projectID, Provider: providerName}
	return jobs.Request(ctx, tx, args, args.subject())
}

// isLasting reports an error that only a person can end.
func isLasting(err error) bool {
	var notPossible *account.NotPossibleError
	return errors.As(err, &notPossible) || isRefusal(err)
}
