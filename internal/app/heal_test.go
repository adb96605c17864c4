package app_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// operators records the calls to an operator's webhook, as type and kind.
type operators struct {
	mu    sync.Mutex
	calls []string
}

func (o *operators) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var got struct {
		Type string `json:"type"`
		Data struct {
			Kind string `json:"kind"`
		} `json:"data"`
	}
	if json.NewDecoder(r.Body).Decode(&got) != nil || r.Header.Get("Webhook-Signature") == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.calls = append(o.calls, got.Type+" "+got.Data.Kind)
}

func (o *operators) all() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.calls)
}

// healing is a server that looks at its providers all the time, and an operator's webhook that it calls.
type healing struct {
	in        *installation
	operators *operators
	url       string
	api       *client.Client
}

func startHealing(t *testing.T) *healing {
	t.Helper()
	h := &healing{in: install(t), operators: &operators{}}
	hook := httptest.NewServer(h.operators)
	t.Cleanup(hook.Close)
	c := h.in.settings
	c.AlertURLs = config.Secret(hook.URL)
	c.AlertSecret = config.Secret("whsec_" + base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef")))
	c.AllowAlertTargets, c.AllowTargets = egress.Loopback(), egress.Loopback()
	a, err := app.Start(t.Context(), app.Config{Settings: c, Log: slog.New(slog.DiscardHandler), WatchEvery: 100 * time.Millisecond})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, a.Stop(context.WithoutCancel(t.Context()))) })
	h.url, h.api = a.URL(), client.New(a.URL(), h.in.key)
	t.Cleanup(h.api.Close)
	return h
}

// mirrored are the ids of the users that are not deleted.
func (h *healing) mirrored(t *testing.T) (ids []string) {
	t.Helper()
	require.NoError(t, h.in.mirror.QueryRow(t.Context(),
		`SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM capydb_auth.users WHERE deleted_at IS NULL`).Scan(&ids))
	return ids
}

// look has what is probed be probed now: what is well, and with gaps what is being healed, too. A probe that is being made
// is left alone.
func (h *healing) look(t *testing.T, gaps bool) {
	t.Helper()
	_, err := h.in.controlDB.Exec(t.Context(), `
		WITH due AS (
			UPDATE authsync.probes SET next_probe_at = '-infinity'
			WHERE gap_since IS NULL OR $1 AND next_probe_at NOT BETWEEN now() + interval '90 seconds' AND now() + interval '2 minutes')
		INSERT INTO authsync.river_job (kind, args, max_attempts, queue)
		SELECT 'probe_projects', '{}', 5, 'default'
		WHERE NOT EXISTS (SELECT FROM authsync.river_job WHERE kind = 'probe_projects' AND finalized_at IS NULL)`, gaps)
	require.NoError(t, err)
}

// heals waits until what has stopped is noticed and heals, and requires one call for each.
func (h *healing) heals(t *testing.T) {
	t.Helper()
	waittest.Until(t, func() bool {
		h.look(t, false) // otherwise it might heal between two evaluations, and nobody would be called
		return len(h.operators.all()) > 0
	}, "it is noticed")
	waittest.Until(t, func() bool {
		h.look(t, true)
		return slices.Contains(h.operators.all(), "problem.closed stream_stopped")
	}, "it heals")
	require.Equal(t, []string{"problem.opened stream_stopped", "problem.closed stream_stopped"}, h.operators.all())
}

// TestAStoppedStreamHeals has Auth0 disable the event stream for an hour: some events fail, others are never kept. authsync
// notices, has the failed ones sent again, enables the stream, reconciles, and calls the operator once each time.
func TestAStoppedStreamHeals(t *testing.T) {
	t.Parallel()
	h := startHealing(t)
	const stream = "est_AAAAAAAAAAAAAAAAAAAAAA"
	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(5), time.Now)
	tenant.Scope += " " + demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0EnableScope
	tenant.Streams.Start(h.url, demoprovider.Auth0Stream{
		ID: stream, Name: "authsync", Token: signingSecret,
		Endpoint: "https://sync.example.com/api/capydb/v1/integrations/auth0/webhook/" + h.in.projectID,
	})
	require.NoError(t, h.api.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/auth0", map[string]any{
		"credentials": map[string]any{
			"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret,
		},
		"options": map[string]any{"base_url": userapitest.Start(t, tenant), "record_types": []string{"users"}, "heal": map[string]any{"reenable": true}},
	}, nil))
	waittest.Until(t, func() bool { return len(h.mirrored(t)) == 5 }, "the backfill has read everybody")

	tenant.Streams.SetDisabled(stream, true)
	failed, lost := tenant.Account.Create(), tenant.Account.Create()
	at := time.Now().Add(-time.Hour).UTC()
	tenant.Streams.AddFailed(stream, fmt.Appendf(nil, `{"id": "evt_failed", "type": "user.created", "time": %q, "data": {"object": {
		"user_id": %q, "email": "failed@example.com", "created_at": %[1]q, "updated_at": %[1]q}}}`, at.Format(time.RFC3339), demoprovider.Auth0ID(failed)))
	h.heals(t)
	require.False(t, tenant.Streams.IsDisabled(stream))
	require.Equal(t, []int{http.StatusNoContent}, tenant.Streams.Posted(), "the failed one came again")
	var want []string
	for _, n := range tenant.Account.Users() {
		want = append(want, demoprovider.Auth0ID(n))
	}
	slices.Sort(want)
	require.Contains(t, want, demoprovider.Auth0ID(lost))
	require.Equal(t, want, h.mirrored(t), "the mirror is equal")
	problems, err := h.api.Problems(t.Context(), "shop", "", 10)
	require.NoError(t, err)
	require.Len(t, problems, 1)
	require.NotNil(t, problems[0].NotifiedAt)

	waittest.Until(t, func() bool { // they are counted after the calls
		status, text := h.in.metrics(t, h.url+"/metrics")
		require.Equal(t, http.StatusOK, status)
		return strings.Contains(text, `authsync_problems_open{kind="stream_stopped"} 0`)
	}, "every kind has its number")
}

// TestAStoppedEndpointHeals has a person disable Clerk's endpoint for an hour: one message has failed before, one was never
// tried, and another is no longer kept. authsync notices, enables the endpoint, has both sent, reconciles, and calls the operator
// once each time.
func TestAStoppedEndpointHeals(t *testing.T) {
	t.Parallel()
	tenant := demoprovider.NewClerk(demoprovider.NewAccount(5), time.Now)
	tenant.Svix.Local = true
	h := startHealing(t)
	t.Cleanup(tenant.Svix.Posted)
	require.NoError(t, h.api.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/clerk", map[string]any{
		"credentials": map[string]any{"secret_key": demoprovider.ClerkKey},
		"options": map[string]any{
			"base_url": userapitest.Start(t, tenant), "record_types": []string{"users"}, "provision": true, "heal": map[string]any{"reenable": true},
		},
	}, nil))
	waittest.Until(t, func() bool {
		var ready bool
		require.NoError(t, h.in.controlDB.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM authsync.provisioned_webhooks WHERE state = 'ready')`).Scan(&ready))
		return ready && len(h.mirrored(t)) == 5
	}, "the endpoint is set up, and the backfill has read everybody")
	endpoint := tenant.Svix.All()[0].ID
	tenant.Svix.Change(endpoint, func(e *demoprovider.SvixEndpoint) { e.Disabled = true })
	failed, missed, lost := tenant.Account.Create(), tenant.Account.Create(), tenant.Account.Create()
	at := time.Now().Add(-time.Hour).UTC()
	for n, status := range map[int]int{failed: demoprovider.SvixFailed, missed: demoprovider.SvixMissed} {
		tenant.Svix.AddMessage(endpoint, demoprovider.SvixMessage{
			ID: fmt.Sprintf("msg_heal%d", n), Type: "user.created", At: at, Status: status,
			Body: fmt.Sprintf(`{"type": "user.created", "object": "event", "timestamp": %[2]d, "data": {"id": %[1]q, "object": "user",
				"email_addresses": [], "created_at": %[2]d, "updated_at": %[2]d}}`, demoprovider.ClerkID(n), at.UnixMilli()),
		})
	}
	h.heals(t)
	require.False(t, tenant.Svix.All()[0].Disabled)
	for _, m := range tenant.Svix.Messages() {
		require.Equal(t, demoprovider.SvixDelivered, m.Status, m.ID)
	}
	var want []string
	for _, n := range tenant.Account.Users() {
		want = append(want, demoprovider.ClerkID(n))
	}
	slices.Sort(want)
	require.Contains(t, want, demoprovider.ClerkID(lost))
	require.Equal(t, want, h.mirrored(t), "the mirror is equal")
}
