package custom_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// Requests that openssl signed as the providers' documentation says: Kinde's and FusionAuth's with an RSA key that was made for
// this test, Keycloak's extension with a shared secret. WorkOS's own library (@workos-inc/node 12.3.0, computeSignature) signed its.
func TestPresetsVerifyWhatAnotherProgramSigned(t *testing.T) {
	t.Parallel()
	const kid = "_H07"
	keys := keySetOf(t, `{"kty":"RSA","kid":"`+kid+`","alg":"RS256","use":"sig","e":"AQAB","n":"`+
		"xe5z3jzHruh_GlryO-mVXMNiCULITWKRJV2IWy_wzLSkQUnh2zMvbNWjebOq3yFKuwZXdgmc8f7ALiWhGWiAh0qzLCL7fDxaL_nMGMpwdOA4ub"+
		"txlhX732KgRTum33yDmndDm_WEZPc9eYS4g_5KuS49oJEZRpnMjQLgQlYEYbAxE1HOECH5aq0WLf-rK4Xd-s8rp30QD2Y6JQyfMXrzRcvH0_2v"+
		"4HNIw__wrbyEUHUDuDVRt9gIT2_cGffD6s9E4xto4flZ7MyLaJNyxMOi_Cx2BpQiOqXfLLWtVGHameNOojEab7hcLOs7biVY4YoU7rg8-FLVFM"+
		"x1ufblNOT9Hw"+`"}`)
	const kinde = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Il9IMDcifQ.eyJ0eXBlIjoidXNlci5jcmVhdGVkIiwiZXZlbnRfaWQiOiJldmVudF8" +
		"xIiwiZXZlbnRfdGltZXN0YW1wIjoiMjAyNi0wMi0wM1QxMjowMDowMC4wMDBaIiwiZGF0YSI6eyJ1c2VyIjp7ImlkIjoia3BfMSJ9fX0.n4LwT" +
		"_60zKhLGwNXM2KM3gTbBamcZFLdz7RdsTAdQO6knZ1xul6XDzLDkXBDJQLE8rF81B3rcaVMO1KowQs0SJKZRoSEvo2lDvBzmHm0KQX83iQ1gYq" +
		"AK9-twydJChDXANC0znuVCMpM9Vx0hMSUZFiVKqtL8_1ApLIecmhv5EAYiNslP2iQXaw6BtBFRCWBnx65Sh4CQb1aA05YNeShagLDF7nG3qqUT" +
		"1DgvjwYqd-gjut_zj02DxBhxOH5PwnXhG1P-M928NTHlt-0kYWQasfXVWzdOmhienPwB22jYw2eIA74nQFLacLQjl04BYjyKh12HQ8FBig7wp2" +
		"KSQ3v8Q"
	const fusionAuth = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6Il9IMDcifQ.eyJyZXF1ZXN0X2JvZHlfc2hhMjU2Ijoic1BkeUxHaVZpTnVrTGNnUUs" +
		"5cnE0M0NvbDJXOFJ0a3hsZnhxSHRLR2JIaz0ifQ.rM_5hZSnSgx9ukZAS-WireKsLP0DugpMV0PC8XPFYPPqTiJBGuJkYWb9RjZyGdUBlbGbRv" +
		"btYBTkYtloLMDPHv9RYpfPl6QF9wn9Vno6J2fq-8IohmRZZBvLXb8GBgZdNDXlusO9xfd88lfnhRfxodwusnXiFP3APin5ExfhHO4inSN0Be1N" +
		"SssMZkYe83y2pjy-9Z77nlwc5LXSNXehv6AiLKJOVu6XQbx9ucVIYuVE59XkBFJ5GkGtM8V_VFcOSbOBLU7SLHQlgWOjeTxLdivqpkB7izrSZ7" +
		"Ycu6ff_1D8W7JU66iUFmsczewUNs30bOHA7cbCGuKIMPytoAOBrQ"
	for name, tc := range map[string]struct {
		preset, body string
		options      provider.Options
		secret       provider.Secret
		header       http.Header
		keys         provider.PublicKeys
		typ          string
	}{
		"Kinde": {
			preset: "kinde", body: kinde, options: provider.Options{BaseURL: "https://acme.kinde.com"}, keys: keys, typ: "user.created",
			header: header("Content-Type", "application/jwt", "Webhook-Id", "whr_1"),
		},
		"FusionAuth": {
			preset: "fusionauth", options: provider.Options{BaseURL: "https://auth.example.com"}, keys: keys, typ: "user.update.complete",
			body:   `{"event":{"type":"user.update.complete","id":"e1","createInstant":1777890001250,"user":{"id":"u1"}}}`,
			header: header("X-FusionAuth-Signature-JWT", fusionAuth),
		},
		"Keycloak": {
			preset: "keycloak", secret: "keycloak-shared-secret", typ: "access.REGISTER",
			body:   `{"type":"access.REGISTER","id":"e1","time":1777890001250,"authDetails":{"userId":"u1"},"details":{"email":"ada@example.com"}}`,
			header: header("X-Keycloak-Signature", "54a52309e8c603e8116b53887f7ab1c96807b26eca50a3851a2eb54c08330f30"),
		},
		"WorkOS": {
			preset: "workos", secret: "workos-shared-secret-of-a-test", typ: "user.created",
			body: `{"id":"event_01","event":"user.created","data":{"object":"user","id":"user_01","email":"ada@example.com",` +
				`"updated_at":"2026-05-04T10:20:30.000Z"},"created_at":"2026-05-04T10:20:30.500Z"}`,
			header: header("WorkOS-Signature", "t=1777890031000, v1=9fa2a16003e91afaf9e5d72cd038865ca4d4502be38fefbf978144d113c7204d"),
		},
		"PropelAuth": { // the third example of Svix
			preset: "propelauth", secret: "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
			body: `{"email":"test@example.com","username":"test_user"}`,
			header: header("svix-id", "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk", "svix-timestamp", "1649367553",
				"svix-signature", "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw="),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := custom.New(tc.preset)
			var c provider.Credentials
			if tc.secret != "" {
				c.WebhookSigningSecret = provider.Secrets{tc.secret}
			}
			v, err := p.NewVerifier(c, tc.options)
			require.NoError(t, err)
			if tc.keys != nil {
				user, uses := v.(provider.KeySetUser)
				require.True(t, uses)
				v = user.WithKeys(tc.keys)
			}
			at := providertest.ReceivedAt()
			if name == "PropelAuth" {
				at = time.Unix(1649367553, 0)
			}
			_, err = v.Verify(tc.header, []byte(tc.body), at)
			require.NoError(t, err)
			stored, _ := v.Redact([]byte(tc.body))
			events, err := p.DecodeContext(t.Context(), provider.Message{MessageID: "msg_1", ReceivedAt: at, Body: stored}, tc.options)
			require.NoError(t, err)
			require.Equal(t, tc.typ, events[0].Type)

			changed := strings.Replace(tc.body, "u", "v", 1)
			if tc.preset == "kinde" {
				changed = tc.body[:len(tc.body)/2] + "A" + tc.body[len(tc.body)/2+1:]
			}
			_, err = v.Verify(tc.header, []byte(changed), at)
			require.Error(t, err)
		})
	}
}

// What a preset makes of a history has clocks and ids by which the mirror finds the order, and is the same each time.
func TestHistoriesOfPresetsAreOrdered(t *testing.T) {
	t.Parallel()
	for name, types := range map[string][3]string{
		"workos":     {"user.created", "user.updated", "user.deleted"},
		"logto":      {"User.Created", "User.Data.Updated", "User.Deleted"},
		"kinde":      {"user.created", "user.updated", "user.deleted"},
		"stytch":     {"user.CREATE", "user.UPDATE", "user.DELETE"},
		"stack_auth": {"user.created", "user.updated", "user.deleted"},
		"propelauth": {"user.created", "user.updated", "user.deleted"},
		"supabase":   {"auth.users.INSERT", "auth.users.UPDATE", "auth.users.DELETE"},
		"keycloak":   {"admin.USER-CREATE", "admin.USER-UPDATE", "admin.USER-DELETE"},
		"fusionauth": {"user.create.complete", "user.update.complete", "user.delete.complete"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := custom.New(name)
			var clocks []time.Time
			ids := map[string]bool{}
			for i, typ := range types {
				at := providertest.ReceivedAt().Add(time.Duration(i) * time.Second)
				sample := provider.Sample{Type: typ, ID: "event-" + typ, UserID: "user-1", At: at}
				body, err := custom.SampleBody(p, sample, provider.Options{}, at)
				require.NoError(t, err)
				m := provider.Message{MessageID: "msg-" + typ, ReceivedAt: at, Body: body}
				events, err := p.DecodeContext(t.Context(), m, provider.Options{})
				require.NoError(t, err)
				again, err := p.DecodeContext(t.Context(), m, provider.Options{})
				require.NoError(t, err)
				require.Equal(t, events, again, "a replay is the same")
				require.Len(t, events, 1)
				e := events[0]
				require.Equal(t, provider.Apply, e.Verdict, e.Reason)
				require.Equal(t, "user-1", e.UserID)
				require.False(t, ids[e.ID], "events have ids of their own")
				ids[e.ID] = true
				clock := e.At
				if i == 2 {
					clock = e.DeletedClock
				}
				clocks = append(clocks, clock)
			}
			require.True(t, clocks[0].Before(clocks[1]) && clocks[1].Before(clocks[2]), "%v", clocks)
		})
	}
	require.Len(t, provider.Presets(), 9)
}

// A mistake in an expression of a preset, changed by whoever took it for a start, is named with its line.
func TestAMistakeInAPresetNamesItsLine(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("presets/*.yaml")
	require.NoError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		lines := strings.Split(string(text), "\n")
		at := 0
		for i, line := range lines {
			if strings.HasPrefix(line, "    id: ") {
				lines[i], at = line+" | {", i+1
				break
			}
		}
		require.NotZero(t, at, file)
		_, err = custom.ReadFile(filepath.Base(file), []byte(strings.Join(lines, "\n")))
		require.ErrorContains(t, err, filepath.Base(file)+":"+strconv.Itoa(at)+":")
	}
}
