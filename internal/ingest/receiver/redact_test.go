package receiver_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

func hmacSHA256(key, body []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	return mac.Sum(nil)
}

// The signature is that of the body as it came; the body is stored without what lets
// somebody act as the user, and otherwise byte by byte.
func TestLiveTokensAreNotStored(t *testing.T) {
	t.Parallel()
	const gone = `"[removed by authsync]"`
	for name, tc := range map[string]struct{ provider, body, stored string }{
		"BetterAuthSession": {
			"better_auth",
			`{ "event":"session.created",  "user":{"id":"s1","userId":"u1","token":"LIVE","expiresAt":"2026-02-01T00:00:00Z"}}`,
			`{ "event":"session.created",  "user":{"id":"s1","userId":"u1","token":` + gone + `,"expiresAt":"2026-02-01T00:00:00Z"}}`,
		},
		"BetterAuthAccount": {
			"better_auth",
			`{"type":"account.created","data":{"id":"a","accessToken":"LIVE","refreshToken":"LIVE","idToken":"LIVE","password":"LIVE","scope":"openid"}}`,
			`{"type":"account.created","data":{"id":"a","accessToken":` + gone + `,"refreshToken":` + gone + `,"idToken":` + gone + `,"password":` + gone + `,"scope":"openid"}}`,
		},
		"BetterAuthVerification": {
			"better_auth",
			`{"event":"verification.created","data":{"id":"v","identifier":"reset-password:LIVE","value":"LIVE"}}`,
			`{"event":"verification.created","data":{"id":"v","identifier":` + gone + `,"value":` + gone + `}}`,
		},
		"BetterAuthTwoFactor": {
			"better_auth",
			`{"type":"twoFactor.created","data":{"secret":"LIVE","backupCodes":"LIVE"}}`,
			`{"type":"twoFactor.created","data":{"secret":` + gone + `,"backupCodes":` + gone + `}}`,
		},
		"BetterAuthUserWithHiddenFields": {
			"better_auth",
			`{"event":"user.updated","user":{"id":"u1","email":"a@example.com","passwordHash":"LIVE","resetPasswordToken":"LIVE"}}`,
			`{"event":"user.updated","user":{"id":"u1","email":"a@example.com","passwordHash":` + gone + `,"resetPasswordToken":` + gone + `}}`,
		},
		"Auth0Identities": {
			"auth0",
			`{"type":"user.created","user":{"user_id":"g|1","identities":[{"access_token":"LIVE","refresh_token":"LIVE"}],"user_metadata":{"token":"own"}}}`,
			`{"type":"user.created","user":{"user_id":"g|1","identities":[{"access_token":` + gone + `,"refresh_token":` + gone + `}],"user_metadata":{"token":"own"}}}`,
		},
		"Auth0Action": {
			"auth0",
			`{"type":"user.created","user":{"user_id":"g|1"},"secrets":{"CRM_KEY":"LIVE"}}`,
			`{"type":"user.created","user":{"user_id":"g|1"},"secrets":` + gone + `}`,
		},
		"Auth0LogLines": {
			"auth0",
			`{"log_id":"1","data":{"type":"ss","details":{"body":{"password":"LIVE"}}}}` + "\n" + `{"log_id":"2","data":{"type":"f"}}`,
			`{"log_id":"1","data":{"type":"ss","details":{"body":{"password":` + gone + `}}}}` + "\n" + `{"log_id":"2","data":{"type":"f"}}`,
		},
		"ClerkMessage": {
			"clerk",
			`{"type":"sms.created","data":{"message":"LIVE is your code","data":{"otp_code":"LIVE"},"to_phone_number":"+1"}}`,
			`{"type":"sms.created","data":{"message":` + gone + `,"data":{"otp_code":` + gone + `},"to_phone_number":"+1"}}`,
		},
		"ClerkInvitation": {
			"clerk",
			`{"type":"organizationInvitation.created","data":{"id":"i","url":"https://x.example.com/?__clerk_ticket=LIVE"}}`,
			`{"type":"organizationInvitation.created","data":{"id":"i","url":` + gone + `}}`,
		},
		"ClerkUser": {
			"clerk",
			`{"type":"user.created","data":{"id":"u","password_enabled":true,"private_metadata":{"token":"own"},"external_accounts":[{"verification":{"error":{"code":"c","message":"m"}}}]}}`,
			`{"type":"user.created","data":{"id":"u","password_enabled":true,"private_metadata":{"token":"own"},"external_accounts":[{"verification":{"error":{"code":"c","message":"m"}}}]}}`,
		},
		"GenuineButCutOff": {
			"better_auth", `{"event":"session.created","user":{"token":"LIVE`, `{"event":"session.created","user":{"token":` + gone,
		},
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
			require.NotEqual(t, http.StatusUnauthorized, got.status, got.detail)
			require.Equal(t, []string{tc.stored}, b.bodies(t))
			require.NotContains(t, b.log.String(), "LIVE")
		})
	}
}

// The signature is that of the body as it came. An excluded field is not in the stored body, whatever form it comes in, and the
// row says which were left out.
func TestExcludedFieldsAreNotStored(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ body, stored, excluded string }{
		"Event": {
			`{ "type":"user.updated","data":{"object":{"user_id":"g|1","last_ip":"HIDDEN", "user_metadata":{"ssn":"HIDDEN","plan":1.50}},"previous_object":{"last_ip":"HIDDEN"}}}`,
			`{ "type":"user.updated","data":{"object":{"user_id":"g|1", "user_metadata":{"plan":1.50}},"previous_object":{}}}`,
			`["last_ip", "user_metadata.ssn"]`,
		},
		"Batch": {
			`[{"type":"user.created","user":{"user_id":"g|1","last_ip":"HIDDEN"}},{"type":"user.created","user":{"user_id":"g|2","ssn":"kept"}}]`,
			`[{"type":"user.created","user":{"user_id":"g|1"}},{"type":"user.created","user":{"user_id":"g|2","ssn":"kept"}}]`,
			`["last_ip"]`,
		},
		"LogLines": {
			`{"log_id":"1","data":{"type":"sapi","details":{"response":{"body":{"last_ip":"HIDDEN"}}}}}` + "\n" + `{"log_id":"2","data":{"type":"f"}}`,
			`{"log_id":"1","data":{"type":"sapi","details":{"response":{"body":{}}}}}` + "\n" + `{"log_id":"2","data":{"type":"f"}}`,
			`["last_ip"]`,
		},
		"GenuineButCutOff": {`{"type":"user.created","user":{"last_ip":"HIDDEN`, `{"type":"user.created","user":{"last_ip":null`, `["last_ip"]`},
		"Nothing":          {`{"type":"user.created","user":{"user_id":"g|1"}}`, `{"type":"user.created","user":{"user_id":"g|1"}}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, pgtest.Control(t))
			e := endpoint(t, b.project, "auth0", provider.Credentials{WebhookSigningSecret: provider.Secrets{token}})
			e.Options.Exclude = []string{"last_ip", "user_metadata.ssn"}
			var err error
			e.Verifier, err = e.Provider.NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{token}}, e.Options)
			require.NoError(t, err)
			b.add(e)
			got := send(t, b.auth0(t, strings.NewReader(tc.body)))
			require.NotEqual(t, http.StatusUnauthorized, got.status, got.detail)
			require.Equal(t, []string{tc.stored}, b.bodies(t))
			var excluded string
			require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT coalesce(excluded::text, '') FROM authsync.inbox`).Scan(&excluded))
			require.Equal(t, tc.excluded, excluded)
			require.NotContains(t, b.log.String(), "HIDDEN")
		})
	}
}
