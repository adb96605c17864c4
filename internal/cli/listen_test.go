package cli

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/testkit/relaytest"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// listening is authsync listen in the background; end ends it and returns what it printed.
func (b *testBundle) listening(t *testing.T, args ...string) (end func() result) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan result, 1)
	go func() { ended <- run(ctx, b.env, "", append([]string{"listen", "shop", "clerk"}, args...)...) }()
	return func() result {
		cancel()
		return waittest.Receive(t, ended)
	}
}

// clerkFrame is a webhook of Clerk as the relay passes it on.
func clerkFrame(t *testing.T, frame, id, secret string) string {
	t.Helper()
	header, body, err := clerk.New().Sign(provider.Sample{Type: "user.created", ID: id, UserID: "user_relayed", At: time.Now()},
		provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(secret)}}, provider.Options{}, time.Now())
	require.NoError(t, err)
	headers := map[string]string{"Host": "webhooks.clerk.com"}
	for name := range header {
		headers[strings.ToLower(name)] = header.Get(name)
	}
	text, err := json.Marshal(map[string]any{"type": "event", "version": 1, "data": map[string]any{
		"id": frame, "method": "POST", "headers": headers, "body": base64.StdEncoding.EncodeToString(body),
	}})
	require.NoError(t, err)
	return string(text)
}

// What Clerk sends to the inbox is in the mirror, and Clerk sees what the receiver says.
func TestListenRelaysWebhooks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := relaytest.New(t)
	end := b.listening(t, "--relay", relay.URL)
	start := waittest.Receive(t, relay.Started)
	token, _ := start["data"].(map[string]any)["token"].(string)
	require.Regexp(t, `^c_[0-9A-Za-z]{10}$`, token)
	reply := func() map[string]any {
		data, _ := waittest.Receive(t, relay.Got)["data"].(map[string]any)
		return data
	}
	relay.Send <- clerkFrame(t, "e1", "msg_good", "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx")
	answer := reply()
	require.Equal(t, "e1", answer["id"])
	require.EqualValues(t, 204, answer["status"])
	relay.Send <- clerkFrame(t, "e2", "msg_bad", "whsec_YW5vdGhlci1zZWNyZXQtdGhhbi1zZXQ=")
	answer = reply()
	require.EqualValues(t, 401, answer["status"])
	waittest.Until(t, func() bool {
		return strings.Contains(b.must(t, "events", "list", "shop", "--user", "user_relayed"), "applied")
	})
	r := end()
	require.Zero(t, r.status, r.err)
	require.Contains(t, r.out, "https://webhooks.clerk.com/in/"+token+"/\n")
	require.Regexp(t, `(?m)^\d\d:\d\d:\d\d 204 user.created msg_good$`, r.out)
	require.Regexp(t, `(?m)^\d\d:\d\d:\d\d 401 user.created msg_bad: The request could not be verified`, r.out)
	require.Contains(t, r.err, "Listening. Ctrl-C ends it.")

	// The URL stays, unless a new one is asked for.
	end = b.listening(t, "--relay", relay.URL, "--json")
	require.Equal(t, start, waittest.Receive(t, relay.Started))
	relay.Send <- clerkFrame(t, "e3", "msg_again", "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx")
	reply()
	r = end()
	var line relayed
	require.NoError(t, json.Unmarshal([]byte(r.out), &line))
	require.Equal(t, "msg_again", line.MessageID)
	require.Equal(t, 204, line.Status)
	end = b.listening(t, "--relay", relay.URL, "--new-url")
	require.NotEqual(t, start, waittest.Receive(t, relay.Started))
	end()
}

// While the server is away the sender is told to come back.
func TestListenWithoutAServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	relay := relaytest.New(t)
	end := b.listening(t, "--relay", relay.URL)
	waittest.Receive(t, relay.Started)
	require.NoError(t, b.app.Stop(context.WithoutCancel(t.Context())))
	relay.Send <- clerkFrame(t, "e1", "msg_1", "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx")
	data, _ := waittest.Receive(t, relay.Got)["data"].(map[string]any)
	require.EqualValues(t, 503, data["status"])
	require.Contains(t, end().out, "503 user.created msg_1: the server does not answer")
}

func TestListenIsForClerk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	r := b.run(t, "listen", "shop", "auth0")
	require.Equal(t, 2, r.status)
	require.Contains(t, r.err, "only Clerk's development webhooks are relayed")
}
