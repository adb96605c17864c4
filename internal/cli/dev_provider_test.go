package cli

import (
	"bytes"
	"fmt"
	"net/http"
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
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/testkit/relaytest"
	"github.com/authsync/authsync/internal/testkit/userapitest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// One command with a key, and the instance's users are in the mirror, and its webhooks come by the relay: nothing is pasted, and no
// dashboard is opened. The next start has the same endpoint.
func TestDevConnectsClerk(t *testing.T) {
	t.Parallel()
	dir := devDir(t)
	server := demoprovider.NewClerk(demoprovider.NewAccount(3), time.Now)
	base := userapitest.Start(t, server)
	t.Cleanup(server.Svix.Posted)
	relay := relaytest.New(t)
	server.Svix.To = relay.Inbox(t)
	env := map[string]string{"AUTHSYNC_DATA_DIR": dir, "AUTHSYNC_LISTEN": "127.0.0.1:0"}
	connected := []string{"dev", "--provider", "clerk", "--key", demoprovider.ClerkKey, "--base-url", base, "--relay", relay.URL}

	p := startProcess(t, env, connected...)
	start := waittest.Receive(t, relay.Started)
	token, _ := start["data"].(map[string]any)["token"].(string)
	waittest.Until(t, func() bool { return strings.Contains(p.err.String(), "and its test event has arrived.") })
	require.Contains(t, p.err.String(), "Clerk is connected: its users are read into the mirror now.")
	require.Regexp(t, `Read: [3-9]\d* records of Clerk are in the mirror\.`, p.err.String())
	require.NotContains(t, p.err.String()+p.out.String(), "Add Endpoint", "there is nothing to paste")
	require.NotContains(t, p.err.String()+p.out.String(), "--webhook-signing-secret-file")
	all := server.Svix.All()
	require.Len(t, all, 1)
	require.Equal(t, "https://webhooks.clerk.com/in/"+token+"/", all[0].URL)
	become := func(userID string) {
		postAsSvix(t, server.Svix.To, all[0].Secret, userID)
		waittest.Until(t, func() bool {
			r := run(t.Context(), env, "", "users", "list", "demo")
			return r.status == 0 && strings.Contains(r.out, userID)
		})
	}
	become("user_live1")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	require.Zero(t, p.ends(t), p.err.String())

	// While nobody listened, Svix gave up and disabled it. A start with the key, and one with nothing: the address of the server
	// is another each time.
	for n, args := range [][]string{connected, {"dev", "--relay", relay.URL}} {
		server.Svix.Change(all[0].ID, func(e *demoprovider.SvixEndpoint) { e.Disabled = true })
		p = startProcess(t, env, args...)
		require.Equal(t, start, waittest.Receive(t, relay.Started))
		waittest.Until(t, func() bool { return strings.Contains(p.err.String(), "and its test event has arrived.") })
		require.Equal(t, all, server.Svix.All(), "it is the same endpoint")
		become(fmt.Sprintf("user_live%d", n+2))
		if n == 1 {
			r := run(t.Context(), env, "", "integrations", "delete", "demo", "clerk", "--yes")
			require.Zero(t, r.status, r.err)
			require.Empty(t, server.Svix.All(), "it goes with the integration")
		}
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
		require.Zero(t, p.ends(t), p.err.String())
	}
}

// Where Clerk answers otherwise than expected, the road by hand is shown, and the relay is open for it.
func TestDevSaysHowToGoOnByHand(t *testing.T) {
	t.Parallel()
	server := demoprovider.NewClerk(demoprovider.NewAccount(3), time.Now)
	server.Svix.Link = "https://portal.example.com/#key=x"
	base := userapitest.Start(t, server)
	relay := relaytest.New(t)
	env := map[string]string{"AUTHSYNC_DATA_DIR": devDir(t), "AUTHSYNC_LISTEN": "127.0.0.1:0"}
	p := startProcess(t, env, "dev", "--provider", "clerk", "--key", demoprovider.ClerkKey, "--base-url", base, "--relay", relay.URL)
	start := waittest.Receive(t, relay.Started)
	token, _ := start["data"].(map[string]any)["token"].(string)
	waittest.Until(t, func() bool { return strings.Contains(p.err.String(), "--add-secret --webhook-signing-secret-file -") })
	require.Contains(t, p.err.String(), "Clerk does not document this way of setting up a webhook")
	require.Contains(t, p.err.String(), "https://webhooks.clerk.com/in/"+token+"/")
	require.Empty(t, server.Svix.All())
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGINT))
	require.Zero(t, p.ends(t), p.err.String())
}

// devDir is a data directory.
func devDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() { // as root, PostgreSQL's data lies where its account can reach it
		if moved, err := os.ReadFile(filepath.Join(dir, "postgres", "moved-to")); err == nil {
			require.NoError(t, os.RemoveAll(strings.TrimSpace(string(moved))))
		}
	})
	return dir
}

// postAsSvix posts an event about a new user.
func postAsSvix(t *testing.T, to, secret, userID string) {
	t.Helper()
	header, body, err := clerk.New().Sign(provider.Sample{Type: "user.created", UserID: userID, At: time.Now()},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(secret)}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, to, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header = header
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusNoContent, answer.StatusCode)
}

// With a public URL nothing has to be pasted: the endpoint is set up, and what Clerk sends arrives.
func TestDevSetsUpTheWebhookWhereThereIsAPublicURL(t *testing.T) {
	t.Parallel()
	for name, surprise := range map[string]bool{"SetUp": false, "Surprise": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := devDir(t)
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
