package custom_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// definition is one with a signature, as JSON, that maps no more than it must.
func definition(t *testing.T, signature map[string]any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(map[string]any{
		"signature": signature,
		"types":     map[string]string{"user.created": "user.created", "user.deleted": "user.deleted"},
		"records":   map[string]any{"user": map[string]string{"object": ".data", "id": ".id", "email": ".email"}},
	})
	require.NoError(t, err)
	return text
}

func verifier(t *testing.T, signature map[string]any, secrets ...provider.Secret) provider.Verifier {
	t.Helper()
	v, err := custom.New("custom:acme").NewVerifier(
		provider.Credentials{WebhookSigningSecret: secrets}, provider.Options{Definition: definition(t, signature)})
	require.NoError(t, err)
	return v
}

func header(pairs ...string) http.Header {
	h := http.Header{}
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

// The examples of Standard Webhooks, Svix and GitHub, which others publish.
func TestPublishedExamplesVerify(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		signature map[string]any
		secret    provider.Secret
		header    http.Header
		at        int64
		body      string
		id        string
	}{
		"StandardWebhooks": {
			map[string]any{"scheme": "standard_webhooks"},
			"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
			header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp", "1614265330", "webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
			1614265330, `{"test": 2432232314}`, "msg_p5jXN8AQM9LWM0D4loKWxJek",
		},
		"Svix": {
			map[string]any{"scheme": "svix"},
			"whsec_plJ3nmyCDGBKInavdOK15jsl",
			header("svix-id", "msg_loFOjxBNrRLzqYUf", "svix-timestamp", "1731705121", "svix-signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
			1731705121, `{"event_type":"ping","data":{"success":true}}`, "msg_loFOjxBNrRLzqYUf",
		},
		"GitHub": {
			map[string]any{"scheme": "hmac", "header": "x-hub-signature-256", "prefix": "sha256="},
			"It's a Secret to Everybody",
			header("X-Hub-Signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"), 0, "Hello, World!", "",
		},
		"SvixWrittenOut": { // the same example by the parts of hmac
			map[string]any{
				"scheme": "hmac", "header": "svix-signature", "prefix": "v1,", "encoding": "base64", "secret_encoding": "base64",
				"signed": "{id}.{time}.{body}", "id_header": "svix-id", "time_header": "svix-timestamp",
			},
			"plJ3nmyCDGBKInavdOK15jsl",
			header("svix-id", "msg_loFOjxBNrRLzqYUf", "svix-timestamp", "1731705121", "svix-signature", "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="),
			1731705121, `{"event_type":"ping","data":{"success":true}}`, "msg_loFOjxBNrRLzqYUf",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := verifier(t, tc.signature, "C2FVsBQIhrscChlQIMV+b5sSYspob7oD", tc.secret)
			proof, err := v.Verify(tc.header, []byte(tc.body), time.Unix(tc.at, 0))
			require.NoError(t, err)
			require.Equal(t, tc.signature["scheme"], proof.Method)
			require.Equal(t, provider.Proof{MessageID: tc.id, Secret: "2", Method: proof.Method}, proof)
			_, err = v.Verify(tc.header, []byte(tc.body+" "), time.Unix(tc.at, 0))
			require.ErrorIs(t, err, provider.ErrNoMatch)
			if tc.at > 0 {
				_, err = v.Verify(tc.header, []byte(tc.body), time.Unix(tc.at+301, 0))
				require.ErrorIs(t, err, provider.ErrTooOld)
				_, err = v.Verify(tc.header, []byte(tc.body), time.Unix(tc.at-301, 0))
				require.ErrorIs(t, err, provider.ErrTooNew)
			}
		})
	}
}

const someSecret = "a-secret-of-acme-that-is-long-enough"

const someBody = `{"type":"user.created","data":{"id":"u1"}}`

func sum(content string) []byte {
	mac := hmac.New(sha512.New, []byte(someSecret))
	mac.Write([]byte(content))
	return mac.Sum(nil)
}

func TestHMACInItsOtherForms(t *testing.T) {
	t.Parallel()
	now := providertest.ReceivedAt()
	millis := strconv.FormatInt(now.UnixMilli(), 10)
	mac := hmac.New(sha1.New, []byte(someSecret))
	mac.Write([]byte(someBody))
	for name, tc := range map[string]struct {
		signature map[string]any
		header    http.Header
	}{
		"SHA1": {map[string]any{"scheme": "hmac", "header": "X-Sig", "algorithm": "sha1"}, header("X-Sig", hex.EncodeToString(mac.Sum(nil)))},
		"UpperCase": {
			map[string]any{"scheme": "hmac", "header": "X-Sig", "algorithm": "sha512"},
			header("X-Sig", strings.ToUpper(hex.EncodeToString(sum(someBody)))),
		},
		"Base64": {
			map[string]any{"scheme": "hmac", "header": "X-Sig", "algorithm": "sha512", "encoding": "base64"},
			header("X-Sig", " "+base64.StdEncoding.EncodeToString(sum(someBody))),
		},
		"Base64URL": {
			map[string]any{"scheme": "hmac", "header": "X-Sig", "algorithm": "sha512", "encoding": "base64url"},
			header("X-Sig", base64.RawURLEncoding.EncodeToString(sum(someBody))),
		},
		"BodyBeforeTime": {
			map[string]any{
				"scheme": "hmac", "header": "X-Sig", "algorithm": "sha512", "signed": "v0:{body}:{time}", "time_header": "x-time", "time_unit": "milliseconds",
			},
			header("X-Sig", hex.EncodeToString(sum("v0:"+someBody+":"+millis)), "X-Time", millis),
		},
		"Timestamped": {
			map[string]any{"scheme": "timestamped_hmac", "header": "X-Sig", "algorithm": "sha512", "time_unit": "milliseconds"},
			header("X-Sig", "t="+millis+",v0=00, v1="+strings.Repeat("0", 128)+",v1="+hex.EncodeToString(sum(millis+"."+someBody))),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := verifier(t, tc.signature, someSecret)
			_, err := v.Verify(tc.header, []byte(someBody), now)
			require.NoError(t, err)
			_, err = v.Verify(tc.header, []byte(`{}`), now)
			require.ErrorIs(t, err, provider.ErrNoMatch)
		})
	}
}

// A header that is not in the definition's form is refused, and none of them makes the verifier fall back to another.
func TestOddHeadersAreRefused(t *testing.T) {
	t.Parallel()
	now := providertest.ReceivedAt()
	seconds := strconv.FormatInt(now.Unix(), 10)
	v := verifier(t, map[string]any{"scheme": "timestamped_hmac", "header": "X-Sig", "algorithm": "sha512"}, someSecret)
	good := hex.EncodeToString(sum(seconds + "." + someBody))
	_, err := v.Verify(header("X-Sig", "t="+seconds+",v1="+good), []byte(someBody), now)
	require.NoError(t, err)
	for _, text := range []string{
		"v1=" + good, "t=" + seconds, "t=" + seconds + ",v1=", "t=" + seconds + ",v1=" + good[:16], "t=,v1=" + good, "t=0" + seconds + ",v1=" + good,
		"t=+" + seconds + ",v1=" + good, "t=" + seconds + ".5,v1=" + good, "t=-1,v1=" + good, "t=1,t=" + seconds + ",v1=" + good,
		"t=99999999999999999999,v1=" + good, "t=" + seconds + strings.Repeat(",v1="+good[:8], 100), strings.Repeat("t=1,", 5000), "=", ",", "t",
	} {
		_, err := v.Verify(header("X-Sig", text), []byte(someBody), now)
		require.Error(t, err, "%.60s", text)
	}
	// Only the first of several headers of a name counts: a proxy before us may look at that one.
	h := header("X-Sig", "t="+seconds+",v1="+strings.Repeat("0", 128))
	h.Add("X-Sig", "t="+seconds+",v1="+good)
	_, err = v.Verify(h, []byte(someBody), now)
	require.ErrorIs(t, err, provider.ErrNoMatch)
}

// An id must not have a character that ends it in what is signed: part of it could be taken for the time.
func TestAnIDWithASeparatorIsRefused(t *testing.T) {
	t.Parallel()
	now := providertest.ReceivedAt()
	seconds := strconv.FormatInt(now.Unix(), 10)
	v := verifier(t, map[string]any{
		"scheme": "hmac", "header": "X-Sig", "algorithm": "sha512", "signed": "{id}.{time}.{body}", "id_header": "X-Id", "time_header": "X-Time",
	}, someSecret)
	for id, want := range map[string]error{"evt_1": nil, "evt.1": provider.ErrMalformed, "evt 1": provider.ErrMalformed, "": provider.ErrMissingSignature} {
		h := header("X-Sig", hex.EncodeToString(sum(id+"."+seconds+"."+someBody)), "X-Id", id, "X-Time", seconds)
		proof, err := v.Verify(h, []byte(someBody), now)
		require.ErrorIs(t, err, want, id)
		if want == nil {
			require.Equal(t, id, proof.MessageID)
		}
	}
}

func TestStaticSecrets(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		signature map[string]any
		secret    provider.Secret
		good, bad http.Header
	}{
		"Header": {
			map[string]any{"scheme": "header", "header": "X-Key", "prefix": "Key "},
			someSecret,
			header("X-Key", "Key "+someSecret), header("X-Key", someSecret),
		},
		"Bearer": {map[string]any{"scheme": "bearer"}, someSecret, header("Authorization", "bearer "+someSecret), header("Authorization", "Basic "+someSecret)},
		"Basic": {
			map[string]any{"scheme": "basic"},
			"ada:" + someSecret,
			header("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("ada:"+someSecret))),
			header("Authorization", "Basic ada:"+someSecret),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := verifier(t, tc.signature, "first:"+someSecret, tc.secret)
			proof, err := v.Verify(tc.good, nil, time.Time{})
			require.NoError(t, err)
			require.Equal(t, "2", proof.Secret)
			// The receiver stores no header that could be the secret.
			require.Equal(t, name == "Header", proof.Method == "custom_header")
			for _, bad := range []http.Header{tc.bad, header("Authorization", "Bearer x", "X-Key", "Key x"), header("Authorization", "Basic eDp5", "X-Key", "Key"), {}} {
				_, err := v.Verify(bad, nil, time.Time{})
				require.Error(t, err)
			}
		})
	}
}

// The receiver stores Content-Type with every message.
func TestASecretIsInNoHeaderThatIsStored(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{"content-type": true, "User-Agent": false} {
		_, err := custom.Parse(definition(t, map[string]any{"scheme": "header", "header": name}))
		require.Equal(t, refused, err != nil, name)
		_, err = custom.Parse(definition(t, map[string]any{"scheme": "hmac", "header": name}))
		require.NoError(t, err, "a signature is no secret")
	}
}

// The key of the signature is not that of the time, and can be one of a header.
func TestTheVersionIsNotTheTime(t *testing.T) {
	t.Parallel()
	for version, refused := range map[string]bool{"v1": false, "s": false, "t": true, "v=1": true, "v1,": true, " ": true} {
		_, err := custom.Parse(definition(t, map[string]any{"scheme": "timestamped_hmac", "header": "X-Sig", "version": version}))
		if refused {
			require.ErrorContains(t, err, "signature.version", version)
		} else {
			require.NoError(t, err, version)
		}
	}
}

// A stranger does not learn the prefix, which may be a part of the secret.
func TestThePrefixIsNotTold(t *testing.T) {
	t.Parallel()
	v := verifier(t, map[string]any{"scheme": "header", "header": "X-Token", "prefix": "tenant-7391:"}, someSecret)
	_, err := v.Verify(header("X-Token", "guess"), []byte(someBody), providertest.ReceivedAt())
	require.ErrorIs(t, err, provider.ErrMalformed)
	require.NotContains(t, err.Error(), "7391")
}
