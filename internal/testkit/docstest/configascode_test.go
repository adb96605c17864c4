package docstest_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConfigAsCode(t *testing.T) {
	t.Parallel()
	const secret = "a long random text for this test"
	var app string
	walk{
		file: "docs/config-as-code.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := newScene(t, "")
			app = s.receiver().URL
			s.shop()
			s.put("auth0", map[string]any{"credentials": map[string]string{"webhook_signing_secret": secret}})
			return s
		},
		commands: map[string]step{
			"authsync apply -f authsync.yaml": {before: func(s *scene) {
				s.hidden("authsync projects detach shop --yes") // the other server has none
			}, after: func(s *scene) {
				require.Contains(s.t, s.last("Created project shop."), "Point Auth0 at: "+s.url)
				s.hidden("authsync plan -f authsync.yaml")
			}},
		},
		blocks: map[string]step{
			"# yaml-language-server: $schema=https://raw.githubusercontent.com/authsync/authsync/main/docs/authsync.schema.json": {
				before: func(s *scene) {
					text, err := os.ReadFile(filepath.Join(s.dir, "authsync.yaml"))
					require.NoError(s.t, err)
					require.NotContains(s.t, string(text), secret)
				},
				instead: func(s *scene, text string) {
					require.NoError(s.t, os.WriteFile(filepath.Join(s.dir, "authsync.yaml"), []byte(text), 0o600))
				},
			},
		},
		paste: func(s *scene) []string {
			return []string{
				"https://app.example.com", app,
				"postgres://…", "'" + s.project + "'", "SHOP_AUTH0_WEBHOOK_SIGNING_SECRET=…", "SHOP_AUTH0_WEBHOOK_SIGNING_SECRET='" + secret + "'",
			}
		},
		end: func(s *scene) {
			require.Contains(s.t, s.last("yaml-language-server"), "signing_secret: {env: SHOP_APP_SIGNING_SECRET}")
		},
	}.run(t)
}
