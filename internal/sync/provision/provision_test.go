package provision_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/sync/provision"
	"github.com/authsync/authsync/internal/testkit/jobstest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const allDone = "permissions done, webhook done, test_sent done, test_arrived done"

func TestOneKeyIsEnough(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, _ := b.start(t, b.config())
	none, err := w.Status(t.Context(), b.projectID, provider.Auth0, true)
	require.NoError(t, err)
	require.Nil(t, none, "nobody asked for a webhook")

	b.put(t, "")
	s := b.reaches(t, w, provision.Ready)
	require.Equal(t, allDone, stepsOf(s))
	require.True(t, s.Made)
	require.Equal(t, b.url(), s.URL)
	one := b.stream(t)
	require.Equal(t, s.ID, one.ID)
	require.Equal(t, b.url(), one.Endpoint)
	require.Equal(t, "authsync "+b.projectID.String(), one.Name)
	require.Equal(t, one.Types, s.EventTypes)
	require.Equal(t, []int{204}, b.server.Streams.Posted(), "the stream's secret is the receiver's")
	credentials, _, err := b.store.Credentials(t.Context(), b.projectID, provider.Auth0)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"method": "bearer", "token": string(credentials.WebhookSigningSecret[0])}, one.Authorization)
	b.ends(t)

	compared, err := w.Status(t.Context(), b.projectID, provider.Auth0, true)
	require.NoError(t, err)
	require.Empty(t, compared.Differences)
	require.Empty(t, compared.Unknown)

	// No secret is in the log, the jobs and the table.
	var stored string
	require.NoError(t, b.pool.QueryRow(t.Context(), `
		SELECT concat((SELECT string_agg(j::text, ' ') FROM authsync.river_job AS j), (SELECT string_agg(w::text, ' ') FROM authsync.provisioned_webhooks AS w))`).Scan(&stored))
	for _, secret := range []string{string(credentials.WebhookSigningSecret[0]), demoprovider.Auth0ClientSecret, "eyJ-token"} {
		require.NotContains(t, stored, secret)
		require.NotContains(t, b.logged(), secret)
	}
}

// The process dies right behind each of the requests that the way to a webhook takes.
func TestADeathBetweenTwoStepsLeavesOneStream(t *testing.T) {
	t.Parallel()
	for n := int64(1); n <= 6; n++ {
		t.Run(fmt.Sprint("AfterRequest", n), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var requests atomic.Int64
			dead, died := make(chan struct{}), make(chan struct{})
			b.server.Answered = func(*http.Request) {
				if requests.Add(1) == n {
					close(dead)
					<-died
				}
			}
			w, stop := b.start(t, b.config())
			b.put(t, "")
			reached := make(chan bool, 1)
			go func() {
				select {
				case <-dead:
					stop()
					close(died)
					reached <- true
				case <-t.Context().Done():
				}
			}()
			waittest.Until(t, func() bool {
				return len(reached) > 0 || b.status(t, w).State == provision.Ready
			})
			b.start(t, b.config())
			s := b.retried(t, w, provision.Ready)
			require.Equal(t, allDone, stepsOf(s))
			require.True(t, s.Made, "it is known as authsync's")
			require.Equal(t, b.stream(t).ID, s.ID)
		})
	}
}

func TestManyPutsAtOnceMakeOneStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, _ := b.start(t, b.config())
	b.start(t, b.config())
	var group errgroup.Group
	for range 6 {
		group.Go(func() error { return b.tryPut(t.Context(), "") })
	}
	require.NoError(t, group.Wait())
	b.reaches(t, w, provision.Ready)
	b.ends(t)
	require.Equal(t, provision.Ready, b.status(t, w).State)
	one := b.stream(t)
	credentials, _, err := b.store.Credentials(t.Context(), b.projectID, provider.Auth0)
	require.NoError(t, err)
	require.Len(t, credentials.WebhookSigningSecret, 1, "one secret was generated")
	require.Equal(t, string(credentials.WebhookSigningSecret[0]), one.Authorization["token"])
}

func TestMissingPermissionsBlockBeforeAnythingIsChanged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.Scope = "read:event_streams"
	w, _ := b.start(t, b.config())
	b.put(t, "")
	s := b.reaches(t, w, provision.Blocked)
	require.Equal(t, []string{"create:event_streams", "update:event_streams", "delete:event_streams"}, s.Missing)
	require.Equal(t, "permissions failed, webhook waiting, test_sent waiting, test_arrived waiting", stepsOf(s))
	require.Contains(t, s.Steps[0].Detail, "create:event_streams")
	require.Zero(t, b.server.Requests("/event-streams"))
	b.ends(t)

	// It is tried again once an hour, and when a person asks.
	b.server.Change(func() { b.server.Scope = demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes })
	check(t, b)
	b.ends(t)
	require.Equal(t, provision.Blocked, b.status(t, w).State, "not so soon")
	exec(t, b.pool, `UPDATE authsync.provisioned_webhooks SET updated_at = now() - interval '1 hour'`)
	check(t, b)
	s = b.reaches(t, w, provision.Ready)
	require.Empty(t, s.Missing)
	require.Empty(t, s.Problem)
}

// check runs check_webhooks.
func check(t *testing.T, b *testBundle) {
	t.Helper()
	before := ended(t, b)
	_, err := jobstest.Client(t, b.pool).Insert(t.Context(), checkArgs{}, &river.InsertOpts{Queue: provision.JobQueue})
	require.NoError(t, err)
	waittest.Until(t, func() bool { return ended(t, b) > before }, "%s", b.logged())
}

type checkArgs struct{}

func (checkArgs) Kind() string { return "check_webhooks" }

func ended(t *testing.T, b *testBundle) (n int) {
	t.Helper()
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT count(*) FROM authsync.river_job WHERE kind = 'check_webhooks' AND state = 'completed'`).Scan(&n))
	return n
}

func TestAFailingProviderIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.Fail(slices.Repeat([]demoprovider.Fault{{Status: 503}}, 10_000)...)
	w, _ := b.start(t, b.config())
	b.put(t, "")
	waittest.Until(t, func() bool {
		jobstest.Retry(t, b.pool, jobs.ProvisionWebhook)
		s := b.status(t, w)
		return s.State == provision.Pending && strings.Contains(s.Problem, "503")
	}, "%s", b.logged())
	require.Equal(t, "permissions waiting, webhook waiting, test_sent waiting, test_arrived waiting", stepsOf(b.status(t, w)))
	b.server.Heal()
	b.retried(t, w, provision.Ready)
	b.stream(t)
}

func TestRefusedCredentialsBlock(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.Secret = "another"
	w, _ := b.start(t, b.config())
	b.put(t, "")
	s := b.reaches(t, w, provision.Blocked)
	require.Contains(t, s.Problem, "credentials.client_secret")
	require.NotContains(t, s.Problem, demoprovider.Auth0ClientSecret)
}

func TestATestEventThatDoesNotArriveIsSaid(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.down = true
	c := b.config()
	c.TestTime = time.Nanosecond
	w, stop := b.start(t, c)
	b.server.Change(func() {
		b.server.Begun = func(r *http.Request) {
			if strings.Contains(r.URL.Path, "/deliveries/") {
				b.server.Streams.Posted() // the provider has noted what the receiver answered
			}
		}
	})
	b.put(t, "")
	s := b.reaches(t, w, provision.Blocked)
	require.Contains(t, s.Problem, "is not among the received events")
	require.Contains(t, s.Problem, b.url())
	require.Contains(t, s.Problem, "The provider says: the endpoint answered 503")
	require.Equal(t, "permissions done, webhook done, test_sent done, test_arrived failed", stepsOf(s))
	stop()

	b.mu.Lock()
	b.down = false
	b.mu.Unlock()
	w, _ = b.start(t, b.config())
	b.put(t, "")
	b.reaches(t, w, provision.Ready)
	b.stream(t)
}

func TestAStreamThatWasThereIsAdoptedAndStays(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.Streams.Streams = []demoprovider.Auth0Stream{
		{ID: "est_theirs", Name: "by hand", Endpoint: b.url(), Token: "pasted", Types: []string{"user.created"}},
		{ID: "est_other", Name: "other", Endpoint: "https://elsewhere.example.com", Token: "x"},
	}
	other := fmt.Sprint(b.server.Streams.All()[1])
	w, _ := b.start(t, b.config())
	b.put(t, "")
	s := b.reaches(t, w, provision.Ready)
	require.False(t, s.Made)
	require.Equal(t, "est_theirs", s.ID)
	require.Contains(t, s.Steps[1].Detail, "adopted est_theirs")
	require.NoError(t, w.Remove(t.Context(), b.projectID, provider.Auth0))
	require.Len(t, b.server.Streams.All(), 2, "nothing was removed")
	require.Equal(t, other, fmt.Sprint(b.server.Streams.All()[1]))
}

func TestDeletingRemovesWhatWasMade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.server.Streams.Streams = []demoprovider.Auth0Stream{{ID: "est_other", Name: "other", Endpoint: "https://elsewhere.example.com", Token: "x"}}
	w, _ := b.start(t, b.config())
	require.NoError(t, w.Remove(t.Context(), b.projectID, provider.Auth0), "there is none")
	b.put(t, "")
	b.reaches(t, w, provision.Ready)
	b.ends(t)

	b.server.Fail(slices.Repeat([]demoprovider.Fault{{Status: 503}}, 50)...)
	err := w.Remove(t.Context(), b.projectID, provider.Auth0)
	require.True(t, fault.Is(err, fault.ProviderUnavailable), err)
	require.Len(t, b.server.Streams.All(), 2)
	b.server.Heal()
	require.NoError(t, w.Remove(t.Context(), b.projectID, provider.Auth0))
	require.Equal(t, "est_other", b.stream(t).ID)
	require.NoError(t, b.store.DeleteIntegration(t.Context(), b.projectID, provider.Auth0))
	s, err := w.Status(t.Context(), b.projectID, provider.Auth0, true)
	require.NoError(t, err)
	require.Nil(t, s)
}

// A stream whose creation nobody noted is removed, too.
func TestDeletingRemovesWhatNobodyNoted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put(t, "")
	b.server.Streams.Streams = []demoprovider.Auth0Stream{{ID: "est_lost", Name: "authsync " + b.projectID.String(), Endpoint: b.url(), Token: "x"}}
	require.NoError(t, provision.New(b.config()).Remove(t.Context(), b.projectID, provider.Auth0))
	require.Empty(t, b.server.Streams.All())
}

// While an integration is being deleted, no job makes another stream.
func TestTheJobWaitsForADeletion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, _ := b.start(t, b.config())
	b.put(t, "")
	b.reaches(t, w, provision.Ready)
	b.ends(t)
	require.NoError(t, w.Remove(t.Context(), b.projectID, provider.Auth0))
	b.put(t, "")
	waittest.Until(t, func() bool {
		jobstest.Retry(t, b.pool, jobs.ProvisionWebhook)
		var reason string
		require.NoError(t, b.pool.QueryRow(t.Context(),
			`SELECT coalesce(max(metadata #>> '{output,wait_reason}'), '') FROM authsync.river_job WHERE kind = 'provision_webhook' AND finalized_at IS NULL`).Scan(&reason))
		return strings.Contains(reason, "another process")
	})
	require.Empty(t, b.server.Streams.All())
	require.NoError(t, b.store.DeleteIntegration(t.Context(), b.projectID, provider.Auth0))
	waittest.Until(t, func() bool {
		jobstest.Retry(t, b.pool, jobs.ProvisionWebhook)
		var busy bool
		require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM authsync.job_requests WHERE job_id IS NOT NULL)`).Scan(&busy))
		return !busy
	})
	require.Empty(t, b.server.Streams.All())
}

func TestARemovalWaitsForTheJobAndGivesUp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put(t, "")
	exec(t, b.pool, `UPDATE authsync.provisioned_webhooks SET lease = gen_random_uuid(), leased_until = now() + interval '1 hour'`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, provision.New(b.config()).Remove(ctx, b.projectID, provider.Auth0), context.Canceled)
	err := provision.New(b.config()).Remove(t.Context(), b.projectID, provider.Auth0)
	require.True(t, fault.Is(err, fault.WrongState), err)
	exec(t, b.pool, `UPDATE authsync.provisioned_webhooks SET leased_until = now()`)
	require.NoError(t, provision.New(b.config()).Remove(t.Context(), b.projectID, provider.Auth0), "the lease of a process that died ends")
}

func TestChangesAreFollowed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, stop := b.start(t, b.config())
	b.put(t, "")
	first := b.reaches(t, w, provision.Ready)
	require.Len(t, first.EventTypes, 10)

	b.put(t, `, "record_types": ["users"]`)
	s := b.reaches(t, w, provision.Ready)
	require.Len(t, s.EventTypes, 3)
	require.Len(t, b.stream(t).Types, 3)

	_, err := b.store.PutIntegration(t.Context(), b.projectID, provider.Auth0, raw("webhook_signing_secret", `{"add": "a-new-secret-that-is-long-enough-7f3a"}`), nil)
	require.NoError(t, err)
	b.reaches(t, w, provision.Ready)
	require.Equal(t, "a-new-secret-that-is-long-enough-7f3a", b.stream(t).Authorization["token"])

	// A person changed something at the provider: it is said, and repaired when the integration is stored again.
	b.server.Streams.Change(s.ID, func(one *demoprovider.Auth0Stream) { one.Disabled = true })
	check(t, b)
	b.ends(t)
	require.Empty(t, b.status(t, w).Differences, "it was compared lately")
	exec(t, b.pool, `UPDATE authsync.provisioned_webhooks SET compared_at = now() - interval '7 hours'`)
	check(t, b)
	b.ends(t)
	require.Equal(t, []string{"the event stream is disabled"}, b.status(t, w).Differences)
	require.True(t, b.stream(t).Disabled, "comparing changes nothing")
	b.put(t, "")
	require.Empty(t, b.reaches(t, w, provision.Ready).Differences)
	require.False(t, b.stream(t).Disabled)
	b.ends(t)
	stop()

	// The server has another address now.
	c := b.config()
	c.Base = "https://new.example.com/"
	w, _ = b.start(t, c)
	check(t, b)
	waittest.Until(t, func() bool { return strings.HasPrefix(b.status(t, w).URL, "https://new.example.com/api/") }, "%s", b.logged())
	b.reaches(t, w, provision.Ready)
	require.Equal(t, "https://new.example.com"+path(provider.Auth0, b.projectID), b.stream(t).Endpoint)
	require.Equal(t, s.ID, b.stream(t).ID)
}

func TestWithoutAPublicURLItIsBlocked(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := b.config()
	c.Base, c.Configured = "http://10.0.0.7:8080", false
	w, _ := b.start(t, c)
	b.put(t, "")
	s := b.reaches(t, w, provision.Blocked)
	require.Contains(t, s.Problem, "AUTHSYNC_PUBLIC_URL")
	require.Zero(t, b.server.Requests("/"))
}

func TestAComparisonIsBoundedAndHonest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, _ := b.start(t, b.config())
	b.put(t, "")
	s := b.reaches(t, w, provision.Ready)
	b.ends(t)
	b.server.Streams.Change(s.ID, func(one *demoprovider.Auth0Stream) { one.Types = []string{"user.created", "group.created"} })
	compared, err := w.Status(t.Context(), b.projectID, provider.Auth0, true)
	require.NoError(t, err)
	require.Len(t, compared.Differences, 2)
	require.Contains(t, compared.Differences[0], "user.deleted")
	require.Contains(t, compared.Differences[1], "group.created")

	// Pages that are opened again and again do not ask each time.
	requests := b.server.Requests("/event-streams")
	_, err = w.Status(t.Context(), b.projectID, provider.Auth0, true)
	require.NoError(t, err)
	require.Equal(t, requests, b.server.Requests("/event-streams"))

	b.mu.Lock()
	b.now = b.now.Add(time.Minute)
	b.mu.Unlock()
	b.server.Fail(slices.Repeat([]demoprovider.Fault{{Status: 503}}, 50)...)
	compared, err = w.Status(t.Context(), b.projectID, provider.Auth0, true)
	require.NoError(t, err)
	require.Contains(t, compared.Unknown, "unknown: Auth0 could not be asked")
	require.NotContains(t, compared.Unknown, demoprovider.Auth0ClientSecret)
}

func TestTakingTheOptionBackLeavesTheStream(t *testing.T) {
	t.Parallel()
	b := setup(t)
	w, _ := b.start(t, b.config())
	b.put(t, "")
	b.reaches(t, w, provision.Ready)
	b.ends(t)
	_, err := b.store.PutIntegration(t.Context(), b.projectID, provider.Auth0, nil, []byte(fmt.Sprintf(`{"base_url": %q, "record_types": ["users"]}`, b.api)))
	require.NoError(t, err)
	exec(t, b.pool, `UPDATE authsync.provisioned_webhooks SET compared_at = now() - interval '1 year', updated_at = now() - interval '1 year'`)
	check(t, b)
	b.ends(t)
	require.Equal(t, provision.Unmanaged, b.status(t, w).State)
	require.Len(t, b.stream(t).Types, 10)
	require.NoError(t, w.Remove(t.Context(), b.projectID, provider.Auth0))
	require.Empty(t, b.server.Streams.All(), "authsync made it")
}
