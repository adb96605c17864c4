package app_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// TestProvidersAreReadWhereTheOperatorAllows: a provider on a private address,
// here on this machine, is read if it is on the list, and not without.
func TestProvidersAreReadWhereTheOperatorAllows(t *testing.T) {
	t.Parallel()
	in := install(t)
	base := userapitest.Start(t, demoprovider.NewClerk(demoprovider.NewAccount(3), userapitest.NewClock().Now))
	roles := config.Roles{Worker: true, API: true}
	put := func(c *client.Client) error {
		return c.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/clerk", map[string]any{
			"credentials": map[string]any{"secret_key": demoprovider.ClerkKey}, "options": map[string]any{"base_url": base},
		}, nil)
	}
	connect := func() (c *client.Client, stop func()) {
		a, stop := in.start(t, roles)
		c = client.New(a.URL(), in.key)
		t.Cleanup(c.Close)
		return c, stop
	}

	strict, stop := connect()
	err := put(strict)
	require.Equal(t, http.StatusUnprocessableEntity, client.Status(err))
	require.ErrorContains(t, err, "options.base_url: http://127.0.0.1:")
	require.ErrorContains(t, err, "is a loopback address (127.0.0.0/8); give a public one, or let the operator add it to AUTHSYNC_ALLOW_TARGETS")
	stop()

	in.settings.AllowTargets = egress.Loopback()
	open, stop := connect()
	require.NoError(t, put(open))
	waittest.Until(t, func() bool { return in.users(t) == 3 })
	stop()

	// What was stored while it was allowed is refused when it is not any more.
	in.settings.AllowTargets = egress.Targets{}
	strict, _ = connect()
	_, err = strict.StartRun(t.Context(), "shop", provider.Clerk, client.Backfill, nil)
	require.NoError(t, err)
	var run client.Run
	waittest.Until(t, func() bool {
		run, err = strict.LatestRun(t.Context(), "shop", provider.Clerk, client.Backfill)
		return err == nil && run.Error != nil
	})
	require.Equal(t, "failed", run.State)
	require.Contains(t, *run.Error, "AUTHSYNC_ALLOW_TARGETS")
}

// TestWorkOSIsReadAndReceived: existing users are read with the API key, and webhooks arrive with the preset's signature.
func TestWorkOSIsReadAndReceived(t *testing.T) {
	t.Parallel()
	in := install(t)
	server := demoprovider.NewWorkOS(demoprovider.NewAccount(150), userapitest.NewClock().Now)
	server.Organizations.Add("Engines", []demoprovider.Member{{User: 1, Role: "admin"}, {User: 2, Role: "member"}})
	server.Inactive = map[[2]int]bool{{0, 2}: true}
	base := userapitest.Start(t, server)
	in.settings.AllowTargets = egress.Loopback()
	a, _ := in.start(t, config.Roles{Receiver: true, Worker: true, API: true})
	c := client.New(a.URL(), in.key)
	t.Cleanup(c.Close)
	require.NoError(t, c.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/workos", map[string]any{
		"credentials": map[string]any{"secret_key": demoprovider.WorkOSKey, "webhook_signing_secret": "the-secret-of-the-endpoint-7391"},
		"options":     map[string]any{"base_url": base},
	}, nil))
	count := func(query string) (n int) {
		require.NoError(t, in.mirror.QueryRow(t.Context(), query).Scan(&n))
		return n
	}
	waittest.Until(t, func() bool { return count(`SELECT count(*) FROM capydb_auth.memberships WHERE role IS NOT NULL`) == 2 })
	require.Equal(t, 150, count(`SELECT count(*) FROM capydb_auth.active_users WHERE provider = 'workos'`))
	require.Equal(t, 1, count(`SELECT count(*) FROM capydb_auth.active_memberships`), "the other was deactivated")

	kind, err := registry.Lookup("workos")
	require.NoError(t, err)
	header, body, err := kind.Sign(provider.Sample{Type: "user.created", UserID: "user_new"},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{"the-secret-of-the-endpoint-7391"}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	require.NoError(t, c.Deliver(t.Context(), "workos", in.projectID, header, body))
	waittest.Until(t, func() bool { return in.users(t) == 151 })
}
