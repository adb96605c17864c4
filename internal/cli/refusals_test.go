package cli

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// Who uses the command is told a command, not a call of the API.
func TestRefusalsNameTheCommandsNextStep(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const unknown = "11111111-1111-1111-1111-111111111111"
	for name, tc := range map[string]struct {
		args []string
		says string
	}{
		"Project":       {[]string{"events", "list", "shp"}, `there is no project "shp" that this key may see: authsync projects list shows those there are (404)`},
		"User":          {[]string{"explain", "shop", "auth0|1"}, "project shop has no user of this id: authsync records list shop TYPE shows those there are"},
		"Event":         {[]string{"events", "get", "shop", "99.0"}, "retention may have dropped it: authsync events list shop shows the ids"},
		"ProvidersId":   {[]string{"events", "get", "shop", "evt_1"}, `there is no event "evt_1": authsync events list shop shows the ids, such as 17.0, and finds a provider's with --event (404)`},
		"ReplayOfEvent": {[]string{"events", "replay", "shop", "evt_1"}, "authsync events list shop shows the ids"},
		"Destination":   {[]string{"destinations", "pause", "shop", "crm"}, "authsync destinations list shop shows those there are (404)"},
		"OfDeliveries":  {[]string{"deliveries", "list", "shop", "--destination", "crm"}, `the project has no destination "crm": the list of its destinations has those there are (422)`},
		"Delivery":      {[]string{"deliveries", "retry", "shop", "77"}, "authsync deliveries list shop shows those there are (404)"},
		"Key":           {[]string{"keys", "revoke", unknown, "--yes"}, "there is no key of this id: authsync keys list shows those there are (404)"},
		"KeyByName":     {[]string{"keys", "revoke", "ops", "--yes"}, "there is no key of this id: authsync keys list shows those there are (404)"},
		"NoCredentials": {[]string{"backfill", "shop", "clerk"}, "authsync: the stored credentials do not allow reading users: credentials.secret_key is missing (Clerk dashboard, API keys); " +
			"store what is missing: authsync integrations set shop clerk (422)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := b.run(t, tc.args...)
			require.Equal(t, 1, r.status, r.out)
			require.Contains(t, r.err, tc.says)
			require.NotRegexp(t, `GET|PUT|PATCH|percent|…/`, r.err)
		})
	}
	t.Run("UrlWithAPath", func(t *testing.T) {
		t.Parallel()
		env := map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir(), "AUTHSYNC_URL": b.app.URL() + "/console", "AUTHSYNC_API_KEY": b.env["AUTHSYNC_API_KEY"]}
		r := run(t.Context(), env, "", "projects", "list")
		require.Equal(t, 1, r.status)
		require.Contains(t, r.err, "there is nothing at this path: AUTHSYNC_URL is the server's base URL")
	})
}
