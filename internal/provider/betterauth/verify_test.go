package betterauth_test

import (
	"encoding/base64"
	"maps"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/standardwebhooks"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// The check value of X-Better-Auth-Signature, computed once with another
// program: printf %s "$body" | openssl dgst -sha256 -hmac "$secret".
const (
	checkSecret    = "authsync-example-secret"
	checkBody      = `{"event":"user.updated","user":{"id":"u_42","email":"ada@example.com","name":"Ada Lovelace","updatedAt":"2026-03-04T05:06:07.089Z"}}`
	checkSignature = "b2cc76da0b4a41cd79e25095410580289c52e3eb3c3a535291f45e1a339602f7"
)

func verifier(t *testing.T, o provider.Options, secrets ...provider.Secret) provider.Verifier {
	t.Helper()
	v, err := betterauth.New().NewVerifier(provider.Credentials{WebhookSigningSecret: secrets}, o)
	require.NoError(t, err)
	return v
}

// simple are options that accept the format without time and id.
func simple() provider.Options {
	return provider.Options{SignatureFormats: []string{"better_auth_signature", "standard_webhooks", "webhook_signature"}}
}

func TestVerifySignature(t *testing.T) {
	t.Parallel()
	v := verifier(t, simple(), "another", checkSecret)
	for name, c := range map[string]struct {
		signature string
		want      error
	}{
		"LowerCase":   {checkSignature, nil},
		"UpperCase":   {"B2CC76DA0B4A41CD79E25095410580289C52E3EB3C3A535291F45E1A339602F7", nil},
		"SpaceAround": {" " + checkSignature + " ", nil},
		"OneDigitOff": {"c" + checkSignature[1:], provider.ErrNoMatch},
		"TooShort":    {checkSignature[2:], provider.ErrMalformed},
		"TooLong":     {checkSignature + "00", provider.ErrMalformed},
		"NotHex":      {"g" + checkSignature[1:], provider.ErrMalformed},
		"WithPrefix":  {"sha256=" + checkSignature, provider.ErrMalformed},
		"Blank":       {"  ", provider.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proof, err := v.Verify(http.Header{"X-Better-Auth-Signature": {c.signature}}, []byte(checkBody), time.Time{})
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				require.Equal(t, provider.Proof{Secret: "2", Method: "better_auth_signature"}, proof)
			}
		})
	}
}

// headers are those of all three formats for the same body, all genuine.
func headers(t *testing.T, secret, body string) http.Header {
	t.Helper()
	h := http.Header{}
	for _, format := range []string{"standard_webhooks", "better_auth_signature", "webhook_signature"} {
		one, _, err := sign(t, format, secret, body)
		require.NoError(t, err)
		maps.Copy(h, one)
	}
	return h
}

// sign signs a body of the test's own.
func sign(t *testing.T, format, secret, body string) (http.Header, []byte, error) {
	t.Helper()
	switch format {
	case "standard_webhooks":
		h, err := standardwebhooks.Sign([]byte(secret), standardwebhooks.Standard, "msg_1", providertest.ReceivedAt(), []byte(body))
		return h, []byte(body), err
	case "better_auth_signature":
		return http.Header{"X-Better-Auth-Signature": {hexSum(secret, body)}}, []byte(body), nil
	default:
		return http.Header{"X-Webhook-Signature": {"sha256=" + hexSum(secret, body)}}, []byte(body), nil
	}
}

func TestStrongestFormatDecides(t *testing.T) {
	t.Parallel()
	const secret, body = "s3cret", `{"event":"user.updated","timestamp":"2026-05-04T10:20:31Z","user":{"id":"1"}}`
	now := providertest.ReceivedAt()
	tests := map[string]struct {
		change  func(http.Header)
		allowed []string
		want    error
		method  string
	}{
		"AllGenuine":                  {nil, nil, nil, "standard_webhooks"},
		"BadStandardDoesNotFall":      {func(h http.Header) { h.Set("Webhook-Signature", "v1,AAAA") }, nil, provider.ErrNoMatch, ""},
		"PartOfStandardDoesNotFall":   {func(h http.Header) { h.Del("Webhook-Signature") }, nil, provider.ErrMissingSignature, ""},
		"SvixDoesNotFillStandard":     {func(h http.Header) { h["Svix-Signature"] = h["Webhook-Signature"]; h.Del("Webhook-Signature") }, nil, provider.ErrMissingSignature, ""},
		"WithoutStandard":             {dropStandard, nil, nil, "webhook_signature"},
		"BadPluginDoesNotFall":        {func(h http.Header) { dropStandard(h); h.Set("X-Webhook-Signature", "sha256=00") }, nil, provider.ErrMalformed, ""},
		"PluginWithoutPrefix":         {func(h http.Header) { dropStandard(h); h.Set("X-Webhook-Signature", hexSum(secret, body)) }, nil, provider.ErrMalformed, ""},
		"SignatureAlone":              {dropOthers, nil, provider.ErrFormat, ""},
		"SignatureAloneAllowed":       {dropOthers, simple().SignatureFormats, nil, "better_auth_signature"},
		"OnlySignatureAllowed":        {nil, []string{"better_auth_signature"}, provider.ErrFormat, ""},
		"OnlyStandardAllowed":         {dropStandard, []string{"standard_webhooks"}, provider.ErrFormat, ""},
		"OnlyPluginAllowed":           {nil, []string{"webhook_signature"}, provider.ErrFormat, ""},
		"OldStandardDoesNotFall":      {func(h http.Header) { h.Set("Webhook-Timestamp", "1746353431") }, simple().SignatureFormats, provider.ErrTooOld, ""},
		"EmptyStandardDoesNotFall":    {func(h http.Header) { dropStandard(h); h.Set("Webhook-Signature", "") }, simple().SignatureFormats, provider.ErrMissingSignature, ""},
		"IDAloneDoesNotFall":          {func(h http.Header) { dropStandard(h); h.Set("Svix-Id", "msg_1") }, simple().SignatureFormats, provider.ErrMissingSignature, ""},
		"EmptyPluginDoesNotFall":      {func(h http.Header) { dropStandard(h); h.Set("X-Webhook-Signature", " ") }, simple().SignatureFormats, provider.ErrMalformed, ""},
		"StandardAndSignatureAllowed": {nil, []string{"better_auth_signature", "standard_webhooks"}, nil, "standard_webhooks"},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := headers(t, secret, body)
			if c.change != nil {
				c.change(h)
			}
			proof, err := verifier(t, provider.Options{SignatureFormats: c.allowed}, secret).Verify(h, []byte(body), now)
			require.ErrorIs(t, err, c.want)
			require.Equal(t, c.method, proof.Method)
		})
	}
}

func dropOthers(h http.Header) { dropStandard(h); h.Del("X-Webhook-Signature") }

func dropStandard(h http.Header) {
	for _, name := range []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		h.Del(name)
	}
}

func TestSvixHeadersAreStandardWebhooks(t *testing.T) {
	t.Parallel()
	h, err := standardwebhooks.Sign([]byte("s3cret"), standardwebhooks.Svix, "msg_1", providertest.ReceivedAt(), []byte("{}"))
	require.NoError(t, err)
	proof, err := verifier(t, provider.Options{}, "s3cret").Verify(h, []byte("{}"), providertest.ReceivedAt())
	require.NoError(t, err)
	require.Equal(t, provider.Proof{MessageID: "msg_1", Secret: "1", Method: "standard_webhooks"}, proof)
}

func TestKeysOfASecret(t *testing.T) {
	t.Parallel()
	long := base64.StdEncoding.EncodeToString([]byte("twenty-four bytes or more"))
	short := base64.StdEncoding.EncodeToString([]byte("twenty-three bytes only"))
	for name, c := range map[string]struct {
		secret, key string
		want        error
	}{
		"DecodedBehindPrefix":        {"whsec_" + short, "twenty-three bytes only", nil},
		"NotTheBytesWithPrefix":      {"whsec_" + short, "whsec_" + short, provider.ErrNoMatch},
		"BytesWithoutPrefix":         {long, long, nil},
		"DecodedWithoutPrefix":       {long, "twenty-four bytes or more", nil},
		"ShortOneIsNotDecoded":       {short, "twenty-three bytes only", provider.ErrNoMatch},
		"ShortOneIsTakenAsBytes":     {short, short, nil},
		"NoBase64":                   {"no-base64!", "no-base64!", nil},
		"OtherKeyOfTheSameBeginning": {long, "twenty-four bytes or mor", provider.ErrNoMatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, err := standardwebhooks.Sign([]byte(c.key), standardwebhooks.Standard, "msg_1", providertest.ReceivedAt(), []byte("{}"))
			require.NoError(t, err)
			_, err = verifier(t, provider.Options{}, provider.Secret(c.secret)).Verify(h, []byte("{}"), providertest.ReceivedAt())
			require.ErrorIs(t, err, c.want)
			// The hexadecimal format takes the secret as it was given.
			_, err = verifier(t, simple(), provider.Secret(c.secret)).
				Verify(http.Header{"X-Better-Auth-Signature": {hexSum(c.secret, "{}")}}, []byte("{}"), time.Time{})
			require.NoError(t, err)
		})
	}
}

func TestPluginNeedsAFreshTimeInTheBody(t *testing.T) {
	t.Parallel()
	now := providertest.ReceivedAt()
	for name, c := range map[string]struct {
		body string
		want error
	}{
		"Now":               {`{"timestamp":"2026-05-04T10:20:31Z"}`, nil},
		"FiveMinutesOld":    {`{"timestamp":"2026-05-04T10:15:31Z"}`, nil},
		"TooOld":            {`{"timestamp":"2026-05-04T10:15:30.999Z"}`, provider.ErrTooOld},
		"TooNew":            {`{"timestamp":"2026-05-04T10:25:31.001Z"}`, provider.ErrTooNew},
		"Missing":           {`{}`, provider.ErrMalformed},
		"NoDate":            {`{"timestamp":"soon"}`, provider.ErrMalformed},
		"BodyIsNotJSON":     {`timestamp`, provider.ErrMalformed},
		"BodyIsNotAnObject": {`["timestamp"]`, provider.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, body, err := sign(t, "webhook_signature", "s3cret", c.body)
			require.NoError(t, err)
			_, err = verifier(t, provider.Options{}, "s3cret").Verify(h, body, now)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestOptionsAndCredentialsAreChecked(t *testing.T) {
	t.Parallel()
	p := betterauth.New()
	_, err := p.NewVerifier(provider.Credentials{}, provider.Options{SignatureFormats: []string{"hex"}})
	require.ErrorContains(t, err, "options.signature_formats")
	require.ErrorContains(t, err, "standard_webhooks, webhook_signature, better_auth_signature")
	_, err = p.NewVerifier(provider.Credentials{WebhookAuthorization: &provider.Authorization{}}, provider.Options{})
	require.ErrorContains(t, err, "Auth0 only")
	broken := provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_?"}}
	_, err = p.NewVerifier(broken, provider.Options{})
	require.ErrorContains(t, err, "not base64")
	_, err = p.NewVerifier(broken, provider.Options{SignatureFormats: []string{"better_auth_signature"}})
	require.NoError(t, err, "the hexadecimal format takes any bytes")
}
