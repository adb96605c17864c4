package app_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

// refusing is a receiver that keeps what it is sent, and refuses all of it but what is about an erasure. It answers with the request's headers.
type refusing struct {
	mu     sync.Mutex
	header map[string]http.Header
	body   map[string]string
}

func (r *refusing) ServeHTTP(w http.ResponseWriter, in *http.Request) {
	body, _ := io.ReadAll(in.Body)
	if strings.Contains(string(body), "user.erased") || in.Method == http.MethodDelete {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.header == nil {
		r.header, r.body = map[string]http.Header{}, map[string]string{}
	}
	r.header[in.URL.Path], r.body[in.URL.Path] = in.Header.Clone(), string(body)
	w.WriteHeader(http.StatusUnprocessableEntity)
	_ = in.Header.Write(w)
}

func (r *refusing) last(path string) (http.Header, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.header[path], r.body[path]
}

// What a failed attempt sent is shown as it arrived, without any secret in the database, and is erased with its person.
func TestRequestsOfAttemptsAreShownAsTheyArrivedAndErased(t *testing.T) {
	t.Parallel()
	const apiKey, token = "k3y/+ of the API=", "pat-na1-0b1c2d3e-4f50-6172-8394-a5b6c7d8e9f0"
	in := install(t)
	in.settings.AllowTargets = egress.Loopback()
	there := &refusing{}
	server := httptest.NewServer(there)
	t.Cleanup(server.Close)
	e := in.serve(t)
	var secrets []string
	for _, d := range []map[string]any{
		{"name": "hook", "type": "webhook", "options": map[string]any{"url": server.URL + "/hook", "svix_headers": true, "headers": map[string]string{"X-Tenant": "ä"}}},
		{"name": "api", "type": "http", "secrets": map[string]string{"key": apiKey}, "options": map[string]any{"requests": map[string]any{
			"user.deleted": map[string]any{"method": "DELETE", "url": server.URL},
			"user.*": map[string]any{
				"method": "PUT", "url": server.URL + `/api?k={{ $secrets.key }}&id={{ .user.id }}`, "body": `{name: .user.last_name, key: ($secrets.key | @base64), n: ($secrets.key | length)}`,
				"headers": map[string]string{"X-Made": "{{ $secrets.key | explode | reverse | implode }}", "Authorization": "Bearer {{ $secrets.key }}"},
			},
		}}},
		{"name": "crm", "type": "hubspot", "secrets": map[string]string{"access_token": token}, "options": map[string]any{"base_url": server.URL}},
	} {
		made, err := e.api.AddDestination(t.Context(), in.projectID, d)
		require.NoError(t, err)
		if made.Secret != nil {
			key := strings.TrimPrefix(made.Secret.Value, "whsec_")
			raw, err := base64.StdEncoding.DecodeString(key)
			require.NoError(t, err)
			secrets = append(secrets, key, string(raw), base64.RawURLEncoding.EncodeToString(raw), hex.EncodeToString(raw))
		}
	}
	reversed := []byte(apiKey)
	for i, j := 0, len(reversed)-1; i < j; i, j = i+1, j-1 {
		reversed[i], reversed[j] = reversed[j], reversed[i]
	}
	secrets = append(secrets, apiKey, string(reversed), "k3y%2F%2B%20of", "k3y%2F%2B+of", base64.StdEncoding.EncodeToString([]byte(apiKey)), token,
		base64.StdEncoding.EncodeToString([]byte(token)))
	e.event(t, "user.created", hisID, map[string]any{"email": hisEmail, "last_name": hisName})
	waittest.Until(t, func() bool {
		return e.count(t, in.controlDB, `SELECT count(DISTINCT destination_id) FROM authsync.deliveries WHERE attempt_log IS NOT NULL`) == 3
	})

	list, err := e.api.Outgoing(t.Context(), "shop", client.OutgoingFilter{}, 10)
	require.NoError(t, err)
	shown := map[string]client.SentRequest{}
	for _, d := range list {
		found, err := e.api.OneOutgoing(t.Context(), "shop", d.ID)
		require.NoError(t, err)
		last := found.AttemptLog[0]
		require.NotEmpty(t, last.Requests, d.Destination)
		shown[d.Destination] = last.Requests[len(last.Requests)-1]
		require.True(t, shown[d.Destination].Sent)
		require.NotEmpty(t, shown[d.Destination].Response)
	}
	header, body := there.last("/hook")
	require.Equal(t, body, shown["hook"].Body)
	require.Equal(t, len(body), shown["hook"].BodyBytes)
	masked := header.Clone()
	for _, name := range []string{"Content-Length", "Accept-Encoding"} {
		masked.Del(name)
	}
	masked.Set("Webhook-Signature", "***")
	masked.Set("Svix-Signature", "***")
	require.Equal(t, map[string][]string(masked), shown["hook"].Headers, "all others as they arrived")
	require.Equal(t, server.URL+"/api?k=***&id="+hisID, shown["api"].URL)
	require.JSONEq(t, fmt.Sprintf(`{"key": %q, "n": 3, "name": %q}`, base64.StdEncoding.EncodeToString([]byte("***")), hisName), shown["api"].Body)
	require.Equal(t, []string{"***"}, shown["api"].Headers["X-Made"])
	require.Equal(t, []string{"Bearer ***"}, shown["api"].Headers["Authorization"])
	require.Equal(t, []string{"Bearer ***"}, shown["crm"].Headers["Authorization"])

	all := dump(t, in.controlDB)
	for _, secret := range secrets {
		for _, form := range traced(secret) {
			require.Empty(t, lines(all, form), "%q", secret)
		}
	}
	require.Positive(t, e.count(t, in.controlDB, `SELECT count(*) FROM authsync.deliveries WHERE attempt_log::text LIKE '%' || $1 || '%'`, hisName), "it was kept")
	begun, err := e.api.EraseUser(t.Context(), "shop", hisID)
	require.NoError(t, err)
	e.erased(t, begun.ID)
	in.requireNoTrace(t)
}
