package admin_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/delivery"
	"github.com/authsync/authsync/internal/delivery/admin"
	"github.com/authsync/authsync/internal/destination"
	"github.com/authsync/authsync/internal/destination/webhook"
	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/testkit/deliverytest"
)

// guardedHook is hook with the client that destinations have in a server.
type guardedHook struct{ deliverytest.Hook }

func (h guardedHook) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	_, secret, _ := h.NewSecret()
	c.Options = []byte(`{"url": "` + h.URL + `"}`)
	c.Secrets.Values = map[string]string{webhook.SigningSecret: secret}
	d.Client = egress.New(egress.Config{}).Client(0)
	return h.Type.New(c, d)
}

func TestATestEventIsSentAndLeavesNoTrace(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	type event struct {
		Type string `json:"type"`
		Data struct {
			Test bool            `json:"test"`
			User json.RawMessage `json:"user"`
		} `json:"data"`
	}
	headers, bodies := make(chan http.Header, 2), make(chan event, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body event
		if json.NewDecoder(r.Body).Decode(&body) != nil {
			w.WriteHeader(http.StatusBadRequest)
		}
		headers <- r.Header.Clone()
		bodies <- body
		_, _ = w.Write([]byte("thanks"))
	}))
	t.Cleanup(server.Close)
	condition := "nobody" // filters do not apply
	id := b.AddWith(t, "hook", deliverytest.Hook{URL: server.URL}, &condition, admin.From{})
	require.NoError(t, b.Admin.Pause(t.Context(), id, "user", delivery.StatePaused, "for the test"))
	const state = `
		SELECT concat_ws(' ', d.state, d.state_reason, f.*, (SELECT count(*) FROM authsync.deliveries))
		FROM authsync.destinations AS d
		JOIN authsync.destination_progress AS f ON f.destination_id = d.id`
	before := b.One(t, state)

	r, err := b.Admin.Test(t.Context(), b.ProjectID, id, destination.UserUpdated)
	require.NoError(t, err)
	require.True(t, r.Delivered, r.Reason)
	require.Equal(t, http.StatusOK, *r.Status)
	require.Equal(t, "thanks", r.Response)
	require.Len(t, r.Requests, 1)
	require.Equal(t, server.URL, r.Requests[0].URL)
	require.Equal(t, destination.Masked, r.Requests[0].Header.Get("Webhook-Signature"))
	header, body := <-headers, <-bodies
	require.Equal(t, header.Get("Webhook-Timestamp"), r.Requests[0].Header.Get("Webhook-Timestamp"), "what is shown is what was sent")
	require.JSONEq(t, string(body.Data.User), userOf(t, r.Requests[0].Body))
	require.Empty(t, r.Requests[0].Note)
	require.Equal(t, "true", header.Get(destination.TestHeader))
	require.Equal(t, r.MessageID, header.Get("Webhook-Id"))
	require.Contains(t, r.MessageID, "_test_")
	require.Equal(t, destination.UserUpdated, body.Type)
	require.True(t, body.Data.Test)
	require.Contains(t, string(body.Data.User), destination.TestUserID)
	require.Equal(t, before, b.One(t, state))

	again, err := b.Admin.Test(t.Context(), b.ProjectID, id, destination.UserDeleted)
	require.NoError(t, err)
	require.NotEqual(t, r.MessageID, again.MessageID)
	require.Equal(t, destination.UserDeleted, (<-bodies).Type)
}

// userOf is the user in the body of a webhook.
func userOf(t *testing.T, body json.RawMessage) string {
	t.Helper()
	var message struct {
		Data struct {
			User json.RawMessage `json:"user"`
		} `json:"data"`
	}
	require.NoError(t, json.Unmarshal(body, &message))
	return string(message.Data.User)
}

// A body that is too long to be kept is shown as far as it goes.
func TestALongTestRequestIsCut(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	id := b.AddType(t, "long", longHook{deliverytest.Hook{URL: server.URL}}, admin.From{})
	r, err := b.Admin.Test(t.Context(), b.ProjectID, id, destination.UserUpdated)
	require.NoError(t, err)
	require.True(t, r.Delivered, r.Reason)
	require.Len(t, r.Requests, 1)
	require.Equal(t, "the body is cut: it had 9002 bytes", r.Requests[0].Note)
	var text string
	require.NoError(t, json.Unmarshal(r.Requests[0].Body, &text))
	require.Contains(t, text, `"xxx`)
	require.Less(t, len(text), 9002)
}

// longHook sends a long text.
type longHook struct{ deliverytest.Hook }

func (h longHook) New(c destination.Config, d destination.Deps) (destination.Destination, error) {
	_, secret, _ := h.NewSecret()
	c.Options = []byte(`{"url": "` + h.URL + `", "payload": "\"` + strings.Repeat("x", 9000) + `\""}`)
	c.Secrets.Values = map[string]string{webhook.SigningSecret: secret}
	d.Client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return h.Type.New(c, d)
}

func TestATestEventTellsWhyItFails(t *testing.T) {
	t.Parallel()
	b := deliverytest.New(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(refuses.Close)
	hangs := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(hangs.Close)
	const unsent = "not sent: there was no connection"
	for name, c := range map[string]struct { //nolint:paralleltest // the cases share a bundle, and its types
		to     destination.Type
		status int
		reason string
		note   string
	}{
		"WrongURL":       {deliverytest.Hook{URL: gone.URL}, 0, "no answer", unsent},
		"Unauthorized":   {deliverytest.Hook{URL: refuses.URL}, 401, "it answered 401 Unauthorized", ""},
		"Timeout":        {deliverytest.Hook{Type: webhook.Type{AttemptTime: 2 * time.Second}, URL: hangs.URL}, 0, "there was none within 2s", ""},
		"PrivateAddress": {guardedHook{deliverytest.Hook{URL: refuses.URL}}, 0, "nothing may be sent to this URL", unsent},
	} {
		t.Run(name, func(t *testing.T) {
			id := b.AddType(t, strings.ToLower(name), c.to, admin.From{})
			r, err := b.Admin.Test(t.Context(), b.ProjectID, id, destination.UserUpdated)
			require.NoError(t, err)
			require.False(t, r.Delivered)
			require.Contains(t, r.Reason, c.reason)
			require.Len(t, r.Requests, 1)
			require.Equal(t, c.note, r.Requests[0].Note)
			if c.status == 0 {
				require.Nil(t, r.Status)
				return
			}
			require.Equal(t, c.status, *r.Status)
		})
	}
	t.Run("TypeThatTakesNone", func(t *testing.T) {
		s := &deliverytest.Sink{Can: destination.Capabilities{NoTest: "use preview"}}
		id := b.AddType(t, "sink", s, admin.From{})
		_, err := b.Admin.Test(t.Context(), b.ProjectID, id, destination.UserUpdated)
		require.True(t, fault.Is(err, fault.Invalid), err)
		require.ErrorContains(t, err, "use preview")
		require.Zero(t, s.Tried())
	})
}
