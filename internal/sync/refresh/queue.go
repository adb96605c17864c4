package refresh

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/sync/source"
)

// JobQueue is the River queue of refresh_users jobs: a slow provider must not delay messages.
const JobQueue = "refreshes"

// Args are the arguments of the job refresh_users, which reads the users of a project and provider
// listed in authsync.refresh_requests.
type Args struct {
	ProjectID uuid.UUID `json:"project_id"`
	Provider  string    `json:"provider"`
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return jobs.RefreshUsers }

// subject identifies the single job of a project and provider.
func (a Args) subject() string { return a.ProjectID.String() + "/" + a.Provider }

// Queue accepts refresh requests. Many requests for a user need only one request to the provider,
// but it must begin after the last of them. There is one job for all users of a project and
// provider; see authsync.request_job.
type Queue struct {
	accounts source.Accounts
}

// NewQueue returns a Queue for these accounts.
func NewQueue(accounts source.Accounts) *Queue { return &Queue{accounts: accounts} }

// Possible returns nil if the stored credentials allow reading users, and otherwise the error of
// source.Accounts.
func (q *Queue) Possible(ctx context.Context, projectID uuid.UUID, providerName string) error {
	opened, err := q.accounts.Open(ctx, projectID, providerName)
	if err != nil {
		return err
	}
	opened.Close()
	return nil
}

const (
	requestUsers = `
		INSERT INTO authsync.refresh_requests AS w (project_id, provider, user_id)
		SELECT DISTINCT $1::uuid, $2, u.user_id COLLATE "C" AS user_id
		FROM unnest($3::text[]) AS u (user_id)
		ORDER BY user_id
		ON CONFLICT (project_id, provider, user_id) DO UPDATE
		SET request_count = w.request_count + 1, attempts = 0, next_attempt_at = clock_timestamp(), last_error = NULL, abandoned_at = NULL`

	deleteAbandoned = `
		DELETE FROM authsync.refresh_requests
		WHERE project_id = $1 AND provider = $2 AND user_id = $3 AND abandoned_at IS NOT NULL`
)

// Request requests a refresh of users in the caller's transaction. A transaction that makes
// requests for several providers must do so in order of their names, to avoid deadlocks.
func (q *Queue) Request(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, providerName string, userIDs []string) error {
	if len(userIDs) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, requestUsers, projectID, providerName, userIDs); err != nil {
		return fmt.Errorf("ask for users to be read: %w", err)
	}
	args := Args{ProjectID: projectID, Provider: providerName}
	return jobs.Request(ctx, tx, args, args.subject())
}

// isLasting reports whether only a person can resolve the error.
func isLasting(err error) bool {
	return fault.Is(err, fault.Unsupported, fault.CredentialsRefused, fault.AccountMismatch, fault.ProviderError)
}
