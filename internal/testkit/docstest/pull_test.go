package docstest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestPull(t *testing.T) {
	t.Parallel()
	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(0), time.Now)
	tenant.Scope = "read:users " + demoprovider.Auth0EventScope
	base := userapitest.Start(t, tenant)
	t.Cleanup(tenant.Events.End)
	walk{
		file:  "docs/pull.md",
		begin: withShop,
		paste: func(*scene) []string {
			return []string{
				`"client_id": "…"`, `"client_id": "` + demoprovider.Auth0ClientID + `"`,
				`"client_secret": "…"`, `"client_secret": "` + demoprovider.Auth0ClientSecret + `"`,
				"auth0.json --option pull=true", "auth0.json --option pull=true --option record_types='[\"users\"]' --option base_url=" + base,
			}
		},
		blocks: map[string]step{
			`{"domain": "shop.eu.auth0.com", "client_id": "…", "client_secret": "…"}`: {instead: func(s *scene, text string) {
				require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "auth0.json"), []byte(text), 0o600))
			}},
		},
		commands: map[string]step{
			"authsync integrations get shop auth0": {before: func(s *scene) {
				waittest.Until(s.t, func() bool { return tenant.Events.Open() == 1 })
			}},
			"authsync integrations set shop better-auth --option pull=true": {before: func(s *scene) {
				s.execute(s.project, `CREATE TABLE "user" (id text PRIMARY KEY, name text, email text, "createdAt" timestamptz, "updatedAt" timestamptz)`)
			}},
			"authsync listen shop clerk":                    {untested: "it needs Svix's relay; the tests of internal/cli run it against a stand-in"},
			"authsync dev --provider clerk --key sk_test_…": {untested: "it needs Clerk; the tests of internal/cli run it against stand-ins"},
		},
		end: func(s *scene) { require.Contains(s.t, s.last("PULLED EVENTS"), "connected") },
	}.run(t)
}
