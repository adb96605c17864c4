package docstest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// listening lets the shell's commands find the server on this machine.
func (s *scene) listening() {
	s.t.Helper()
	s.hidden("export AUTHSYNC_LISTEN='" + strings.TrimPrefix(s.url, "http://") + "' AUTHSYNC_URL='" + s.url + "'")
}

func TestProduction(t *testing.T) {
	t.Parallel()
	walk{
		file:  "docs/production.md",
		begin: func(t *testing.T) *scene { t.Helper(); return newScene(t, "") },
		commands: map[string]step{
			"authsync serve": {
				before:   func(s *scene) { s.serve(); s.listening() },
				untested: "the test has started it, at a free port",
			},
			"authsync keys create ops": {after: func(s *scene) {
				s.hidden("export AUTHSYNC_API_KEY=" + regexp.MustCompile(`capy_live_\w+`).FindString(s.last("capy_live_")))
			}},
			`pg_dump --format=custom --file=authsync.dump "$DATABASE_URL"`: {after: func(s *scene) {
				require.FileExists(s.t, filepath.Join(s.dir, "authsync.dump"))
			}},
		},
		blocks: map[string]step{
			"CREATE ROLE authsync LOGIN PASSWORD 'secret';": {instead: func(s *scene, text string) {
				for statement := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
					s.execute(s.stage.postgres.URL("postgres"), statement)
				}
			}},
			"# editor /etc/authsync/authsync.env": {untested: "make test/dist installs the deb and runs what its units say"},
			"[Service]":                           {untested: "it takes a systemd that runs"},
			"$ docker compose up --detach":        {untested: "it takes Docker; make test/dist runs what the Dockerfile says"},
			"$ kubectl create secret generic authsync --from-file=DATABASE_URL=database.url --from-file=AUTHSYNC_ENCRYPTION_KEY=encryption.key": {
				untested: "it takes Kubernetes; make test/chart checks the chart",
			},
			"location / {": {untested: "it takes nginx"},
		},
		paste: func(s *scene) []string {
			return []string{"postgres://authsync:secret@db.example.com:5432/authsync?sslmode=verify-full", s.control}
		},
	}.run(t)
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	walk{
		file: "docs/upgrade.md",
		begin: func(t *testing.T) *scene {
			t.Helper()
			s := newScene(t, "")
			s.serve()
			s.listening()
			s.hidden("export AUTHSYNC_API_KEY=$(authsync keys create docs --json | jq -r .key)")
			return s
		},
	}.run(t)
}

// The threat model names tests that show what it promises: they exist.
func TestSecurityNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile(filepath.Join(root, "SECURITY.md"))
	require.NoError(t, err)
	named := regexp.MustCompile("`(internal/[a-z/]+): (Test\\w+)`").FindAllStringSubmatch(string(page), -1)
	require.Greater(t, len(named), 20)
	for _, name := range named {
		files, err := filepath.Glob(filepath.Join(root, name[1], "*_test.go"))
		require.NoError(t, err)
		var tests strings.Builder
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			tests.Write(text)
		}
		require.Contains(t, tests.String(), "\nfunc "+name[2]+"(", "SECURITY.md names it")
	}
}
