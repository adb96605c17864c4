package clientstest_test

import (
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/testkit/pgtest"
	"github.com/authsync/authsync/internal/testkit/sitetest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// sender is a provider and the library that signs as it does.
type sender struct {
	provider, library string
	types             [2]string // of events about a user; the second of its deletion
}

func senders() []sender {
	users := [2]string{"user.updated", "user.deleted"}
	return []sender{
		{provider.Clerk, "svix", users},
		{provider.BetterAuth, "standardwebhooks", users},
		{provider.BetterAuth, "svix", users},
		{"workos", "workos", users},
		{"stytch", "svix", [2]string{"user.UPDATE", "user.DELETE"}},
		{"stack_auth", "svix", users},
		{"propelauth", "svix", users},
	}
}

// senderSecret is what all senders sign with.
const senderSecret = "whsec_c2VuZGVycyBvZiBtZXNzYWdlcywgc2lnbmVkIGJ5IG90aGVycw=="

// message is one for a program in testdata/senders.
type message struct {
	Library string            `json:"library"`
	URL     string            `json:"url,omitempty"`
	ID      string            `json:"id,omitempty"`
	Secret  string            `json:"secret"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body"`
}

// sign signs a sample as authsync send does.
func (s sender) sign(t *testing.T, eventType, userID string, at time.Time) (http.Header, string) {
	t.Helper()
	kind, err := registry.Lookup(s.provider)
	require.NoError(t, err)
	header, body, err := kind.Sign(provider.Sample{Type: eventType, ID: strings.ReplaceAll(userID+"-"+eventType, ".", "-"), UserID: userID, At: at},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{senderSecret}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	return header, string(body)
}

// runSenders runs a program of testdata/senders.
func runSenders(t *testing.T, program string, messages []message, answers any) {
	t.Helper()
	dir := workspaceOf(t, ".bin/senders-node-1/node_modules")
	text, err := programs.ReadFile("testdata/senders/" + program)
	require.NoError(t, err)
	write(t, filepath.Join(dir, program), string(text))
	in, err := json.Marshal(messages)
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), "node", program)
	cmd.Dir, cmd.Stdin, cmd.Stderr = dir, strings.NewReader(string(in)), os.Stderr
	out, err := cmd.Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, answers))
}

// TestLibrariesSend: what the libraries of Svix, Standard Webhooks and WorkOS sign becomes rows, by the receiver of a whole server,
// and the same signature over another body is refused.
func TestLibrariesSend(t *testing.T) {
	t.Parallel()
	site := sitetest.Start(t)
	shop, err := site.Store.CreateProject(t.Context(), "shop", pgtest.URL(t, site.Mirror), false)
	require.NoError(t, err)
	c := client.New(site.URL, "")
	defer c.Close()
	var messages []message
	var want []string
	for i, s := range senders() {
		_, err := site.Store.PutIntegration(t.Context(), shop.ID, s.provider,
			map[string]json.RawMessage{"webhook_signing_secret": json.RawMessage(`"` + senderSecret + `"`)}, nil)
		require.NoError(t, err)
		for n, typ := range s.types {
			userID := "user-" + s.provider + "-" + s.library
			_, body := s.sign(t, typ, userID, time.Now().Add(time.Duration(n-10)*time.Second))
			messages = append(messages, message{
				Library: s.library, URL: c.WebhookURL(s.provider, shop.ID.String()), ID: "msg_" + string(rune('a'+2*i+n)), Secret: senderSecret, Body: body,
			})
			want = append(want, userID)
		}
	}
	var answers []struct{ Tampered, Sent int }
	runSenders(t, "send.mjs", messages, &answers)
	require.Len(t, answers, len(messages))
	for i, a := range answers {
		require.Equal(t, http.StatusUnauthorized, a.Tampered, messages[i].URL)
		require.Equal(t, http.StatusNoContent, a.Sent, messages[i].URL)
	}
	waittest.Until(t, func() bool {
		var deleted int
		require.NoError(t, site.Mirror.QueryRow(t.Context(), `
			SELECT count(*) FROM capydb_auth.users WHERE id = ANY ($1) AND deleted_at IS NOT NULL`, want).Scan(&deleted))
		return deleted == len(senders())
	})
	var updated int // Stytch's deletion has no object, so it is the update that has the name
	require.NoError(t, site.Mirror.QueryRow(t.Context(), `SELECT count(*) FROM capydb_auth.users WHERE id = ANY ($1) AND email IS NOT NULL`, want).Scan(&updated))
	require.Equal(t, len(senders()), updated)
}

// TestLibrariesVerify: what authsync signs as a provider, for self-tests and authsync send, is what the provider's own library takes.
func TestLibrariesVerify(t *testing.T) {
	t.Parallel()
	all := append(senders(), sender{provider.Clerk, "clerk", [2]string{"user.updated", "user.deleted"}})
	var messages []message
	for _, s := range all {
		if s.provider == provider.BetterAuth && s.library == "svix" {
			continue // it signs as Standard Webhooks has it
		}
		header, body := s.sign(t, s.types[0], "user-1", time.Now())
		headers := map[string]string{}
		for name := range header {
			headers[strings.ToLower(name)] = header.Get(name)
		}
		messages = append(messages, message{Library: s.library, Secret: senderSecret, Headers: headers, Body: body})
	}
	var answers []struct {
		Type    string
		Refused bool
	}
	runSenders(t, "verify.mjs", messages, &answers)
	require.Len(t, answers, len(messages))
	for i, a := range answers {
		require.NotEmpty(t, a.Type, messages[i].Body)
		require.True(t, a.Refused, messages[i].Library)
	}
}
