package cli

import (
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/testkit/relaytest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// One command with a key, and the instance's users are in the mirror, and its webhooks come.
func TestDevConnectsClerk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	t.Cleanup(func() { // as root, PostgreSQL's data lies where its account can reach it
		if moved, err := os.ReadFile(filepath.Join(dir, "postgres", "moved-to")); err == nil {
			require.NoError(t, os.RemoveAll(strings.TrimSpace(string(moved))))
		}
	})
	server := demoprovider.NewClerk(demoprovider.NewAccount(3), time.Now)
	base := userapitest.Start(t, server)
	relay := relaytest.New(t)
	env := map[string]string{"AUTHSYNC_DATA_DIR": dir, "AUTHSYNC_LISTEN": "127.0.0.1:0"}
	p := startProcess(t, env, "dev", "--provider", "clerk", "--key", demoprovider.ClerkKey, "--base-url", base, "--relay", relay.URL)
	start := waittest.Receive(t, relay.Started)
	token, _ := start["data"].(map[string]any)["token"].(string)
	waittest.Until(t, func() bool { return strings.Contains(p.err.String(), "Listening. Ctrl-C ends it.") })
	require.Contains(t, p.err.String(), "Clerk is connected: its users are read into the mirror now.")
	require.Regexp(t, `Read: [3-9]\d* records of Clerk are in the mirror\.`, p.err.String())
	require.Contains(t, p.err.String(), "https://webhooks.clerk.com/in/"+token+"/")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	require.Zero(t, p.ends(t), p.err.String())
}

// With a public URL nothing has to be pasted: the endpoint is set up, and what Clerk sends arrives.
func TestDevSetsUpTheWebhookWhereThereIsAPublicURL(t *testing.T) {
	t.Parallel()
	for name, surprise := range map[string]bool{"SetUp": false, "Surprise": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			t.Cleanup(func() {
				if moved, err := os.ReadFile(filepath.Join(dir, "postgres", "moved-to")); err == nil {
					require.NoError(t, os.RemoveAll(strings.TrimSpace(string(moved))))
				}
			})
			server := demoprovider.NewClerk(demoprovider.NewAccount(3), time.Now)
			server.Svix.Local = true
			if surprise {
				server.Svix.Link = "https://portal.example.com/#key=x"
			}
			base := userapitest.Start(t, server)
			t.Cleanup(server.Svix.Posted)
			relay := relaytest.New(t)
			public := userapitest.Serve(t, &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
				text, err := os.ReadFile(filepath.Join(dir, config.ConnectionFile))
				if err != nil {
					return // the transport answers 502
				}
				_, rest, _ := strings.Cut(string(text), "AUTHSYNC_URL=")
				line, _, _ := strings.Cut(rest, "\n")
				if to, err := url.Parse(strings.Trim(line, `'"`)); err == nil {
					r.SetURL(to)
				}
			}})
			env := map[string]string{"AUTHSYNC_DATA_DIR": dir, "AUTHSYNC_LISTEN": "127.0.0.1:0", "AUTHSYNC_PUBLIC_URL": public}
			p := startProcess(t, env, "dev", "--provider", "clerk", "--key", demoprovider.ClerkKey, "--base-url", base, "--relay", relay.URL)
			if surprise {
				waittest.Until(t, func() bool { return strings.Contains(p.err.String(), "Listening. Ctrl-C ends it.") })
				require.Contains(t, p.err.String(), "the webhook of Clerk is not set up")
				require.Contains(t, p.err.String(), "https://webhooks.clerk.com/in/")
			} else {
				waittest.Until(t, func() bool { return strings.Contains(p.err.String(), "and its test event has arrived.") })
				require.Contains(t, p.err.String(), public+"/api/capydb/v1/integrations/clerk/webhook/")
				require.NotContains(t, p.err.String(), "https://webhooks.clerk.com/in/", "there is nothing to paste")
				require.Len(t, server.Svix.All(), 1)
			}
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
			require.Zero(t, p.ends(t), p.err.String())
		})
	}
}

func TestDevChecksTheProviderFirst(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args  []string
		words string
	}{
		"LiveKey":       {[]string{"--provider", "clerk", "--key", "sk_live_abc"}, "does not belong on a command line"},
		"NoKey":         {[]string{"--provider", "clerk"}, "--key takes the secret key"},
		"KeyAlone":      {[]string{"--key", "sk_test_abc"}, "give --provider clerk with it"},
		"OtherProvider": {[]string{"--provider", "auth0", "--key", "sk_test_abc"}, "--provider takes clerk"},
		"Both":          {[]string{"--provider", "clerk", "--key", "sk_test_abc", "--demo-provider"}, "--demo-provider stands in for Clerk"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := run(t.Context(), map[string]string{"AUTHSYNC_DATA_DIR": t.TempDir()}, "", append([]string{"dev"}, c.args...)...)
			require.Equal(t, 2, r.status)
			require.Contains(t, r.err, c.words)
			require.NotContains(t, r.err, "sk_live_abc")
		})
	}
}
