package custom_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/custom"
	"github.com/authsync/authsync/internal/provider/keyset"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

// published is a key set without a network.
type published []provider.PublicKey

func (p published) Find(_, id string) (found []provider.PublicKey, err error) {
	for _, key := range p {
		if id == "" || key.ID == id {
			found = append(found, key)
		}
	}
	return found, nil
}

// keySetOf reads the keys of examples.
func keySetOf(t *testing.T, keys string) published {
	t.Helper()
	found, err := keyset.Parse([]byte(`{"keys":[` + keys + `]}`))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found
}

const someKeys = "https://acme.example.com/jwks"

func tokenVerifier(t *testing.T, keys provider.PublicKeys, signature map[string]any) provider.Verifier {
	t.Helper()
	signature["key_set_url"] = someKeys
	user, is := verifier(t, signature).(provider.KeySetUser)
	require.True(t, is)
	require.Equal(t, someKeys, user.KeySetURL())
	return user.WithKeys(keys)
}

func encoded(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

// RFC 7515, appendix A.3, and RFC 8037, appendix A.4, the latter detached as RFC 7515, appendix F, has it.
func TestExamplesOfTheRFCsVerify(t *testing.T) {
	t.Parallel()
	ec := keySetOf(t, `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`)
	v := tokenVerifier(t, ec, map[string]any{"scheme": "jwt_body", "algorithms": []string{"ES256"}, "issuer": "joe"})
	const body = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
		"DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	_, err := v.Verify(nil, []byte(body), time.Unix(1300819380, 0))
	require.NoError(t, err)
	_, err = v.Verify(nil, []byte(body), time.Unix(1300819380+61, 0))
	require.ErrorIs(t, err, provider.ErrTooOld)
	require.NoError(t, v.ValidBody([]byte(body)))
	stored, _ := v.Redact([]byte(body))
	require.JSONEq(t, `{"iss":"joe","exp":1300819380,"http://example.com/is_root":true}`, string(stored), "its claims are stored")

	ed := keySetOf(t, `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`)
	v = tokenVerifier(t, ed, map[string]any{"scheme": "jws", "header": "X-JWS", "algorithms": []string{"EdDSA"}})
	h := header("X-JWS", "eyJhbGciOiJFZERTQSJ9..hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
	_, err = v.Verify(h, []byte("Example of Ed25519 signing"), time.Now())
	require.NoError(t, err)
	_, err = v.Verify(h, []byte("Example of Ed25519 singing"), time.Now())
	require.ErrorIs(t, err, provider.ErrNoMatch)
	h = header("X-JWS", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg")
	_, err = v.Verify(h, []byte(`{"type":"user.created"}`), time.Now())
	require.ErrorIs(t, err, provider.ErrMalformed, "a JWS with a payload of its own proves nothing about the body")
}

// signers make the signatures of each algorithm.
func signRSA(t *testing.T, key *rsa.PrivateKey, content string) []byte {
	t.Helper()
	digest := sha256.Sum256([]byte(content))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
	require.NoError(t, err)
	return signature
}

func token(head, claims string, sign func(content string) []byte) string {
	content := encoded(head) + "." + encoded(claims)
	return content + "." + base64.RawURLEncoding.EncodeToString(sign(content))
}

// Only the listed algorithms count, and a key only verifies by those that it is for.
func TestAlgorithmsAreNotConfused(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	point, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	require.NoError(t, err)
	keys := published{{ID: "k", Key: key.Public()}, {ID: "pss", Algorithm: "PS256", Key: key.Public()}, {ID: "ec", Key: point.Public()}}
	rs := func(content string) []byte { return signRSA(t, key, content) }
	hs := func(content string) []byte {
		mac := hmac.New(sha256.New, der)
		mac.Write([]byte(content))
		return mac.Sum(nil)
	}
	v := tokenVerifier(t, keys, map[string]any{"scheme": "jwt_body", "algorithms": []string{"RS256", "ES256"}})
	for name, tc := range map[string]struct {
		body string
		want error
	}{
		"RS256":         {token(`{"alg":"RS256","kid":"k"}`, `{}`, rs), nil},
		"WithoutKeyID":  {token(`{"alg":"RS256"}`, `{}`, rs), nil},
		"OtherKey":      {token(`{"alg":"RS256","kid":"ec"}`, `{}`, rs), provider.ErrNoMatch},
		"UnknownKey":    {token(`{"alg":"RS256","kid":"x"}`, `{}`, rs), provider.ErrNoMatch},
		"KeyOfAnother":  {token(`{"alg":"RS256","kid":"pss"}`, `{}`, rs), provider.ErrNoMatch},
		"None":          {token(`{"alg":"none"}`, `{}`, func(string) []byte { return []byte("x") }), provider.ErrFormat},
		"NoneAtAll":     {encoded(`{"alg":"none"}`) + "." + encoded(`{}`) + ".", provider.ErrMalformed},
		"SecretFromKey": {token(`{"alg":"HS256","kid":"k"}`, `{}`, hs), provider.ErrFormat},
		"NotListed":     {token(`{"alg":"PS256","kid":"pss"}`, `{}`, rs), provider.ErrFormat},
		"LowerCase":     {token(`{"alg":"rs256","kid":"k"}`, `{}`, rs), provider.ErrFormat},
		"NoAlgorithm":   {token(`{"kid":"k"}`, `{}`, rs), provider.ErrFormat},
		"Extension":     {token(`{"alg":"RS256","kid":"k","crit":["exp"]}`, `{}`, rs), provider.ErrMalformed},
		"ShortEC":       {token(`{"alg":"ES256","kid":"ec"}`, `{}`, func(string) []byte { return make([]byte, 63) }), provider.ErrNoMatch},
		"ZeroEC":        {token(`{"alg":"ES256","kid":"ec"}`, `{}`, func(string) []byte { return make([]byte, 64) }), provider.ErrNoMatch},
		"OwnKey":        {token(`{"alg":"RS256","jwk":{"kty":"oct"},"jku":"https://evil.example.com","kid":"x"}`, `{}`, rs), provider.ErrNoMatch},
		"Expired":       {token(`{"alg":"RS256"}`, `{"exp":1}`, rs), provider.ErrTooOld},
		"NotYet":        {token(`{"alg":"RS256"}`, `{"nbf":99999999999}`, rs), provider.ErrTooNew},
		"FromTheFuture": {token(`{"alg":"RS256"}`, `{"iat":99999999999}`, rs), provider.ErrTooNew},
		"NoClaims":      {token(`{"alg":"RS256"}`, `[]`, rs), provider.ErrMalformed},
		"OddClaims":     {token(`{"alg":"RS256"}`, `{"exp":"tomorrow"}`, rs), provider.ErrMalformed},
		"Parts":         {"a.b", provider.ErrMalformed},
		"ManyParts":     {"a.b.c.d.e", provider.ErrMalformed},
		"JSON":          {`{"type":"user.created"}`, provider.ErrMalformed},
		"Empty":         {" ", provider.ErrMissingSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := v.Verify(nil, []byte(tc.body), providertest.ReceivedAt())
			require.ErrorIs(t, err, tc.want)
		})
	}
}

func TestIssuerAudienceAndAgeAreChecked(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	now := providertest.ReceivedAt()
	v := tokenVerifier(t, published{{Key: public}}, map[string]any{
		"scheme": "jwt_body", "algorithms": []string{"EdDSA"}, "issuer": "https://acme.example.com", "audience": "app", "tolerance": "5m",
	})
	for name, tc := range map[string]struct {
		change map[string]any
		want   error
	}{
		"Good":          {nil, nil},
		"ManyAudiences": {map[string]any{"aud": []string{"other", "app"}}, nil},
		"Issuer":        {map[string]any{"iss": "https://evil.example.com"}, provider.ErrNoMatch},
		"NoIssuer":      {map[string]any{"iss": nil}, provider.ErrNoMatch},
		"OtherCase":     {map[string]any{"iss": nil, "ISS": "https://acme.example.com"}, provider.ErrNoMatch},
		"Audience":      {map[string]any{"aud": "another"}, provider.ErrNoMatch},
		"NoAudience":    {map[string]any{"aud": nil}, provider.ErrNoMatch},
		"Old":           {map[string]any{"iat": now.Unix() - 301}, provider.ErrTooOld},
		"NoAge":         {map[string]any{"iat": nil}, provider.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			claims := map[string]any{"iss": "https://acme.example.com", "aud": "app", "iat": now.Unix()}
			maps.Copy(claims, tc.change)
			text, err := json.Marshal(claims)
			require.NoError(t, err)
			_, err = v.Verify(nil, []byte(token(`{"alg":"EdDSA"}`, string(text), func(c string) []byte { return ed25519.Sign(key, []byte(c)) })), now)
			require.ErrorIs(t, err, tc.want)
		})
	}
}

// FusionAuth and Keycloak's extension sign a hash of the body.
func TestATokenAboutTheBody(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	digest := sha256.Sum256([]byte(someBody))
	sign := func(c string) []byte { return ed25519.Sign(key, []byte(c)) }
	for hash, written := range map[string]string{
		"":    base64.StdEncoding.EncodeToString(digest[:]),
		"hex": hex.EncodeToString(digest[:]),
	} {
		signature := map[string]any{
			"scheme": "jws", "header": "Authorization", "prefix": "Bearer ", "algorithms": []string{"EdDSA"}, "body_claim": "request_body_sha256",
		}
		if hash != "" {
			signature["body_hash"] = hash
		}
		v := tokenVerifier(t, published{{Key: public}}, signature)
		h := header("Authorization", "Bearer "+token(`{"alg":"EdDSA"}`, `{"request_body_sha256":"`+written+`"}`, sign))
		_, err := v.Verify(h, []byte(someBody), providertest.ReceivedAt())
		require.NoError(t, err)
		_, err = v.Verify(h, []byte(`{}`), providertest.ReceivedAt())
		require.ErrorIs(t, err, provider.ErrNoMatch)
		for _, claims := range []string{`{}`, `{"request_body_sha256":7}`, `{"request_body_sha256":""}`} {
			_, err = v.Verify(header("Authorization", "Bearer "+token(`{"alg":"EdDSA"}`, claims, sign)), []byte(someBody), providertest.ReceivedAt())
			require.Error(t, err, claims)
		}
	}
}

// RFC 7797: the payload is signed as it is.
func TestDetachedWithoutBase64(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(nil)
	require.NoError(t, err)
	v := tokenVerifier(t, published{{Key: public}}, map[string]any{"scheme": "jws", "header": "X-JWS", "algorithms": []string{"EdDSA"}})
	for head, want := range map[string]error{
		`{"alg":"EdDSA","b64":false,"crit":["b64"]}`: nil,
		`{"alg":"EdDSA","b64":false}`:                provider.ErrMalformed,
	} {
		signature := ed25519.Sign(key, []byte(encoded(head)+"."+someBody))
		_, err := v.Verify(header("X-JWS", encoded(head)+".."+base64.RawURLEncoding.EncodeToString(signature)), []byte(someBody), providertest.ReceivedAt())
		require.ErrorIs(t, err, want, head)
	}
}

func TestWithoutKeysNothingIsKnown(t *testing.T) {
	t.Parallel()
	v := verifier(t, map[string]any{"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": someKeys})
	_, err := v.Verify(nil, []byte(token(`{"alg":"RS256"}`, `{}`, func(string) []byte { return []byte("x") })), providertest.ReceivedAt())
	require.ErrorIs(t, err, provider.ErrKeysUnavailable)
}

// The example of RFC 7515, appendix A.1, and what must not pass beside it.
func TestATokenWithASharedSecret(t *testing.T) {
	t.Parallel()
	const secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ+EstJQLr/T+1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
	const body = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." +
		"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ." +
		"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	v := verifier(t, map[string]any{
		"scheme": "jwt_body", "algorithms": []string{"HS256"}, "secret_encoding": "base64", "issuer": "joe",
	}, "YW5vdGhlciBzZWNyZXQ", secret)
	at := time.Unix(1300819380, 0)
	proof, err := v.Verify(nil, []byte(body), at)
	require.NoError(t, err)
	require.Equal(t, "2", proof.Secret)
	_, err = v.Verify(nil, []byte(strings.Replace(body, "eyJpc3MiOiJqb2Ui", "eyJpc3MiOiJqb2Yi", 1)), at)
	require.ErrorIs(t, err, provider.ErrNoMatch)
	for _, head := range []string{`{"alg":"none"}`, `{"alg":"HS512"}`, `{"alg":"RS256"}`, `{}`} {
		_, err = v.Verify(nil, []byte(token(head, `{"iss":"joe"}`, func(string) []byte { return []byte("x") })), at)
		require.ErrorIs(t, err, provider.ErrFormat, head)
	}
	none := verifier(t, map[string]any{"scheme": "jwt_body", "algorithms": []string{"HS256"}})
	_, err = none.Verify(nil, []byte(body), at)
	require.ErrorIs(t, err, provider.ErrNoSecret)
}

// A secret that signs samples verifies them, by each scheme with a token.
func TestSamplesWithASharedSecretVerify(t *testing.T) {
	t.Parallel()
	for name, signature := range map[string]map[string]any{
		"Body":     {"scheme": "jwt_body", "algorithms": []string{"HS384"}, "audience": "authsync", "tolerance": "5m"},
		"Hash":     {"scheme": "jws", "header": "X-Signature", "algorithms": []string{"HS512"}, "body_claim": "sha", "body_hash": "hex", "issuer": "me"},
		"Detached": {"scheme": "jws", "header": "Authorization", "prefix": "Bearer ", "algorithms": []string{"HS256"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := json.Marshal(map[string]any{
				"signature": signature, "types": map[string]string{"user.created": "user.created"},
				"records": map[string]any{"user": map[string]string{"id": ".id"}}, "sample": "{type, id: .user_id}",
			})
			require.NoError(t, err)
			o := provider.Options{Definition: text}
			c := provider.Credentials{WebhookSigningSecret: provider.Secrets{"a-secret-of-some-length"}}
			h, body, err := custom.New("custom:acme").Sign(provider.Sample{Type: "user.created", UserID: "u1"}, c, o, providertest.ReceivedAt())
			require.NoError(t, err)
			v := verifier(t, signature, c.WebhookSigningSecret...)
			_, err = v.Verify(h, body, providertest.ReceivedAt())
			require.NoError(t, err)
			_, err = verifier(t, signature, "another-secret-of-it").Verify(h, body, providertest.ReceivedAt())
			require.ErrorIs(t, err, provider.ErrNoMatch)
			if name != "Body" {
				_, err = v.Verify(h, append(body, ' '), providertest.ReceivedAt())
				require.ErrorIs(t, err, provider.ErrNoMatch)
			}
		})
	}
}

// The key set of a definition may be at an address of the integration.
func TestTheBaseURLOfAKeySet(t *testing.T) {
	t.Parallel()
	signature := map[string]any{
		"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": "{base_url}/.well-known/jwks", "issuer": "{base_url}",
	}
	open := func(signature map[string]any, baseURL string) (provider.Verifier, error) {
		return custom.New("custom:acme").NewVerifier(provider.Credentials{}, provider.Options{BaseURL: baseURL, Definition: definition(t, signature)})
	}
	for given, want := range map[string]string{
		"https://acme.example.com":       "https://acme.example.com/.well-known/jwks",
		"https://acme.example.com/auth/": "https://acme.example.com/auth/.well-known/jwks",
	} {
		v, err := open(signature, " "+given)
		require.NoError(t, err)
		user, uses := v.(provider.KeySetUser)
		require.True(t, uses)
		require.Equal(t, want, user.KeySetURL())
	}
	for given, want := range map[string]string{
		"":                                "options.base_url is missing",
		"http://acme.example.com":         "options.base_url is no https:// address",
		"acme.example.com":                "options.base_url is no https:// address",
		"https://":                        "options.base_url is no https:// address",
		"https://a:b@acme.example.com":    "options.base_url holds a user name",
		"https://acme.example.com/?x=1":   "options.base_url holds a user name, a ? or a #",
		"https://acme.example.com/#there": "options.base_url holds a user name, a ? or a #",
	} {
		_, err := open(signature, given)
		require.ErrorContains(t, err, want, given)
	}
	_, err := open(map[string]any{"scheme": "svix"}, "https://acme.example.com")
	require.ErrorContains(t, err, "options.base_url is not used")
	for name, bad := range map[string]map[string]any{
		"signature.key_set_url": {"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": "https://acme.example.com/{base_url}x/{base_url}"},
		"signature.issuer":      {"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": "https://acme.example.com/k", "issuer": "{base_url}"},
		"a token must not choose between the two": {
			"scheme": "jwt_body", "algorithms": []string{"HS256", "RS256"},
		},
		"leave the key set out": {"scheme": "jwt_body", "algorithms": []string{"HS256"}, "key_set_url": "https://acme.example.com/k"},
		"there is no secret":    {"scheme": "jwt_body", "algorithms": []string{"RS256"}, "key_set_url": "https://acme.example.com/k", "secret_encoding": "hex"},
	} {
		_, err := open(bad, "")
		require.ErrorContains(t, err, name)
	}
}
