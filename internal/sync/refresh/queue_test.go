package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/pgdb"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/record"
	"github.com/authsync/authsync/internal/tenantdb"
)

// perUser is how many requests were made for one user.
func perUser(tenant *demoprovider.Auth0, i int) int {
	return tenant.Requests("/users/" + demoprovider.Auth0ID(i))
}

func TestManyWishesAreOneRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 200)
	for range 20 {
		for i := range 120 {
			if i%40 == 0 {
				b.want(t, demoprovider.Auth0ID(i), demoprovider.Auth0ID(i+1), demoprovider.Auth0ID(i))
			}
		}
	}
	require.Equal(t, "6 20 1 1", one(t, b.control, `
		SELECT concat_ws(' ', count(*), min(request_count), (SELECT count(*) FROM authsync.job_requests WHERE job_id IS NOT NULL),
			(SELECT count(*) FROM authsync.river_job)) FROM authsync.refresh_requests`))
	var all []string
	for i := range 200 {
		all = append(all, demoprovider.Auth0ID(i))
	}
	b.want(t, all...)
	b.work(t, b.mirrors)
	b.quiet(t)
	require.Equal(t, 200, tenant.Requests("/users/"))
	require.Equal(t, 1, tenant.Requests("/oauth/token"))
	require.Equal(t, "200", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users WHERE email IS NOT NULL`))

	tenant.Account.Delete(7)
	b.want(t, demoprovider.Auth0ID(7))
	b.quiet(t)
	require.Equal(t, demoprovider.Auth0ID(7), one(t, b.project, `SELECT id FROM capydb_auth.users WHERE deleted_at IS NOT NULL`))
	b.want(t, demoprovider.Auth0ID(999)) // known to nobody
	b.quiet(t)
	require.Equal(t, "200", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
}

// What is asked for while a request runs may have happened after the answer was
// made, so it needs another one.
func TestAWishDuringTheRequestNeedsAnother(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 3)
	var asked atomic.Int64
	begun, goOn := make(chan struct{}), make(chan struct{})
	tenant.Begun = func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/users/") && asked.Add(1) == 1 {
			close(begun)
			<-goOn
		}
	}
	b.work(t, b.mirrors)
	b.want(t, demoprovider.Auth0ID(1))
	<-begun
	for range 5 {
		b.want(t, demoprovider.Auth0ID(1))
	}
	close(goOn)
	b.quiet(t)
	require.Equal(t, 2, perUser(tenant, 1), "one for all five")
}

// A request whose transaction has not committed when the job looks for the last time.
func TestTheJobDoesNotEndBesideAWish(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 3)
	begun, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	tenant.Begun = func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/users/") {
			once.Do(func() {
				close(begun)
				<-goOn
			})
		}
	}
	b.want(t, demoprovider.Auth0ID(0))
	b.work(t, b.mirrors)
	<-begun
	tx, err := b.control.Begin(t.Context())
	require.NoError(t, err)
	require.NoError(t, b.queue.Request(t.Context(), tx, b.projectID, provider.Auth0, []string{demoprovider.Auth0ID(1)}))
	close(goOn)
	b.becomes(t, b.control, "1", `
		SELECT count(*)::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`)
	require.NoError(t, tx.Commit(t.Context()))
	b.quiet(t)
	require.Equal(t, 1, perUser(tenant, 1))
}

// Requests come from many processes, and the job ends between any two of them.
func TestNoWishIsLostWhereJobsEnd(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.auth0(t, 8)
	b.work(t, b.mirrors)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for range 25 {
				err := pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
					ids := []string{demoprovider.Auth0ID(worker), demoprovider.Auth0ID((worker + 1) % 8)}
					return b.queue.Request(t.Context(), tx, b.projectID, provider.Auth0, ids)
				})
				if err != nil {
					t.Errorf("ask for users: %v", err)
				}
			}
		})
	}
	group.Wait()
	b.quiet(t)
	require.Equal(t, "8", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
}

func TestAJobThatSomebodyCancelledIsMadeAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 3)
	b.want(t, demoprovider.Auth0ID(0))
	var id int64
	require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
		if err := tx.QueryRow(t.Context(), `SELECT id FROM authsync.river_job`).Scan(&id); err != nil {
			return err
		}
		_, err := b.jobs.JobCancelTx(t.Context(), tx, id)
		return err
	}))
	b.want(t, demoprovider.Auth0ID(1))
	b.work(t, b.mirrors)
	b.quiet(t)
	require.Equal(t, 2, tenant.Requests("/users/"))
	// And that it is tried again from River UI does no harm.
	require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
		_, err := b.jobs.JobRetryTx(t.Context(), tx, id)
		return err
	}))
	b.quiet(t)
	require.Equal(t, 2, tenant.Requests("/users/"))
}

// Nobody asks for another user: what was wanted before is read all the same.
func TestUsersWhoseJobIsGoneAreRead(t *testing.T) {
	t.Parallel()
	for name, deletes := range map[string]bool{"Cancelled": false, "Deleted": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			tenant := b.auth0(t, 3)
			b.want(t, demoprovider.Auth0ID(0), demoprovider.Auth0ID(1))
			require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
				var jobID int64
				if err := tx.QueryRow(t.Context(), `SELECT job_id FROM authsync.job_requests`).Scan(&jobID); err != nil {
					return err
				}
				_, err := b.jobs.JobCancelTx(t.Context(), tx, jobID)
				if err == nil && deletes {
					_, err = b.jobs.JobDeleteTx(t.Context(), tx, jobID)
				}
				return err
			}))
			b.work(t, b.mirrors)
			b.quiet(t)
			require.Equal(t, 2, tenant.Requests("/users/"))
		})
	}
}

// Somebody asks for another user while the job that is gone is rescued, which need not wait for that.
func TestUsersWhoseJobIsGoneGetOneJob(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.auth0(t, 3)
	b.want(t, demoprovider.Auth0ID(0))
	_, err := b.control.Exec(t.Context(), `DELETE FROM authsync.river_job`)
	require.NoError(t, err)
	require.NoError(t, pgdb.InTx(t.Context(), b.control, func(tx pgx.Tx) error {
		if err := b.queue.Request(t.Context(), tx, b.projectID, provider.Auth0, []string{demoprovider.Auth0ID(1)}); err != nil {
			return err
		}
		require.Equal(t, "1", one(t, b.control, `SELECT authsync.rescue_requests(NULL)::text`))
		return nil
	}))
	b.work(t, b.mirrors)
	b.quiet(t)
	require.Equal(t, "1", one(t, b.control, `SELECT count(*)::text FROM authsync.river_job WHERE kind = 'refresh_users'`))
}

// away is a mirror that is sometimes away, and sometimes dies after it has applied.
type away struct {
	*mirror.Mirrors

	clocks, applied atomic.Int64
}

func (m *away) Clocks(ctx context.Context, projectID uuid.UUID, of record.Type, ids []string) (map[string]mirror.Clocks, error) {
	if m.clocks.Add(1) <= 2 {
		return nil, &tenantdb.DelayError{After: 7 * time.Second, Err: errors.New("no answer")}
	}
	return m.Mirrors.Clocks(ctx, projectID, of, ids)
}

func (m *away) Apply(ctx context.Context, projectID uuid.UUID, events []mirror.Event) ([]mirror.Result, error) {
	results, err := m.Mirrors.Apply(ctx, projectID, events)
	if err == nil && m.applied.Add(1) == 1 {
		err = errors.New("the worker died here")
	}
	return results, err
}

func TestRefreshesOutliveTrouble(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 5)
	tenant.Fail(demoprovider.Fault{Path: "/users/", Status: http.StatusTooManyRequests, Header: http.Header{"Retry-After": {"90"}}})
	var once sync.Once
	tenant.Begun = func(r *http.Request) {
		if strings.Contains(r.URL.Path, "/users/") {
			once.Do(func() { b.clock.Advance(2 * time.Minute) }) // so that the pause is over at the next try
		}
	}
	b.want(t, demoprovider.Auth0ID(0))
	b.work(t, &away{Mirrors: b.mirrors})
	b.quiet(t)
	require.Equal(t, "1", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
	kept := b.kept()
	require.Equal(t, []time.Duration{7 * time.Second, 7 * time.Second}, kept[:2], "the database was unavailable")
	require.Contains(t, kept, 2*time.Second, "the worker died")
	require.True(t, slices.ContainsFunc(kept, func(d time.Duration) bool { return d >= 90*time.Second }), "the provider asked for it: %v", kept)
	require.Equal(t, "0", one(t, b.control, `SELECT coalesce(cardinality(errors), 0)::text FROM authsync.river_job`), "no attempt was used up")
}

// A provider that is too slow for a whole batch gets on all the same: what it has
// answered counts.
func TestASlowProviderGetsOn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 5)
	b.readTime = 500 * time.Millisecond
	var slow sync.Once
	tenant.Begun = func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, demoprovider.Auth0ID(1)) {
			slow.Do(func() { <-r.Context().Done() })
		}
	}
	b.want(t, demoprovider.Auth0ID(0), demoprovider.Auth0ID(1), demoprovider.Auth0ID(2))
	b.work(t, b.mirrors)
	b.quiet(t)
	require.Equal(t, []int{1, 2, 1}, []int{perUser(tenant, 0), perUser(tenant, 1), perUser(tenant, 2)})
	require.Empty(t, b.kept(), "nothing was deferred")
}

func TestRefreshesWaitForCredentials(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 5)
	good := b.integrations[provider.Auth0]
	bad := good
	bad.credentials.ClientSecret = "wrong"
	b.store(provider.Auth0, &bad)
	b.work(t, b.mirrors)
	b.want(t, demoprovider.Auth0ID(0))
	b.becomes(t, b.control, "shop auth0 1 0 t", `
		SELECT coalesce((SELECT concat_ws(' ', project, provider, waiting, given_up, wait_reason LIKE '%client_secret%')
			FROM authsync.pending_refreshes), '')`)
	require.Contains(t, b.kept(), 5*time.Minute)
	missing := good
	missing.credentials.ClientSecret = ""
	b.store(provider.Auth0, &missing)
	b.becomes(t, b.control, "t", `SELECT (wait_reason LIKE '%authsync integrations set%')::text::char FROM authsync.pending_refreshes`)
	b.store(provider.Auth0, &good)
	b.quiet(t)
	require.Equal(t, 1, perUser(tenant, 0))

	b.store(provider.Auth0, nil)
	b.want(t, demoprovider.Auth0ID(1))
	b.quiet(t)
	require.Zero(t, perUser(tenant, 1), "there is nobody to ask")
}

// A user who cannot be read, or not be written, is tried again alone, and given up
// in the end; the others go in. Another request starts again.
func TestOneUserInTroubleHoldsUpNobody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	tenant := b.auth0(t, 5)
	b.exec(t, `ALTER TABLE capydb_auth.users ADD CONSTRAINT no_two CHECK (id <> '`+demoprovider.Auth0ID(2)+`')`)
	b.want(t, demoprovider.Auth0ID(0), demoprovider.Auth0ID(1), demoprovider.Auth0ID(2), demoprovider.Auth0ID(3))
	for range 8 {
		tenant.Fail(demoprovider.Fault{Path: demoprovider.Auth0ID(1), Status: http.StatusTeapot, Body: `{"message":"odd"}`})
	}
	b.work(t, b.mirrors)
	b.becomes(t, b.control, "0 2", `SELECT coalesce((SELECT concat_ws(' ', waiting, given_up) FROM authsync.pending_refreshes), '')`)
	require.Equal(t, "2", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
	require.Equal(t, 8, perUser(tenant, 1))
	require.Equal(t, 1, perUser(tenant, 0))
	require.Contains(t, one(t, b.control, `SELECT last_error FROM authsync.refresh_requests WHERE user_id = $1`, demoprovider.Auth0ID(2)), "constraint no_two")
	require.Contains(t, b.kept(), time.Hour+4*time.Minute)

	b.want(t, demoprovider.Auth0ID(1))
	b.becomes(t, b.control, demoprovider.Auth0ID(2), `SELECT string_agg(user_id, ' ') FROM authsync.refresh_requests`)
	b.exec(t, `ALTER TABLE capydb_auth.users DROP CONSTRAINT no_two`)
	_, err := b.one.Refresh(t.Context(), b.projectID, user(demoprovider.Auth0ID(2)), "")
	require.NoError(t, err)
	b.quiet(t)
	require.Equal(t, "4", one(t, b.project, `SELECT count(*)::text FROM capydb_auth.users`))
}

func TestPossibleSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := setup(t)
	possible := func() error { return b.queue.Possible(t.Context(), b.projectID, provider.Auth0) }
	require.ErrorIs(t, possible(), project.ErrNoIntegration)
	b.store(provider.Auth0, &stored{})
	require.True(t, fault.Is(possible(), fault.Unsupported))
	tenant := b.auth0(t, 1)
	require.NoError(t, possible())
	require.Zero(t, tenant.Requests(""), "it sends nothing")
}
