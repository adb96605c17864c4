package webhook_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/destinationtest"
)

// rotated is a destination whose secret was replaced a moment ago.
func rotated(c *destination.Config) {
	c.Secrets.Old = map[string]destination.OldSecret{webhook.SigningSecret: {Value: oldSecret, Until: time.Now().Add(24 * time.Hour)}}
}

func TestSvixVerifies(t *testing.T) {
	t.Parallel()
	verify := func(t *testing.T, secret string, r received) error {
		t.Helper()
		w, err := svix.NewWebhook(secret)
		require.NoError(t, err)
		return w.Verify(r.body, r.header)
	}
	for _, m := range every() {
		r := sent(t, m, func(*destination.Config) {})
		require.NoError(t, verify(t, secret, r))
		require.Error(t, verify(t, oldSecret, r))
		require.Len(t, strings.Fields(r.header.Get("Webhook-Signature")), 1)

		r.body = bytes.Replace(r.body, []byte("ada@"), []byte("eve@"), 1)
		require.Error(t, verify(t, secret, r), "a body that was changed")
	}
	for _, m := range every() {
		r := sent(t, m, rotated)
		require.NoError(t, verify(t, secret, r))
		require.NoError(t, verify(t, oldSecret, r), "whoever has the old one still gets through")
		require.Len(t, strings.Fields(r.header.Get("Webhook-Signature")), 2)
	}
}

func TestTheOldSecretEnds(t *testing.T) {
	t.Parallel()
	until := destinationtest.EventAt()
	for now, want := range map[time.Time]int{until.Add(-time.Nanosecond): 2, until: 1, until.Add(time.Hour): 1} {
		r := sentAt(t, destinationtest.Updated(), now, func(c *destination.Config) {
			c.Secrets.Old = map[string]destination.OldSecret{webhook.SigningSecret: {Value: oldSecret, Until: until}}
		})
		require.Len(t, strings.Fields(r.header.Get("Webhook-Signature")), want)
	}
}

func TestNodeVerifies(t *testing.T) {
	t.Parallel()
	type given struct {
		Secret  string            `json:"secret"`
		Headers map[string]string `json:"headers"`
		Body    string            `json:"body"`
	}
	var (
		webhooks []given
		want     []string
	)
	for _, m := range every() {
		r := sent(t, m, rotated)
		headers := map[string]string{}
		for name := range r.header {
			headers[strings.ToLower(name)] = r.header.Get(name)
		}
		for _, s := range []string{secret, oldSecret} {
			webhooks, want = append(webhooks, given{s, headers, string(r.body)}), append(want, "user."+m.Kind)
		}
		webhooks = append(webhooks, given{secret, headers, string(r.body) + " "})
		want = append(want, "refused: No matching signature found")
	}
	input, err := json.Marshal(webhooks)
	require.NoError(t, err)

	command := exec.CommandContext(t.Context(), "node", "testdata/verify.cjs", library(t))
	command.Stdin = bytes.NewReader(input)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	output, err := command.Output()
	require.NoError(t, err, "node is needed to run the library of receivers: apt-get install nodejs. It said: %s", &stderr)
	var answers []string
	require.NoError(t, json.Unmarshal(output, &answers))
	require.Equal(t, want, answers)
}

// library is the folder of the npm package, of the version that the Makefile names.
func library(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	require.NoError(t, err)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^STANDARDWEBHOOKS_VERSION := (\S+)$`).FindSubmatch(makefile)
	require.NotNil(t, version, "the Makefile names the version")
	folder := filepath.Join(root, ".bin", "standardwebhooks-"+string(version[1]), "node_modules", "standardwebhooks")
	require.DirExists(t, folder, "make tools installs the library, with npm")
	return folder
}

// received is a request as it arrived.
type received struct {
	method, path string
	header       http.Header
	body         []byte
}

func every() []destination.Message {
	return []destination.Message{destinationtest.Created(), destinationtest.Updated(), destinationtest.Deleted(), destinationtest.Restored()}
}
