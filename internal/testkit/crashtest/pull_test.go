package crashtest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

const (
	pullRounds      = 10
	shortPullRounds = 4
	pullUsers       = 10
)

// Two servers pull the events of one tenant, of which some are pushed as well, while they and
// PostgreSQL are killed and the tenant recycles connections: each event has its effect exactly once.
func TestPulledEventsAreNeitherLostNorAppliedTwice(t *testing.T) {
	t.Parallel()
	seed := chooseSeed(t)
	random := rand.New(rand.NewPCG(seed, 1))
	ctx := t.Context()
	database := startDatabase(t)
	b := prepare(t, database)

	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(0), time.Now)
	tenant.Scope = demoprovider.Auth0EventScope
	tenant.Events.Connections = 2 // one that was cut off may still be there
	api := httptest.NewServer(tenant)
	t.Cleanup(api.Close)
	t.Cleanup(tenant.Events.End)
	b.pullFrom(t, tenant.At(api.URL))

	servers := b.startTwo(t)
	happening, stop := context.WithCancel(ctx)
	var load pullLoad
	var ended sync.WaitGroup
	ended.Go(func() { load.run(happening, b, tenant) })

	count := pullRounds
	if testing.Short() {
		count = shortPullRounds
	}
	for round := 1; round <= count; round++ {
		waittest.Until(t, func() bool { return tenant.Events.Open() > 0 }, "seed %d, round %d", seed, round)
		wait(t, time.Duration(random.IntN(300))*time.Millisecond)
		victim := "a server"
		switch random.IntN(5) {
		case 0:
			victim = "PostgreSQL"
			database.Kill()
			wait(t, time.Duration(random.IntN(100))*time.Millisecond)
			require.NoError(t, database.Restart(ctx), "seed %d, round %d", seed, round)
		case 1:
			victim = "connections"
			tenant.Events.Recycle("")
		default:
			s := servers[random.IntN(2)]
			s.kill(t)
			s.start(t)
		}
		t.Logf("round %d: killed %s; %d events so far, %d connections", round, victim, load.happened(), len(tenant.Events.Opened()))
	}
	stop()
	ended.Wait()
	what := fmt.Sprintf("seed %d, after %d rounds with %d events", seed, count, load.happened())
	b.requirePulledOnce(t, load.happened(), what)
	require.Greater(t, len(tenant.Events.Opened()), 1, "%s: no connection was cut off, so nothing was tested", what)
	require.Positive(t, b.askInt(t, `SELECT messages FROM authsync.pulls`), what)
}

// pullFrom turns pulling on for the project's Auth0.
func (b *bundle) pullFrom(t *testing.T, base string) {
	t.Helper()
	credentials := map[string]json.RawMessage{}
	for name, value := range map[string]string{
		"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret,
	} {
		credentials[name] = json.RawMessage(`"` + value + `"`)
	}
	projectID, err := uuid.Parse(b.load.projectID)
	require.NoError(t, err)
	options := fmt.Appendf(nil, `{"pull": true, "base_url": %q, "reconcile": {"every": "never"}}`, base)
	_, err = b.store.PutIntegration(t.Context(), projectID, provider.Auth0, credentials, nil)
	require.NoError(t, err)
	// The servers may reach this machine, and the store here may not.
	_, err = b.control.Exec(t.Context(), `UPDATE authsync.integrations SET options = $1, updated_at = now() WHERE provider = 'auth0'`, options)
	require.NoError(t, err)
}

// pullLoad lets events happen at a tenant. Every third one is pushed as well.
type pullLoad struct {
	mu sync.Mutex
	n  int
}

func (l *pullLoad) happened() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

func (l *pullLoad) run(ctx context.Context, b *bundle, tenant *demoprovider.Auth0) {
	epoch := time.Now().Add(-time.Hour)
	pause := time.NewTicker(5 * time.Millisecond)
	defer pause.Stop()
	for ; ctx.Err() == nil; <-pause.C {
		l.mu.Lock()
		l.n++
		n := l.n
		l.mu.Unlock()
		header, body, err := auth0.New().Sign(provider.Sample{
			Type: "user.updated", ID: pulledID(n), UserID: pulledUser(n), At: epoch.Add(time.Duration(n) * time.Millisecond),
			Set: map[string]any{"email": fmt.Sprintf("e%d@example.com", n)},
		}, b.load.credentials[provider.Auth0], provider.Options{}, time.Now())
		if err != nil {
			panic(err) // the sample is right
		}
		tenant.Events.Publish(time.Now(), body)
		if n%3 == 0 {
			l.push(ctx, b, header, body)
		}
	}
}

// push sends an event once, as good as that works: what is lost is pulled.
func (l *pullLoad) push(ctx context.Context, b *bundle, header http.Header, body []byte) {
	url, _ := b.server.url.Load().(string)
	c := client.New(url, "")
	defer c.Close()
	_ = c.Deliver(ctx, provider.Auth0, b.load.projectID, header, body)
}

func pulledID(n int) string   { return fmt.Sprintf("evt_%022d", n) }
func pulledUser(n int) string { return fmt.Sprintf("auth0|%d", n%pullUsers) }

// requirePulledOnce waits until all events are applied, and checks that each was once.
func (b *bundle) requirePulledOnce(t *testing.T, events int, what string) {
	t.Helper()
	waittest.Until(t, func() bool {
		return b.askInt(t, `SELECT count(DISTINCT event_id) FROM authsync.events WHERE event_id LIKE 'evt_%' AND outcome <> 'pending'`) == events
	}, what)
	require.Equal(t, events, b.askInt(t,
		`SELECT count(*) FROM authsync.events WHERE event_id LIKE 'evt_%' AND outcome IN ('applied', 'stale')`), "%s: each has its effect once", what)
	require.Zero(t, b.askInt(t, `SELECT count(*) FROM authsync.events WHERE outcome NOT IN ('applied', 'stale', 'duplicate')`), what)
	for user := range pullUsers {
		last := events - (events-user+pullUsers)%pullUsers
		var email string
		require.NoError(t, b.project.QueryRow(t.Context(), `SELECT email FROM capydb_auth.users WHERE id = $1`, pulledUser(user)).Scan(&email), what)
		require.Equal(t, fmt.Sprintf("e%d@example.com", last), email, what)
	}
	// Cursor and messages are one transaction: what was pulled is in the inbox once.
	require.Equal(t, b.askInt(t, `SELECT messages FROM authsync.pulls`), b.askInt(t, `SELECT count(*) FROM authsync.inbox WHERE verified_by = 'pulled'`), what)
	require.Equal(t, events, b.askInt(t, `SELECT count(*) FROM authsync.inbox WHERE verified_by = 'pulled'`), "%s: each was pulled once", what)
}

func (b *bundle) askInt(t *testing.T, sql string) (n int) {
	t.Helper()
	waittest.Until(t, func() bool { return b.control.QueryRow(t.Context(), sql).Scan(&n) == nil }) // a connection may have been cut off
	return n
}
