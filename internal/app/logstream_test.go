package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/app"
	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/mirror"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/seal"
	"github.com/authsync/authsync/internal/tenantdb"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// entry is an entry of a log stream.
func entry(id int, typ, user string) string {
	return fmt.Sprintf(`{"log_id":"%d","data":{"date":"2026-05-04T10:20:30.123Z","type":%q,"user_id":%q,"log_id":"%d"}}`, id, typ, user, id)
}

// deliver posts a batch of a log stream as Auth0 does.
func (in *installation) deliver(t *testing.T, url, body string) {
	t.Helper()
	c := client.New(url, "")
	defer c.Close()
	header := http.Header{"Authorization": {"Bearer " + signingSecret}, "Content-Type": {"application/json"}}
	require.NoError(t, c.Deliver(t.Context(), provider.Auth0, in.projectID, header, []byte(body)))
}

// outcomes are how many events there are of each outcome and reason.
func (in *installation) outcomes(t *testing.T, c *client.Client) map[string]int {
	t.Helper()
	events, err := c.Events(t.Context(), in.projectID, client.EventFilter{}, 0)
	require.NoError(t, err)
	counts := map[string]int{}
	for _, e := range events {
		reason := ""
		if e.Reason != nil {
			reason = ": " + *e.Reason
		}
		counts[e.Outcome+reason]++
	}
	return counts
}

// TestLogStreamsKeepTheMirrorEqual has only a log stream, in each of its formats:
// no event carries a profile, and the mirror equals the tenant all the same.
func TestLogStreamsKeepTheMirrorEqual(t *testing.T) {
	t.Parallel()
	const users, rounds = 5, 8
	formats := map[string]func(entries []string) string{
		"Lines":  func(entries []string) string { return strings.Join(entries, "\n") + "\n" },
		"Array":  func(entries []string) string { return "[" + strings.Join(entries, ",") + "]" },
		"Object": func(entries []string) string { return `{"logs":[` + strings.Join(entries, ",") + "]}" },
	}
	for name, batch := range formats {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := install(t)
			in.settings.AllowTargets = egress.Loopback()
			a, _ := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
			c := client.New(a.URL(), in.key)
			defer c.Close()

			// Before the credentials are there.
			in.deliver(t, a.URL(), batch([]string{entry(0, "ss", demoprovider.Auth0ID(0))}))
			waittest.Until(t, func() bool {
				for outcome := range in.outcomes(t, c) {
					return strings.HasPrefix(outcome, "ignored: an entry of a log stream has no profile, and the user cannot be read: ") &&
						strings.Contains(outcome, "missing: credentials.domain") &&
						strings.Contains(outcome, "authsync integrations set")
				}
				return false
			})
			require.Zero(t, in.users(t))

			tenant := demoprovider.NewAuth0(demoprovider.NewAccount(users), userapitest.NewClock().Now)
			in.allowReading(t, userapitest.Start(t, tenant))
			for round := range rounds {
				var entries []string
				for i := range users {
					for n, typ := range []string{"ss", "s", "sv", "scp"} {
						entries = append(entries, entry(1+100*round+10*i+n, typ, demoprovider.Auth0ID(i)))
					}
				}
				entries = append(entries, entry(90+100*round, "seacft", demoprovider.Auth0ID(0)))
				in.deliver(t, a.URL(), batch(entries))
			}
			waittest.Until(t, func() bool { return in.users(t) == users })
			in.requireRead(t)
			asked := 0
			for i := range users {
				n := tenant.Requests("/users/" + demoprovider.Auth0ID(i))
				require.Positive(t, n)
				asked += n
			}
			require.LessOrEqual(t, asked, users*rounds, "far fewer than the %d entries", users*rounds*4)
			t.Logf("%d entries about users in %d deliveries: %d requests", users*rounds*4, rounds, asked)
			require.Equal(t, users*rounds*4, in.outcomes(t, c)["ignored: an entry of a log stream has no profile: the user is read from Auth0 instead"])

			// What changed silently is found by any entry about the user; a deletion needs no request.
			_, err := in.mirror.Exec(t.Context(), `UPDATE capydb_auth.users SET email = 'drifted@example.com'`)
			require.NoError(t, err)
			tenant.Account.Delete(1)
			before := tenant.Requests("/users/" + demoprovider.Auth0ID(1))
			in.deliver(t, a.URL(), batch([]string{
				entry(9001, "s", demoprovider.Auth0ID(0)), entry(9002, "sdu", demoprovider.Auth0ID(1)), entry(9003, "sce", demoprovider.Auth0ID(2)),
			}))
			waittest.Until(t, func() bool {
				var state string
				require.NoError(t, in.mirror.QueryRow(t.Context(), `
					SELECT string_agg(concat(email = 'drifted@example.com', deleted_at IS NULL), ' ' ORDER BY id) FROM capydb_auth.users`).Scan(&state))
				return state == "ft tf ft tt tt"
			})
			require.Equal(t, before, tenant.Requests("/users/"+demoprovider.Auth0ID(1)))
		})
	}
}

// requireRead waits until no user is to be read any more.
func (in *installation) requireRead(t *testing.T) {
	t.Helper()
	control := in.control(t)
	waittest.Until(t, func() bool {
		var wanted, pending int
		require.NoError(t, control.Pool.QueryRow(t.Context(), `
			SELECT (SELECT count(*) FROM authsync.refresh_requests),
				(SELECT count(*) FROM authsync.river_job WHERE kind IN ('apply_inbox', 'refresh_users') AND finalized_at IS NULL)`).Scan(&wanted, &pending))
		return wanted+pending == 0
	})
}

// allowReading stores the credentials that reading users needs, which starts no backfill, and
// has no reconcile begin by itself: that would find what only entries of the stream should.
func (in *installation) allowReading(t *testing.T, baseURL string) {
	t.Helper()
	given := map[string]json.RawMessage{}
	for name, value := range map[string]string{
		"domain": demoprovider.Auth0Domain, "client_id": demoprovider.Auth0ClientID, "client_secret": demoprovider.Auth0ClientSecret,
	} {
		text, err := json.Marshal(value)
		require.NoError(t, err)
		given[name] = text
	}
	options, err := json.Marshal(map[string]any{"base_url": baseURL, "reconcile": map[string]string{"every": "never"}})
	require.NoError(t, err)
	keyring, err := seal.ParseKeys(in.settings.EncryptionKey.Reveal())
	require.NoError(t, err)
	store, err := project.NewStore(project.Config{
		Pool: in.control(t).Pool, Keyring: keyring, Mirror: mirror.New(mirror.Config{Databases: tenantdb.New(tenantdb.Config{})}),
		Targets: egress.New(egress.Config{Allow: egress.Loopback()}), Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	_, err = store.PutIntegration(t.Context(), uuid.MustParse(in.projectID), provider.Auth0, given, options)
	require.NoError(t, err)
}

// control opens the control database until the test ends.
func (in *installation) control(t *testing.T) *app.Control {
	t.Helper()
	control, err := app.OpenControl(t.Context(), in.settings.DatabaseURL, in.settings.EncryptionKey, 2, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, control.Close(context.WithoutCancel(t.Context()))) })
	return control
}

// TestRepairOfOneUserThroughTheAPI is what authsync refresh and redeliver call.
func TestRepairOfOneUserThroughTheAPI(t *testing.T) {
	t.Parallel()
	in := install(t)
	in.settings.AllowTargets = egress.Loopback()
	a, _ := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
	c := client.New(a.URL(), in.key)
	defer c.Close()
	_, err := c.Refresh(t.Context(), "shop", "user", demoprovider.Auth0ID(1), "")
	require.Equal(t, http.StatusUnprocessableEntity, client.Status(err))
	require.ErrorContains(t, err, "say which one to ask")
	_, err = c.Refresh(t.Context(), "shop", "user", demoprovider.Auth0ID(1), provider.Auth0)
	require.Equal(t, http.StatusUnprocessableEntity, client.Status(err))
	require.ErrorContains(t, err, "credentials.client_secret")

	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(3), userapitest.NewClock().Now)
	tenant.Scope = "read:users " + demoprovider.Auth0StreamScopes
	tenant.Streams.Start(a.URL(), demoprovider.Auth0Stream{
		ID: "est_AAAAAAAAAAAAAAAAAAAAAA", Name: "authsync", Endpoint: c.WebhookURL(provider.Auth0, in.projectID), Token: signingSecret,
	})
	in.allowReading(t, userapitest.Start(t, tenant))
	got, err := c.Refresh(t.Context(), "shop", "user", demoprovider.Auth0ID(1), provider.Auth0)
	require.NoError(t, err)
	require.Equal(t, []string{"missing", "created"}, []string{got.Found, got.Done})
	require.Equal(t, 1, in.users(t))
	_, err = c.Refresh(t.Context(), "shop", "user", demoprovider.Auth0ID(77), provider.Auth0)
	require.Equal(t, http.StatusNotFound, client.Status(err))

	// An event that had failed arrives by the redelivery, as itself.
	tenant.Streams.AddFailed("est_AAAAAAAAAAAAAAAAAAAAAA", []byte(`{"type": "user.created", "id": "evt_lost", "time": "2026-03-01T12:00:00Z",
		"data": {"object": {"user_id": "auth0|lost", "email": "lost@example.com", "updated_at": "2026-03-01T12:00:00Z"}}}`))
	counted, err := c.Redeliver(t.Context(), "shop", provider.Auth0, client.RedeliverOrder{DryRun: true})
	require.NoError(t, err)
	require.Equal(t, []any{1, false}, []any{counted.Streams[0].Failed, counted.Streams[0].Requested})
	asked, err := c.Redeliver(t.Context(), "shop", provider.Auth0, client.RedeliverOrder{})
	require.NoError(t, err)
	require.True(t, asked.Streams[0].Requested)
	waittest.Until(t, func() bool { return in.users(t) == 2 })
	require.Equal(t, []int{http.StatusNoContent}, tenant.Streams.Posted())
	_, err = c.Redeliver(t.Context(), "shop", provider.Clerk, client.RedeliverOrder{})
	require.Equal(t, http.StatusUnprocessableEntity, client.Status(err))
}
