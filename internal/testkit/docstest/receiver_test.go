package docstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/authsync/authsync/internal/provider"
)

func TestReceiver(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/receiver.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := newScene(t, "")
			s.shop()
			s.hidden("export DATABASE_URL='" + s.control + "'")
			return s
		},
		commands: map[string]step{
			"authsync integrations set shop clerk --add-secret --webhook-signing-secret-file -": {before: func(s *scene) {
				s.put("clerk", map[string]any{"credentials": map[string]any{"webhook_signing_secret": provider.NewSigningSecret(provider.BetterAuth)}})
			}, input: func(*scene) string {
				return string(provider.NewSigningSecret(provider.BetterAuth)) + "\n" // Clerk's have the same form
			}},
		},
		blocks: map[string]step{
			"scrape_configs:": {instead: func(s *scene, text string) {
				var config map[string][]struct {
					Authorization map[string]string `yaml:"authorization"`
				}
				require.NoError(s.t, yaml.Unmarshal([]byte(text), &config))
				require.Contains(s.t, config["scrape_configs"][0].Authorization, "credentials_file")
				require.Contains(s.t, s.hidden(`curl -s -H "Authorization: Bearer $AUTHSYNC_API_KEY" "$AUTHSYNC_URL/metrics"`), "authsync_http_connections")
			}},
		},
	}.run(t)
}
