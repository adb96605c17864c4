package pull_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/ingest/pull"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestEventsComeIntoTheInbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1, 2)
	w.run(t)
	w.waitFor(t, of, event(1), event(2))
	of.happen(3)
	w.waitFor(t, of, event(1), event(2), event(3))
	var verifiedBy, job string
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT DISTINCT verified_by FROM authsync.inbox`).Scan(&verifiedBy))
	require.Equal(t, "pulled", verifiedBy)
	require.NoError(t, w.pool.QueryRow(t.Context(), `SELECT kind FROM authsync.river_job`).Scan(&job))
	require.Equal(t, "apply_inbox", job, "the job that applies them was requested with them")
	require.Equal(t, demoprovider.Auth0Offset(3), ask[string](t, w, of, "cursor"))
	require.Equal(t, 3, ask[int](t, w, of, "messages"))
	require.NotNil(t, ask[*time.Time](t, w, of, "connected_since"))
	require.Len(t, of.Events.Opened(), 1, "one connection")
	require.NotContains(t, of.Events.Opened(), "", "events since pulling was turned on are asked for")
}

func TestOffsetAloneMovesTheCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.Events.Advance(time.Now())
	w.run(t)
	waittest.Until(t, func() bool { return ask[*string](t, w, of, "cursor") != nil })
	require.Empty(t, w.pulled(t, of))
	require.Zero(t, ask[int](t, w, of, "messages"))
}

// A stopped process leaves its claim at once; the next one goes on at its cursor.
func TestNextProcessGoesOnAtTheCursor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1)
	stop := w.run(t)
	w.waitFor(t, of, event(1))
	stop()
	require.Nil(t, ask[*uuid.UUID](t, w, of, "claimed_by"))
	of.happen(2)
	w.run(t)
	w.waitFor(t, of, event(1), event(2))
	require.Equal(t, demoprovider.Auth0Offset(1), of.Events.Opened()[1])
}

func TestTwoProcessesPullOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenants := []*tenant{w.tenant(t), w.tenant(t), w.tenant(t)}
	w.run(t)
	w.run(t)
	for _, of := range tenants {
		of.happen(1, 2, 3)
	}
	for _, of := range tenants {
		w.waitFor(t, of, event(1), event(2), event(3))
		require.Equal(t, 1, of.Events.Most(), "one connection at a time")
	}
}

// A claim that is not renewed is taken over when it has expired, and not before.
func TestDeadProcessIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of, alive := w.tenant(t), w.tenant(t)
	var mu sync.Mutex
	now := time.Now()
	w.exec(t, `UPDATE authsync.pulls SET claimed_by = gen_random_uuid(), claimed_until = $2 WHERE project_id = $1`, of.project, now.Add(10*time.Second))
	of.happen(1)
	alive.happen(1)
	w.run(t, func(c *pull.Config) {
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	w.waitFor(t, alive, event(1)) // it has looked
	require.Empty(t, w.pulled(t, of))
	require.Zero(t, of.Events.Most())
	mu.Lock()
	now = now.Add(10 * time.Second)
	mu.Unlock()
	w.waitFor(t, of, event(1))
}

// A claim that could not be released, because the database was away then, is not kept for ever by who has it.
func TestClaimThatWasNotReleasedExpires(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	w.exec(t, `CREATE FUNCTION pg_temp_refuse() RETURNS trigger LANGUAGE plpgsql AS $fn$ BEGIN RAISE EXCEPTION 'away'; END $fn$`)
	w.exec(t, `CREATE TRIGGER refuse BEFORE UPDATE ON authsync.pulls FOR EACH ROW
		WHEN (OLD.claimed_by IS NOT NULL AND NEW.claimed_by IS NULL) EXECUTE FUNCTION pg_temp_refuse()`)
	var mu sync.Mutex
	now, registry := time.Now(), prometheus.NewRegistry()
	of.happen(1)
	w.run(t, func(c *pull.Config) {
		c.Registry = registry
		c.Now = func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return now
		}
	})
	w.waitFor(t, of, event(1))
	of.Events.Recycle("")
	waittest.Until(t, func() bool { return connections(t, registry) == 0 })
	require.NotNil(t, ask[*uuid.UUID](t, w, of, "claimed_by"), "it could not be released")
	w.exec(t, `DROP TRIGGER refuse ON authsync.pulls`)
	mu.Lock()
	now = now.Add(10 * time.Second) // once: whoever renews is in time
	mu.Unlock()
	of.happen(2)
	w.waitFor(t, of, event(1), event(2))
}

// connections is how many connections a puller has.
func connections(t *testing.T, registry *prometheus.Registry) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "authsync_pull_connections" {
			n = family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	return n
}

// A process that was stopped, and comes back after another took over, stores nothing.
func TestDeposedProcessStoresNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1)
	w.run(t, func(c *pull.Config) { c.Interval = time.Hour }) // it does not notice by itself
	w.waitFor(t, of, event(1))
	other := uuid.New()
	w.exec(t, `UPDATE authsync.pulls SET claimed_by = $2, claimed_until = now() + interval '1 hour' WHERE project_id = $1`, of.project, other)
	of.happen(2)
	waittest.Until(t, func() bool { return of.Events.Open() == 0 })
	require.Equal(t, []string{event(1)}, w.pulled(t, of))
	require.Equal(t, demoprovider.Auth0Offset(1), ask[string](t, w, of, "cursor"))
	require.Equal(t, other, ask[uuid.UUID](t, w, of, "claimed_by"), "nor does it touch the other's claim")
}

func TestPullingStops(t *testing.T) {
	t.Parallel()
	for name, statement := range map[string]string{
		"OptionTurnedOff":    `UPDATE authsync.integrations SET options = '{}' WHERE project_id = $1`,
		"IntegrationDeleted": `DELETE FROM authsync.integrations WHERE project_id = $1`,
		"ProjectDeleted":     `DELETE FROM authsync.projects WHERE id = $1`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			of, other := w.tenant(t), w.tenant(t)
			of.happen(1)
			w.run(t)
			w.waitFor(t, of, event(1))
			w.exec(t, statement, of.project)
			waittest.Until(t, func() bool { return of.Events.Open() == 0 })
			other.happen(1)
			w.waitFor(t, other, event(1))
			require.Len(t, of.Events.Opened(), 1)
		})
	}
}

// What was turned off and on again goes on where it stopped.
func TestPullingGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1)
	w.run(t)
	w.waitFor(t, of, event(1))
	w.exec(t, `UPDATE authsync.integrations SET options = '{}' WHERE project_id = $1`, of.project)
	waittest.Until(t, func() bool { return of.Events.Open() == 0 })
	of.happen(2)
	w.exec(t, `UPDATE authsync.integrations SET options = '{"pull": true}' WHERE project_id = $1`, of.project)
	w.waitFor(t, of, event(1), event(2))
}

func TestChangedIntegrationIsOpenedAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1)
	w.run(t)
	w.waitFor(t, of, event(1))
	w.exec(t, `UPDATE authsync.integrations SET updated_at = now() WHERE project_id = $1`, of.project)
	waittest.Until(t, func() bool { return len(of.Events.Opened()) == 2 })
	w.mu.Lock()
	defer w.mu.Unlock()
	require.Equal(t, 2, of.opened, "with the credentials that are stored now")
}

// A recycled connection is opened again at the cursor, with the same token.
func TestRecycledConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1)
	w.run(t)
	w.waitFor(t, of, event(1))
	since := ask[time.Time](t, w, of, "connected_since")
	of.Events.Recycle("")
	of.happen(2)
	w.exec(t, `UPDATE authsync.pulls SET retry_at = NULL WHERE project_id = $1`, of.project) // it waits two seconds otherwise
	w.waitFor(t, of, event(1), event(2))
	require.Equal(t, demoprovider.Auth0Offset(1), of.Events.Opened()[1])
	require.Equal(t, 1, of.Requests("/oauth/token"))
	require.Equal(t, since, ask[time.Time](t, w, of, "connected_since"), "for people, it has been connected all the time")
	require.Nil(t, ask[*string](t, w, of, "wait_reason"))
}

// Events that cannot be had any more lead to a reconcile, and reading goes on.
func TestLostEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	of.happen(1)
	stop := w.run(t)
	w.waitFor(t, of, event(1))
	stop()
	of.happen(2)
	of.Events.Expire()
	w.mu.Lock()
	w.running = true
	w.mu.Unlock()
	w.run(t)
	waittest.Until(t, func() bool { return ask[*time.Time](t, w, of, "lost_at") != nil })
	require.Nil(t, ask[*string](t, w, of, "cursor"))
	require.Contains(t, ask[string](t, w, of, "lost_reason"), "(410)")
	w.exec(t, `UPDATE authsync.pulls SET retry_at = NULL WHERE project_id = $1`, of.project)
	waittest.Until(t, func() bool { return of.Events.Open() == 1 })
	of.happen(3)
	w.waitFor(t, of, event(1), event(3))
	require.True(t, ask[bool](t, w, of, "reconcile_due"), "a run that began before the loss does not count")
	w.mu.Lock()
	w.running = false
	w.mu.Unlock()
	w.exec(t, `UPDATE authsync.integrations SET updated_at = now() WHERE project_id = $1`, of.project) // to be tried at once
	waittest.Until(t, func() bool { return !ask[bool](t, w, of, "reconcile_due") })
	require.Equal(t, 1, w.reconciled(of.project))
}

// A cursor of another tenant is not sent to this one.
func TestCursorBelongsToItsOrigin(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := w.tenant(t)
	w.exec(t, `UPDATE authsync.pulls SET cursor = 'of another', origin = 'https://another' WHERE project_id = $1`, of.project)
	of.happen(1)
	w.run(t)
	w.waitFor(t, of, event(1))
	require.Equal(t, 1, of.Requests("/events"), "it was not tried")
	require.Nil(t, ask[*time.Time](t, w, of, "lost_at"))
	require.Equal(t, of.base, ask[string](t, w, of, "origin"))
}

func TestTroubleIsShownAndWaitedOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault   demoprovider.Fault
		words   string
		atLeast time.Duration
	}{
		"TooManyConnections": {demoprovider.Fault{Path: "/events", Status: 403, Body: `{}`}, "connections of the tenant's plan", 2 * time.Second},
		"RateLimited":        {demoprovider.Fault{Path: "/events", Status: 429, Header: http.Header{"Retry-After": {"600"}}}, "pause of 10m", 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			of := w.tenant(t)
			of.Fail(c.fault)
			of.happen(1)
			w.run(t)
			waittest.Until(t, func() bool { return ask[*string](t, w, of, "wait_reason") != nil })
			require.Contains(t, ask[string](t, w, of, "wait_reason"), c.words)
			require.Equal(t, 1, ask[int](t, w, of, "consecutive_failures"))
			require.True(t, ask[bool](t, w, of, "retry_at - last_ended_at >= $2::interval", c.atLeast))
			require.Nil(t, ask[*time.Time](t, w, of, "connected_since"))
			// Whoever stores the integration again has it tried at once.
			w.exec(t, `UPDATE authsync.integrations SET updated_at = now() WHERE project_id = $1`, of.project)
			w.waitFor(t, of, event(1))
			require.Nil(t, ask[*string](t, w, of, "wait_reason"))
			require.Zero(t, ask[int](t, w, of, "consecutive_failures"))
		})
	}
}

// With fewer connections than integrations, each has its turn.
func TestIntegrationsTakeTurns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var tenants []*tenant
	for range 5 {
		tenants = append(tenants, w.tenant(t))
	}
	w.run(t, func(c *pull.Config) { c.Connections, c.Turn = 2, 300*time.Millisecond }) // long enough to take what is there
	for n := range 3 {
		for _, of := range tenants {
			of.happen(n)
		}
		for _, of := range tenants {
			waittest.Until(t, func() bool { return len(w.pulled(t, of)) == n+1 })
		}
	}
	for _, of := range tenants {
		require.Equal(t, []string{event(0), event(1), event(2)}, w.pulled(t, of))
		w.mu.Lock()
		require.Equal(t, 1, of.opened, "a turn costs no token: the source is kept")
		w.mu.Unlock()
	}
}

// A tenant that is full is not read on, and its cursor stays.
func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of, other := w.tenant(t), w.tenant(t)
	of.happen(1)
	other.happen(1)
	quota := &full{project: of.project}
	w.run(t, func(c *pull.Config) { c.Usage = quota })
	w.waitFor(t, other, event(1))
	waittest.Until(t, func() bool { return ask[*string](t, w, of, "wait_reason") != nil })
	require.Contains(t, ask[string](t, w, of, "wait_reason"), "AUTHSYNC_PROJECT_QUOTA_BYTES")
	require.Empty(t, w.pulled(t, of))
	quota.mu.Lock()
	defer quota.mu.Unlock()
	require.Equal(t, []int{len(event(1))}, quota.added)
}

type full struct {
	project uuid.UUID
	mu      sync.Mutex
	added   []int
}

func (f *full) Exceeded(id uuid.UUID) (stored, quota int64, exceeded bool) {
	return 7, 5, id == f.project
}

func (f *full) Add(_ uuid.UUID, _ time.Time, bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added = append(slices.Clone(f.added), bytes)
}
