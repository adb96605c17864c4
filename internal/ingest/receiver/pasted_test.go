package receiver_test

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func TestPastedURLWorks(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	id := b.project.String()
	for name, path := range map[string]string{
		"AsGiven":             "/api/capydb/v1/integrations/better-auth/webhook/" + id,
		"Underscore":          "/api/capydb/v1/integrations/better_auth/webhook/" + id,
		"TrailingSlash":       "/api/capydb/v1/integrations/better-auth/webhook/" + id + "/",
		"TrailingSlashes":     "/api/capydb/v1/integrations/better-auth/webhook/" + id + "///",
		"DoubleSlashAtFirst":  "//api/capydb/v1/integrations/better-auth/webhook/" + id,
		"DoubleSlashes":       "/api//capydb/v1//integrations/better-auth//webhook//" + id,
		"UpperCaseProvider":   "/api/capydb/v1/integrations/BETTER-AUTH/webhook/" + id,
		"MixedCase":           "/api/capydb/v1/Integrations/Better_Auth/WebHook/" + strings.ToUpper(id),
		"SpaceAtTheEnd":       "/api/capydb/v1/integrations/better-auth/webhook/" + id + "%20",
		"ZeroWidthAtTheEnd":   "/api/capydb/v1/integrations/better-auth/webhook/" + id + "%E2%80%8B",
		"LineBreakAtTheEnd":   "/api/capydb/v1/integrations/better-auth/webhook/" + id + "%0A",
		"NoBreakSpace":        "/api/capydb/v1/integrations/better-auth/webhook/" + id + "%C2%A0",
		"EncodedSlash":        "/api/capydb/v1/integrations%2Fbetter-auth/webhook/" + id,
		"EncodedDash":         "/api/capydb/v1/integrations/better%2Dauth/webhook/" + id,
		"Query":               "/api/capydb/v1/integrations/better-auth/webhook/" + id + "?utm_source=docs",
		"SlashBeforeTheQuery": "/api/capydb/v1/integrations/better-auth/webhook/" + id + "/?x=1",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			header, body := signed(t, "better_auth", token, `{"event":"user.created","user":{"id":"u1"}}`)
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(body))
			require.NoError(t, err)
			r.Header = header
			require.Equal(t, http.StatusNoContent, send(t, r).status)
		})
	}
	for name, path := range map[string]string{
		"TooShort":  "/api/capydb/v1/integrations/better-auth/webhook/",
		"TooLong":   "/api/capydb/v1/integrations/better-auth/webhook/" + id + "/more",
		"OtherWord": "/api/capydb/v1/integrations/better-auth/webhooks/" + id,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.url+path, strings.NewReader(`{}`))
			require.NoError(t, err)
			response, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer response.Body.Close()
			require.Equal(t, http.StatusNotFound, response.StatusCode)
		})
	}
}

// signed signs a body by Standard Webhooks.
func signed(t *testing.T, providerName, secret, body string) (http.Header, string) {
	t.Helper()
	set, key := standardwebhooks.Standard, []byte(secret)
	if providerName == "clerk" {
		set = standardwebhooks.Svix
		var err error
		key, err = standardwebhooks.ParseSecret(secret)
		require.NoError(t, err)
	}
	header, err := standardwebhooks.Sign(key, set, "msg_"+uuid.NewString(), time.Now(), []byte(body))
	require.NoError(t, err)
	return header, body
}

// A byte order mark is signed with the rest, stored with it, and no part of the JSON.
func TestByteOrderMarkBeforeJSONIsAccepted(t *testing.T) {
	t.Parallel()
	const bom = "\ufeff"
	for name, tc := range map[string]struct{ provider, body string }{
		"Auth0":      {"auth0", bom + `{"type":"user.created","user":{"user_id":"auth0|1"}}`},
		"Auth0Array": {"auth0", bom + `[{"type":"user.created","user":{"user_id":"auth0|1"}}]`},
		"Auth0Lines": {"auth0", bom + `{"log_id":"1","data":{"type":"sdu","user_id":"auth0|1","date":"2026-01-01T00:00:00Z"}}` + "\n" + `{"log_id":"2","data":{"type":"sdu","user_id":"auth0|2"}}`},
		"Clerk":      {"clerk", bom + `{"type":"user.created","data":{"id":"user_1"}}`},
		"BetterAuth": {"better_auth", bom + `{"event":"user.created","user":{"id":"u1"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, pgtest.Control(t))
			r := b.auth0(t, strings.NewReader(tc.body))
			if tc.provider != "auth0" {
				r.URL, _ = url.Parse(b.path(tc.provider))
				secret := map[string]string{"clerk": clerkSecret, "better_auth": token}[tc.provider]
				r.Header, _ = signed(t, tc.provider, secret, tc.body)
			}
			got := send(t, r)
			require.Equal(t, http.StatusNoContent, got.status, got.detail)
			require.Equal(t, []string{tc.body}, b.bodies(t))
			kind, err := registry.Lookup(tc.provider)
			require.NoError(t, err)
			for _, e := range kind.Decode(provider.Message{Body: []byte(tc.body), MessageID: "m", ReceivedAt: time.Now()}, provider.Options{}) {
				require.Equal(t, provider.Apply, e.Verdict, e.Reason)
			}
		})
	}
}

// bodies are those that are stored.
func (b *bundle) bodies(t *testing.T) []string {
	t.Helper()
	rows, err := b.pool.Query(t.Context(), `SELECT convert_from(body, 'UTF8') FROM authsync.inbox ORDER BY id`)
	require.NoError(t, err)
	var all []string
	for rows.Next() { //nolint:forbidigo // one column
		var body string
		require.NoError(t, rows.Scan(&body))
		all = append(all, body)
	}
	require.NoError(t, rows.Err())
	return all
}

// An old request does not become acceptable by a weaker signature beside the one that
// says how old it is, or by one that is left when the stronger is taken away.
func TestWeakerSignatureDoesNotSaveARequest(t *testing.T) {
	t.Parallel()
	b := setup(t, pgtest.Control(t))
	const body = `{"event":"user.deleted","user":{"id":"u1"}}`
	key := []byte(token)
	simple := hex.EncodeToString(hmacSHA256(key, []byte(body)))
	at := func(age time.Duration) http.Header {
		header, err := standardwebhooks.Sign(key, standardwebhooks.Standard, "msg_1", time.Now().Add(-age), []byte(body))
		require.NoError(t, err)
		header.Set("X-Better-Auth-Signature", simple)
		return header
	}
	optedIn := uuid.New()
	kind, err := registry.Lookup("better_auth")
	require.NoError(t, err)
	e := endpoint(t, optedIn, "better_auth", provider.Credentials{WebhookSigningSecret: provider.Secrets{token}})
	e.Verifier, err = kind.NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{token}},
		provider.Options{SignatureFormats: []string{"standard_webhooks", "better_auth_signature"}})
	require.NoError(t, err)
	b.add(e)
	without := func(h http.Header, names ...string) http.Header {
		for _, name := range names {
			h.Del(name)
		}
		return h
	}
	for name, tc := range map[string]struct {
		project uuid.UUID
		header  http.Header
		status  int
		result  string
	}{
		"Fresh":                   {b.project, at(0), http.StatusNoContent, "accepted"},
		"TooOld":                  {b.project, at(10 * time.Minute), http.StatusUnauthorized, "timestamp_too_old"},
		"TooOldOptedIn":           {optedIn, at(10 * time.Minute), http.StatusUnauthorized, "timestamp_too_old"},
		"SignatureTakenAway":      {optedIn, without(at(10*time.Minute), "Webhook-Signature"), http.StatusUnauthorized, "signature_missing"},
		"OnlyTheIDLeft":           {optedIn, without(at(10*time.Minute), "Webhook-Signature", "Webhook-Timestamp"), http.StatusUnauthorized, "signature_missing"},
		"SimpleAloneIsNotTaken":   {b.project, without(at(0), "Webhook-Signature", "Webhook-Timestamp", "Webhook-Id"), http.StatusUnauthorized, "signature_format_not_accepted"},
		"SimpleAloneWhereOptedIn": {optedIn, without(at(0), "Webhook-Signature", "Webhook-Timestamp", "Webhook-Id"), http.StatusNoContent, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := b.auth0(t, strings.NewReader(body))
			r.URL, _ = url.Parse(strings.Replace(b.path("better-auth"), b.project.String(), tc.project.String(), 1))
			r.Header = tc.header
			got := send(t, r)
			require.Equal(t, tc.status, got.status, got.detail)
			require.Positive(t, b.count(t, "better_auth", tc.result))
			if tc.result == "signature_format_not_accepted" {
				require.Contains(t, got.detail, "could be sent again")
				require.Contains(t, got.detail, "options.signature_formats")
			}
		})
	}
}
