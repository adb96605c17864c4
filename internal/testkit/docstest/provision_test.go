package docstest_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestAuth0Page(t *testing.T) {
	t.Parallel()
	tenant := demoprovider.NewAuth0(demoprovider.NewAccount(5), time.Now)
	tenant.Scope = "read:users " + demoprovider.Auth0OrganizationScopes + " " + demoprovider.Auth0StreamScopes + " " + demoprovider.Auth0ManageScopes
	tenant.Streams.Local = true
	// stream is what the tenant has, which is one stream.
	stream := func(s *scene) demoprovider.Auth0Stream {
		s.t.Helper()
		all := tenant.Streams.All()
		require.Len(s.t, all, 1)
		return all[0]
	}
	walk{
		file: "docs/providers/auth0.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := withShop(t)
			t.Cleanup(func() { tenant.Streams.Posted() })
			s.put("auth0", map[string]any{"options": map[string]string{"base_url": userapitest.Start(t, tenant)}}) // in place of Auth0's own
			return s
		},
		paste: func(*scene) []string {
			return []string{"AUTH0_CLIENT_ID=…", "AUTH0_CLIENT_ID=" + demoprovider.Auth0ClientID, "AUTH0_CLIENT_SECRET=…", "AUTH0_CLIENT_SECRET=" + demoprovider.Auth0ClientSecret}
		},
		commands: map[string]step{
			"authsync integrations set shop auth0 --provision \\\n  --domain shop.eu.auth0.com --client-id \"$AUTH0_CLIENT_ID\" --client-secret-env AUTH0_CLIENT_SECRET": {after: func(s *scene) {
				require.Contains(s.t, s.last("✓"), "✓ test event arrived")
				require.Len(s.t, stream(s).Types, 10)
				s.count(5, `SELECT count(*) FROM capydb_auth.users`)
			}},
			"authsync integrations get shop auth0": {after: func(s *scene) {
				require.Contains(s.t, s.last("Webhook set up"), "The provider has it as it should be.")
			}},
			`authsync integrations set shop auth0 --option 'record_types=["users"]'`: {after: func(s *scene) {
				waittest.Until(s.t, func() bool { return len(stream(s).Types) == 3 })
			}},
			"authsync integrations set shop auth0 --generate-secret --add-secret": {
				before: func(s *scene) { s.values["before"] = stream(s).Authorization["token"] },
				after: func(s *scene) {
					waittest.Until(s.t, func() bool { return stream(s).Authorization["token"] != s.values["before"] })
				},
			},
		},
		blocks: map[string]step{
			"✓ permissions: the credentials have the permissions that Auth0 requires": {untested: "the command above prints it"},
		},
	}.run(t)
}

func TestClerkPage(t *testing.T) {
	t.Parallel()
	instance := demoprovider.NewClerk(demoprovider.NewAccount(5), time.Now)
	instance.Svix.Local = true
	// secret is the signing secret of the endpoint that authsync made.
	secret := func(s *scene) string {
		s.t.Helper()
		all := instance.Svix.All()
		require.Len(s.t, all, 1)
		return all[0].Secret
	}
	walk{
		file: "docs/providers/clerk.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := withShop(t)
			t.Cleanup(instance.Svix.Posted)
			s.put("clerk", map[string]any{"options": map[string]string{"base_url": userapitest.Start(t, instance)}}) // in place of Clerk's own
			return s
		},
		paste: func(*scene) []string { return []string{"sk_live_…", demoprovider.ClerkKey} },
		commands: map[string]step{
			"authsync integrations set shop clerk --provision --secret-key-env CLERK_SECRET_KEY": {after: func(s *scene) {
				require.Contains(s.t, s.last("✓"), "✓ test event arrived")
				s.values["before"] = secret(s)
				s.count(5, `SELECT count(*) FROM capydb_auth.users`)
			}},
			"authsync integrations get shop clerk": {after: func(s *scene) {
				require.Contains(s.t, s.last("Webhook set up"), "The provider has it as it should be.")
			}},
			"authsync integrations set shop clerk --provision --generate-secret --add-secret": {after: func(s *scene) {
				require.NotEqual(s.t, s.values["before"], secret(s))
			}},
			"authsync integrations set shop clerk --webhook-signing-secret-file -": {input: func(s *scene) string { return secret(s) + "\n" }},
		},
		blocks: map[string]step{
			"✓ permissions: the credentials have the permissions that Clerk requires": {untested: "the command above prints it"},
		},
	}.run(t)
}
