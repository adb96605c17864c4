package docstest_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

func TestCustomProviders(t *testing.T) {
	t.Parallel()
	keep := func(name string) step {
		return step{instead: func(s *scene, text string) {
			require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600))
		}}
	}
	read := step{instead: func(s *scene, text string) {
		_, err := custom.ReadFile("example.yaml", []byte(text))
		require.NoError(s.t, err)
	}}
	walk{
		file:  "docs/custom-providers.md",
		begin: withShop,
		blocks: map[string]step{
			`{"kind": "person.changed", "event": "ev_17", "sent": "2026-05-04T10:20:30Z",`:                                       keep("body.json"),
			"# yaml-language-server: $schema=https://raw.githubusercontent.com/authsync/authsync/main/docs/provider.schema.json": keep("acme.yaml"),
			"title: FusionAuth with an HMAC key": read, "title: Keycloak with the realm's keys": read,
		},
		paste: func(*scene) []string {
			return []string{
				"WORKOS_SECRET=…", "WORKOS_SECRET=a-long-random-text-for-workos", "ACME_SECRET=…", "ACME_SECRET=a-long-random-text-for-acme",
			}
		},
		end: func(s *scene) {
			require.Contains(s.t, s.last("Event person.changed ev_17: applied"), "ada@example.com")
			require.Contains(s.t, s.last("EVENT TYPE"), "person.removed")
		},
	}.run(t)
}

// WorkOS is the one of these whose users can be read.
func TestWorkOS(t *testing.T) {
	t.Parallel()
	account := demoprovider.NewAccount(7)
	walk{
		file:  "docs/providers/workos.md",
		begin: withShop,
		commands: map[string]step{
			"authsync integrations set shop workos --webhook-signing-secret-env WORKOS_SECRET": {after: func(s *scene) {
				s.hidden("authsync integrations set shop workos --option base_url=" + userapitest.Start(s.t, demoprovider.NewWorkOS(account, time.Now)))
			}},
			"authsync backfill shop workos": {after: func(s *scene) {
				s.count(account.Len(), `SELECT count(*) FROM capydb_auth.users`)
			}},
		},
		paste: func(*scene) []string {
			return []string{"WORKOS_SECRET=…", "WORKOS_SECRET=a-long-random-text-for-workos", "WORKOS_API_KEY=sk_…", "WORKOS_API_KEY=" + demoprovider.WorkOSKey}
		},
		end: func(s *scene) { require.Contains(s.t, s.last("/webhook/"), "/integrations/") },
	}.run(t)
}

// The page of each other provider whose definition is built in.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, preset := range []struct{ file, env, secret string }{
		{file: "docs/providers/logto.md", env: "LOGTO_SECRET", secret: "a-long-random-text-for-logto"},
		{file: "docs/providers/stytch.md", env: "STYTCH_SECRET", secret: "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAyLWxvbmdlcg=="},
		{file: "docs/providers/stack-auth.md", env: "STACK_AUTH_SECRET", secret: "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAyLWxvbmdlcg=="},
		{file: "docs/providers/kinde.md"},
		{file: "docs/providers/fusionauth.md"},
		{file: "docs/providers/propelauth.md", env: "PROPELAUTH_SECRET", secret: "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAyLWxvbmdlcg=="},
		{file: "docs/providers/keycloak.md", env: "KEYCLOAK_SECRET", secret: "a-long-random-text-for-keycloak"},
		{file: "docs/providers/supabase.md", env: "SUPABASE_SECRET", secret: "a-long-random-text-for-supabase"},
	} {
		t.Run(preset.file, func(t *testing.T) {
			t.Parallel()
			walk{
				file:  preset.file,
				begin: withShop,
				paste: func(*scene) []string {
					if preset.env == "" { // there is no secret
						return nil
					}
					return []string{preset.env + "=…", preset.env + "=" + preset.secret}
				},
				end: func(s *scene) { require.Contains(s.t, s.last("/webhook/"), "/integrations/") },
			}.run(t)
		})
	}
}
