package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// The person who is erased: texts that are found again wherever they are left.
const (
	hisID      = "user_zq7Vt3Wm9LpXk2"
	hisEmail   = "quillon.7Rb4@example.org"
	hisOld     = "quillon.before.9Kd2@example.org"
	hisName    = "Quillonoxtr"
	hisSecret  = "7f19-shoesize-xq"
	otherID    = "user_aa1Bb2Cc3Dd4Ee"
	otherEmail = "stays.5Tn8@example.org"
)

// traces are what may be left nowhere.
func traces() []string {
	return []string{hisID, hisEmail, strings.ToLower(hisEmail), hisOld, hisName, hisSecret, `zq7Vt3Wm9LpXk2`}
}

// dump is what pg_dump writes of a database.
func dump(t *testing.T, pool *pgxpool.Pool) string {
	t.Helper()
	program, _ := pgtest.Program(t, "pg_dump")
	out, err := exec.CommandContext(t.Context(), program, "--inserts", pgtest.URL(t, pool)).Output()
	require.NoError(t, err)
	return string(out)
}

// lines are those of a dump that have a text, shortened.
func lines(dump, text string) (found []string) {
	for line := range strings.Lines(dump) {
		if strings.Contains(line, text) {
			found = append(found, line[:min(len(line), 300)])
		}
	}
	return found
}

// bodies are written by pg_dump in hexadecimal.
func traced(text string) []string { return []string{text, fmt.Sprintf("%x", text)} }

func (in *installation) requireNoTrace(t *testing.T) {
	t.Helper()
	for name, pool := range map[string]*pgxpool.Pool{"control": in.controlDB, "project": in.mirror} {
		all := dump(t, pool)
		for _, text := range traces() {
			for _, form := range traced(text) {
				require.Empty(t, lines(all, form), "%s database: %s", name, text)
			}
		}
	}
}

// erasures is an installation with a server and somebody to erase.
type erasures struct {
	*installation

	app  *app.App
	api  *client.Client
	dead atomic.Bool
}

func (in *installation) serve(t *testing.T) *erasures {
	t.Helper()
	c := in.settings
	c.Roles = config.Roles{Receiver: true, Worker: true, API: true}
	a, err := app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler), ErasureSettles: time.Millisecond})
	require.NoError(t, err)
	e := &erasures{installation: in, app: a, api: client.New(a.URL(), in.key)}
	t.Cleanup(func() {
		if !e.dead.Load() {
			e.api.Close()
			require.NoError(t, a.Stop(context.WithoutCancel(t.Context())))
		}
	})
	return e
}

// event sends a signed message of Clerk's.
func (e *erasures) event(t *testing.T, typ, id string, set map[string]any) {
	t.Helper()
	kind, err := registry.Lookup(provider.Clerk)
	require.NoError(t, err)
	header, body, err := kind.Sign(provider.Sample{Type: typ, UserID: id, OrganizationID: "org_1", Set: set},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{signingSecret}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	require.NoError(t, e.api.Deliver(t.Context(), provider.Clerk, e.projectID, header, body))
}

func (e *erasures) settled(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		var pending int
		require.NoError(t, e.controlDB.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM authsync.inbox_pending) + (SELECT count(*) FROM authsync.event_outcomes WHERE outcome = 'pending')`).Scan(&pending))
		return pending == 0
	})
}

// erased waits for the receipt.
func (e *erasures) erased(t *testing.T, id string) client.Erasure {
	t.Helper()
	var receipt client.Erasure
	waittest.Until(t, func() bool {
		var err error
		receipt, err = e.api.Erasure(t.Context(), "shop", id)
		require.NoError(t, err)
		return receipt.State == "done"
	})
	return receipt
}

func (e *erasures) count(t *testing.T, pool *pgxpool.Pool, query string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(), query, args...).Scan(&n))
	return n
}

// sink is a webhook that keeps what it is sent.
type sink struct {
	mu     sync.Mutex
	bodies []string
}

func (s *sink) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
}

func (s *sink) of(eventType string) (bodies []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.bodies {
		if strings.Contains(b, `"type":"`+eventType+`"`) {
			bodies = append(bodies, b)
		}
	}
	return bodies
}

// live gives the person and somebody else a life: changes of the profile, memberships, an invitation, events that are not mirrored, a
// failed one, a batch of Auth0's, and a request to read the user.
func (e *erasures) live(t *testing.T) {
	t.Helper()
	e.event(t, "organization.created", "", nil)
	for _, p := range []struct{ typ, id, email, name, secret string }{
		{"user.created", hisID, hisOld, hisName, hisSecret},
		{"user.updated", hisID, hisEmail, hisName, hisSecret},
		{"user.created", otherID, otherEmail, "Other", "kept"},
	} {
		e.event(t, p.typ, p.id, map[string]any{"email": p.email, "last_name": p.name, "private_metadata": map[string]any{"x": p.secret}})
	}
	for _, id := range []string{hisID, otherID} {
		e.event(t, "organizationMembership.created", id, nil)
	}
	e.event(t, "organizationInvitation.created", "", map[string]any{"id": "orginv_1", "email_address": hisEmail})
	e.event(t, "session.created", hisID, nil)                                                      // not mirrored: the outcome names nobody
	e.event(t, "email.created", "", map[string]any{"to_email_address": hisEmail, "subject": "Hi"}) // likewise
	batch := fmt.Sprintf(`[{"id":"evt_1","type":"user.created","data":{"object":{"user_id":%q,"email":%q,"family_name":%q}}},
		{"id":"evt_2","type":"user.created","data":{"object":{"user_id":"auth0|kept","email":"batch@example.org","created_at":"2026-01-01T00:00:00Z"}}},
		{"id":"evt_3","type":"user.updated","data":{"object":{"user_id":"\u0075ser_zq7Vt3Wm9LpXk2","updated_at":5,"email":["`+hisEmail+`"]}}}]`, hisID, hisEmail, hisName)
	e.auth0(t, batch)
	e.settled(t)
}

// auth0 sends a message of Auth0's.
func (e *erasures) auth0(t *testing.T, body string) {
	t.Helper()
	header := http.Header{"Authorization": {"Bearer " + signingSecret}, "Content-Type": {"application/json"}}
	require.NoError(t, e.api.Deliver(t.Context(), provider.Auth0, e.projectID, header, []byte(body)))
}

func TestAPersonIsErasedEverywhere(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.settings.AllowTargets = egress.Loopback()
	hook := &sink{}
	server := httptest.NewServer(hook)
	t.Cleanup(server.Close)
	e := in.serve(t)
	for _, d := range []map[string]any{
		{"name": "hook", "type": "webhook", "options": map[string]any{"url": server.URL}},
		{"name": "narrow", "type": "webhook", "event_types": []string{"organization.created"}, "options": map[string]any{"url": server.URL}},
	} {
		_, err := e.api.AddDestination(t.Context(), in.projectID, d)
		require.NoError(t, err)
	}
	e.live(t)
	waittest.Until(t, func() bool {
		return e.count(t, in.controlDB, `SELECT count(*) FROM authsync.deliveries WHERE state <> 'delivered'`) == 0 && len(hook.of("user.created")) >= 3
	})
	all := dump(t, in.controlDB) + dump(t, in.mirror)
	for _, text := range []string{hisID, hisEmail, hisOld, hisName, hisSecret} {
		require.True(t, strings.Contains(all, text) || strings.Contains(all, fmt.Sprintf("%x", text)), "%s was stored", text)
	}
	// A deletion of the person is held back, which the erasure is not.
	_, err := e.api.ChangeDestination(t.Context(), in.projectID, "hook", map[string]any{"holdback": "24h"})
	require.NoError(t, err)
	e.event(t, "user.deleted", hisID, nil)
	waittest.Until(t, func() bool {
		return e.count(t, in.controlDB, `SELECT count(*) FROM authsync.deliveries WHERE state = 'held' AND user_id = $1`, hisID) > 0
	})
	messages := e.count(t, in.controlDB, `SELECT count(*) FROM authsync.inbox`)
	outcomes := e.count(t, in.controlDB, `SELECT count(*) FROM authsync.event_outcomes`)
	deliveries := e.count(t, in.controlDB, `SELECT count(*) FROM authsync.deliveries`)

	begun, err := e.api.EraseUser(t.Context(), "shop", hisID)
	require.NoError(t, err)
	receipt := e.erased(t, begun.ID)
	in.requireNoTrace(t)
	require.Len(t, receipt.Digest, 64)
	require.NotNil(t, receipt.MarkedAt)
	require.EqualValues(t, 1, receipt.Counts["capydb_auth.users"])
	require.EqualValues(t, 1, receipt.Counts["capydb_auth.memberships"])
	require.EqualValues(t, 1, receipt.Counts["capydb_auth.invitations"])
	require.Positive(t, receipt.Counts["authsync.inbox"])
	require.Len(t, receipt.Destinations, 2)
	for _, d := range receipt.Destinations {
		require.Equal(t, "delivered", d.State, d.Name)
	}
	told := hook.of("user.erased")
	require.Len(t, told, 2, "also the one that wants nothing of users")
	for _, body := range told {
		var event struct {
			Data struct {
				User map[string]any `json:"user"`
			} `json:"data"`
		}
		require.NoError(t, json.Unmarshal([]byte(body), &event))
		require.Equal(t, map[string]any{"id": hisID, "raw": nil}, event.Data.User, "the id and nothing else")
	}

	// What is somebody else's stays, and so do counts.
	require.Equal(t, messages, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.inbox`))
	require.Equal(t, outcomes, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.event_outcomes`))
	require.Equal(t, deliveries+2, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.deliveries`))
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, otherID))
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.memberships WHERE user_id = $1`, otherID))
	require.Equal(t, 1, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.inbox WHERE convert_from(body, 'UTF8') LIKE '%batch@example.org%'`),
		"of a batch only that person's events go")

	// Neither a late event nor a replay brings the person back, or leaves anything.
	e.event(t, "user.updated", hisID, map[string]any{"email": hisEmail, "last_name": hisName})
	e.event(t, "organizationMembership.created", hisID, nil)
	e.event(t, "user.deleted", hisID, nil)
	e.auth0(t, fmt.Sprintf(`{"log_id":"90020260504","data":{"date":"2026-05-04T10:20:30Z","type":"ss","user_id":%q,"user_name":%q}}`, hisID, hisEmail)) // asks for a refresh
	e.settled(t)
	_, err = in.controlDB.Exec(t.Context(), `
		INSERT INTO authsync.inbox_pending (project_id, inbox_ids, bytes, received_from, received_to)
		SELECT project_id, array_agg(id ORDER BY id), 1, min(received_at), max(received_at) FROM authsync.inbox GROUP BY project_id`)
	require.NoError(t, err)
	e.event(t, "user.updated", otherID, map[string]any{"email": otherEmail}) // asks for the job
	e.settled(t)
	require.Zero(t, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE id = $1`, hisID))
	in.requireNoTrace(t)
	require.Zero(t, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.event_outcomes WHERE outcome = 'failed'`))

	// Who signs up with the same address is somebody else.
	e.event(t, "user.created", "user_nEw5up2pQ9", map[string]any{"email": hisEmail, "last_name": "New"})
	e.settled(t)
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE email = $1`, hisEmail))

	// And is left alone by another erasure of the one who was erased.
	again, err := e.api.EraseUser(t.Context(), "shop", hisID)
	require.NoError(t, err)
	require.Equal(t, receipt.Digest, e.erased(t, again.ID).Digest)
	require.Equal(t, 1, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE email = $1`, hisEmail))
	require.Equal(t, 1, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.event_outcomes WHERE user_id = 'user_nEw5up2pQ9' AND outcome = 'applied'`))
	list, err := e.api.Erasures(t.Context(), "shop", 0)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, again.ID, list[0].ID)
}

// A user with a hundred thousand changes is erased in bounded steps, and by another process if the first one dies.
func TestAnErasureGoesOnWhenItsProcessDies(t *testing.T) {
	t.Parallel()
	in := install(t)
	e := in.serve(t)
	e.live(t)
	_, err := in.mirror.Exec(t.Context(), `
		INSERT INTO capydb_auth.changes (record_type, record_id, kind, changed, before, after, before_raw, provider, event_id, event_at)
		SELECT 'user', $1, 'updated', '{username}', jsonb_build_object('username', n), jsonb_build_object('id', $1::text, 'email', $2::text), NULL,
			'clerk', 'evt_' || n, now()
		FROM generate_series(1, 100000) AS n`, hisID, hisOld)
	require.NoError(t, err)
	// A lock in the middle keeps the first server from getting further.
	held, err := in.mirror.Begin(t.Context())
	require.NoError(t, err)
	_, err = held.Exec(t.Context(), `
		SELECT FROM capydb_auth.changes
		WHERE id = (SELECT c.id FROM capydb_auth.changes AS c WHERE c.record_id = $1 ORDER BY c.id OFFSET 50000 LIMIT 1) FOR UPDATE`, hisID)
	require.NoError(t, err)
	begun, err := e.api.EraseUser(t.Context(), "shop", hisID)
	require.NoError(t, err)
	left := func() int {
		return e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.changes WHERE record_id = $1`, hisID)
	}
	waittest.Until(t, func() bool { return left() < 99_000 })
	e.kill(t)
	require.Greater(t, left(), 40_000, "it was in the middle")
	require.NoError(t, held.Rollback(t.Context()))
	e = in.serve(t)
	receipt := e.erased(t, begun.ID)
	in.requireNoTrace(t)
	require.GreaterOrEqual(t, receipt.Counts["capydb_auth.changes"], int64(90_000))
	require.GreaterOrEqual(t, e.count(t, in.controlDB, `SELECT steps FROM authsync.erasures`), 50, "no step removed much at once")
}

// kill ends a server as abruptly as can be done within a process: what its jobs do is cut off.
func (e *erasures) kill(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cancel()
	e.api.Close()
	_ = e.app.Stop(ctx)
	e.dead.Store(true)
}

// Neither a backfill nor a reconcile brings back who was erased, though the provider still has the user; and neither keeps the id
// of the user in what it finds.
func TestReadingTheProviderDoesNotBringThePersonBack(t *testing.T) {
	t.Parallel()
	in := install(t)
	account := demoprovider.NewAccount(4)
	base := userapitest.Start(t, demoprovider.NewClerk(account, userapitest.NewClock().Now))
	in.settings.AllowTargets = egress.Loopback()
	e := in.serve(t)
	require.NoError(t, e.api.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/clerk", map[string]any{
		"credentials": map[string]any{"secret_key": demoprovider.ClerkKey}, "options": map[string]any{"base_url": base},
	}, nil))
	waittest.Until(t, func() bool { return in.users(t) == 4 })
	users, err := e.api.Users(t.Context(), "shop", "", 1)
	require.NoError(t, err)
	id := users[0].ID

	begun, err := e.api.EraseUser(t.Context(), "shop", id)
	require.NoError(t, err)
	e.erased(t, begun.ID)
	require.Equal(t, 3, in.users(t))
	for _, kind := range []string{client.Backfill, client.Reconcile} {
		_, err = e.api.StartRun(t.Context(), "shop", provider.Clerk, kind, nil)
		require.NoError(t, err)
		waittest.Until(t, func() bool {
			run, err := e.api.LatestRun(t.Context(), "shop", provider.Clerk, kind)
			return err == nil && run.State == "done"
		})
		require.Equal(t, 3, in.users(t), kind)
		for name, pool := range map[string]*pgxpool.Pool{"control": in.controlDB, "project": in.mirror} {
			require.Empty(t, lines(dump(t, pool), id), "%s database after a %s", name, kind)
		}
	}
	run, err := e.api.LatestRun(t.Context(), "shop", provider.Clerk, client.Reconcile)
	require.NoError(t, err)
	require.Zero(t, run.Drift.Missing, "it is no difference")
}
