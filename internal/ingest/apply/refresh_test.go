package apply_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/ingest/inbox"
	"github.com/authsync/authsync/internal/project"
)

// refreshes notes who is to be read, or says what it is told.
type refreshes struct {
	mu       sync.Mutex
	possible []error // of the next calls
	failing  []error // of the next requests, after they were noted in the transaction
}

func (r *refreshes) Possible(context.Context, uuid.UUID, string) error { return r.take(&r.possible) }

// Request writes into the caller's transaction, so that what is rolled back is not seen.
func (r *refreshes) Request(ctx context.Context, tx pgx.Tx, projectID uuid.UUID, providerName string, userIDs []string) error {
	for _, id := range userIDs {
		if _, err := tx.Exec(ctx, `INSERT INTO requested VALUES ($1, $2, $3)`, projectID, providerName, id); err != nil {
			return err
		}
	}
	return r.take(&r.failing)
}

func (r *refreshes) take(from *[]error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(*from) == 0 {
		return nil
	}
	err := (*from)[0]
	*from = (*from)[1:]
	return err
}

func (r *refreshes) say(possible, failing []error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.possible, r.failing = possible, failing
}

func (b *testBundle) refreshRequests(t *testing.T) []string {
	t.Helper()
	rows, err := b.control.Query(t.Context(), `SELECT provider || ' ' || user_id FROM requested`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	slices.Sort(all)
	return all
}

const twoLogins = `{"log_id":"1","data":{"date":"2026-05-04T10:20:30Z","type":"s","user_id":"auth0|1"}}
{"log_id":"2","data":{"date":"2026-05-04T10:20:31Z","type":"seacft","user_id":"auth0|9"}}
{"log_id":"3","data":{"date":"2026-05-04T10:20:32Z","type":"s","user_id":"auth0|2"}}
`

func TestAnEntryAsksForTheUserToBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	id := b.deliver(t, b.projectID, twoLogins)
	require.Equal(t, "an entry of a log stream has no profile: the user is read from Auth0 instead", b.eventually(t, id, 0, inbox.Ignored))
	b.eventually(t, id, 2, inbox.Ignored)
	require.Equal(t, []string{"auth0 auth0|1", "auth0 auth0|2"}, b.refreshRequests(t))
	require.Zero(t, b.changes(t))
}

func TestAnEntryIsIgnoredWhereUsersCannotBeRead(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	for err, why := range map[error]string{
		fault.New(fault.Unsupported, "credentials.domain is missing"): "credentials.domain is missing",
		project.ErrNoIntegration: "the integration was removed",
	} {
		b.refreshes.say([]error{err}, nil)
		id := b.deliver(t, b.projectID, twoLogins)
		require.Equal(t, "an entry of a log stream has no profile, and the user cannot be read: "+why, b.eventually(t, id, 0, inbox.Ignored))
	}
	require.Empty(t, b.refreshRequests(t))
}

// The outcome and the request are one commit: trouble before it leaves neither.
func TestAWishAndItsOutcomeAreOneCommit(t *testing.T) {
	t.Parallel()
	b := setup(t, nil)
	b.refreshes.say([]error{errors.New("the control database is unavailable")}, []error{errors.New("cut off")})
	id := b.deliver(t, b.projectID, twoLogins)
	b.eventually(t, id, 2, inbox.Ignored)
	require.Equal(t, []string{"auth0 auth0|1", "auth0 auth0|2"}, b.refreshRequests(t), "those of the attempt that was cut off are gone")
	require.Empty(t, b.job(t, "apply_inbox").Errors)
}
