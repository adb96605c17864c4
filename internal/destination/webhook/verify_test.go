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
	"github.com/authsync/authsync/internal/testkit/destinationtest"
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

// TestSvixVerifiesItsOwnHeaders is about verifiers that look for svix-* alone: Clerk's, and others that are Svix's under
// another name.
func TestSvixVerifiesItsOwnHeaders(t *testing.T) {
	t.Parallel()
	withSvix := func(c *destination.Config) {
		c.Options = json.RawMessage(strings.Replace(string(c.Options), "{", `{"svix_headers": true, `, 1))
	}
	svixOnly := func(h http.Header) http.Header {
		only := http.Header{}
		for name, values := range h {
			if strings.HasPrefix(name, "Svix-") {
				only[name] = values
			}
		}
		return only
	}
	verifier, err := svix.NewWebhook(secret)
	require.NoError(t, err)
	older, err := svix.NewWebhook(oldSecret)
	require.NoError(t, err)

	t.Run("OfEveryKindOfChange", func(t *testing.T) {
		t.Parallel()
		for _, m := range every() {
			r := sent(t, m, withSvix)
			require.Len(t, svixOnly(r.header), 3)
			require.NoError(t, verifier.Verify(r.body, svixOnly(r.header)))
			require.Error(t, verifier.Verify(append(r.body, ' '), svixOnly(r.header)), "a body that was changed")
			require.Equal(t, m.ID, r.header.Get("Svix-Id"))
			for _, name := range []string{"-Id", "-Timestamp", "-Signature"} {
				require.Equal(t, r.header.Get("Webhook"+name), r.header.Get("Svix"+name), "both are there")
			}
		}
	})

	t.Run("WhileASecretIsRotated", func(t *testing.T) {
		t.Parallel()
		r := sent(t, destinationtest.Updated(), func(c *destination.Config) {
			withSvix(c)
			rotated(c)
		})
		require.NoError(t, verifier.Verify(r.body, svixOnly(r.header)))
		require.NoError(t, older.Verify(r.body, svixOnly(r.header)), "whoever has the old one still gets through")
	})

	t.Run("AreNotSentUnlessAskedFor", func(t *testing.T) {
		t.Parallel()
		r := sent(t, destinationtest.Updated(), func(*destination.Config) {})
		require.Empty(t, svixOnly(r.header))
	})

	t.Run("CannotBeGivenByHand", func(t *testing.T) {
		t.Parallel()
		c := config("https://app.example.com")
		c.Options = json.RawMessage(`{"url": "https://app.example.com", "headers": {"svix-id": "mine"}}`)
		_, err := webhook.Type{}.New(c, destination.Deps{})
		require.ErrorContains(t, err, "options.headers")
	})

	t.Run("AreShownByAPreviewWithoutTheSignature", func(t *testing.T) {
		t.Parallel()
		c := config("https://app.example.com")
		withSvix(&c)
		d, err := webhook.Type{}.New(c, destination.Deps{})
		require.NoError(t, err)
		requests, err := d.Preview(t.Context(), destinationtest.Updated())
		require.NoError(t, err)
		require.Equal(t, destination.Masked, requests[0].Header.Get("Svix-Signature"))
		require.Equal(t, destinationtest.Updated().ID, requests[0].Header.Get("Svix-Id"))
	})
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
			webhooks, want = append(webhooks, given{s, headers, string(r.body)}), append(want, m.EventType)
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
