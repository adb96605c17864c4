package app_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// What is stored already of an excluded field is found by a reconcile, and removed from the rows.
func TestAReconcileRemovesExcludedFields(t *testing.T) {
	t.Parallel()
	in := install(t)
	base := userapitest.Start(t, demoprovider.NewClerk(demoprovider.NewAccount(4), userapitest.NewClock().Now))
	in.settings.AllowTargets = egress.Loopback()
	e := in.serve(t)
	put := func(options map[string]any) {
		options["base_url"] = base
		require.NoError(t, e.api.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/clerk", map[string]any{
			"credentials": map[string]any{"secret_key": demoprovider.ClerkKey}, "options": options,
		}, nil))
	}
	put(map[string]any{})
	waittest.Until(t, func() bool { return in.users(t) == 4 })
	const stored = `SELECT count(*) FROM capydb_auth.users WHERE last_name IS NOT NULL OR raw ? 'last_name'`
	require.Equal(t, 4, e.count(t, in.mirror, stored))
	put(map[string]any{"exclude": []string{"last_name"}})
	_, err := e.api.StartRun(t.Context(), "shop", provider.Clerk, client.Reconcile, nil)
	require.NoError(t, err)
	waittest.Until(t, func() bool {
		run, err := e.api.LatestRun(t.Context(), "shop", provider.Clerk, client.Reconcile)
		return err == nil && run.State == "done"
	})
	require.Zero(t, e.count(t, in.mirror, stored))
	require.Equal(t, 4, e.count(t, in.mirror, `SELECT count(*) FROM capydb_auth.users WHERE first_name IS NOT NULL AND raw ? 'first_name'`))
}
