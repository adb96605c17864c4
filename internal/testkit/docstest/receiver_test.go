package docstest_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
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
