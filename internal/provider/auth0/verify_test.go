package auth0_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func TestVerifySecret(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secret, header string
		want           error
		method         string
	}{
		"Verbatim":                   {"s3cret", "s3cret", nil, "authorization"},
		"Bearer":                     {"s3cret", "Bearer s3cret", nil, "bearer"},
		"SchemeInAnyCase":            {"s3cret", "bEaReR s3cret", nil, "bearer"},
		"SpaceAround":                {"s3cret", "  Bearer   s3cret ", nil, "bearer"},
		"SpaceAroundTheSecret":       {" s3cret\n", "Bearer s3cret", nil, "bearer"},
		"SecretWithBearer":           {"Bearer s3cret", "Bearer s3cret", nil, "bearer"},
		"SecretWithBearerOtherCase":  {"bearer s3cret", "Bearer s3cret", nil, "bearer"},
		"SecretWithBearerTwice":      {"Bearer s3cret", "Bearer Bearer s3cret", nil, ""},
		"SecretWithBasic":            {"Basic dTpw", "basic dTpw", nil, "basic"},
		"SecretWithSpaces":           {"my own secret", "my own secret", nil, "authorization"},
		"SecretBeyondASCII":          {"gehêim", "Bearer gehêim", nil, "bearer"},
		"OtherSecret":                {"s3cret", "Bearer s3cre", provider.ErrNoMatch, ""},
		"LongerSecret":               {"s3cret", "Bearer s3crets", provider.ErrNoMatch, ""},
		"OtherCase":                  {"s3cret", "Bearer S3CRET", provider.ErrNoMatch, ""},
		"OtherScheme":                {"s3cret", "Basic s3cret", provider.ErrNoMatch, ""},
		"UnknownScheme":              {"s3cret", "Token s3cret", provider.ErrNoMatch, ""},
		"SchemeAlone":                {"s3cret", "Bearer ", provider.ErrNoMatch, ""},
		"SecretWithBearerNotBare":    {"Bearer s3cret", "s3cret", provider.ErrNoMatch, ""},
		"SecretWithBasicNotAsBearer": {"Basic dTpw", "Bearer dTpw", provider.ErrNoMatch, ""},
		"Missing":                    {"s3cret", "", provider.ErrMissingSignature, ""},
		"Blank":                      {"s3cret", " \t ", provider.ErrMissingSignature, ""},
		"TooLong":                    {"s3cret", strings.Repeat("s", 9000), provider.ErrMalformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v, err := auth0.New().NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(c.secret)}}, provider.Options{})
			require.NoError(t, err)
			proof, err := v.Verify(http.Header{"Authorization": {c.header}}, nil, time.Time{})
			require.ErrorIs(t, err, c.want)
			if c.method != "" {
				require.Equal(t, provider.Proof{Secret: "1", Method: c.method}, proof)
			}
		})
	}
}

func TestVerifyAuthorization(t *testing.T) {
	t.Parallel()
	bearer := provider.Authorization{Method: "bearer", Token: "t0ken"}
	bearerTwice := provider.Authorization{Method: "bearer", Token: "Bearer t0ken"}
	basic := provider.Authorization{Method: "basic", Username: "ada", Password: "pass:word"}
	custom := provider.Authorization{Method: "custom_header", HeaderKey: "x-hook-key", HeaderValue: "v4lue"}
	customScheme := provider.Authorization{Method: "custom_header", HeaderKey: "x-hook-key", HeaderValue: "Bearer v4lue"}
	for name, c := range map[string]struct {
		a      provider.Authorization
		header http.Header
		want   error
	}{
		"Bearer":                 {bearer, http.Header{"Authorization": {"bearer t0ken"}}, nil},
		"BearerTokenWithScheme":  {bearerTwice, http.Header{"Authorization": {"Bearer t0ken"}}, nil},
		"BearerSchemeTwice":      {bearerTwice, http.Header{"Authorization": {"Bearer Bearer t0ken"}}, nil},
		"BearerNotBare":          {bearer, http.Header{"Authorization": {"t0ken"}}, provider.ErrNoMatch},
		"Basic":                  {basic, http.Header{"Authorization": {"Basic YWRhOnBhc3M6d29yZA=="}}, nil},
		"BasicOtherPassword":     {basic, http.Header{"Authorization": {"Basic YWRhOnBhc3M6d29yZQ=="}}, provider.ErrNoMatch},
		"BasicNotAsBearer":       {basic, http.Header{"Authorization": {"Bearer YWRhOnBhc3M6d29yZA=="}}, provider.ErrNoMatch},
		"CustomHeader":           {custom, http.Header{"X-Hook-Key": {"v4lue"}}, nil},
		"CustomHeaderOtherValue": {custom, http.Header{"X-Hook-Key": {"v4lu"}}, provider.ErrNoMatch},
		"CustomHeaderNoScheme":   {custom, http.Header{"X-Hook-Key": {"Bearer v4lue"}}, provider.ErrNoMatch},
		"CustomHeaderAsItIs":     {customScheme, http.Header{"X-Hook-Key": {"Bearer v4lue"}}, nil},
		"CustomHeaderOtherCase":  {customScheme, http.Header{"X-Hook-Key": {"bearer v4lue"}}, provider.ErrNoMatch},
		"CustomHeaderElsewhere":  {custom, http.Header{"Authorization": {"v4lue"}}, provider.ErrMissingSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			credentials := provider.Credentials{WebhookAuthorization: &c.a}
			v, err := auth0.New().NewVerifier(credentials, provider.Options{})
			require.NoError(t, err)
			proof, err := v.Verify(c.header, nil, time.Time{})
			require.ErrorIs(t, err, c.want)
			if c.want == nil {
				require.Equal(t, provider.Proof{Secret: "1", Method: c.a.Method}, proof)
			}
			header, body, err := auth0.New().Sign(provider.Sample{Type: "user.created"}, credentials, provider.Options{}, providertest.ReceivedAt())
			require.NoError(t, err)
			_, err = v.Verify(header, body, providertest.ReceivedAt())
			require.NoError(t, err, "it accepts what it signs")
		})
	}
}

func TestSecretAndAuthorizationAreBothAccepted(t *testing.T) {
	t.Parallel()
	v, err := auth0.New().NewVerifier(provider.Credentials{
		WebhookSigningSecret: provider.Secrets{"one", "two"},
		WebhookAuthorization: &provider.Authorization{Method: "custom_header", HeaderKey: "X-Key", HeaderValue: "three"},
	}, provider.Options{})
	require.NoError(t, err)
	for position, h := range map[string]http.Header{
		"1": {"Authorization": {"one"}},
		"2": {"Authorization": {"Bearer two"}},
		"3": {"Authorization": {"something else"}, "X-Key": {"three"}},
	} {
		proof, err := v.Verify(h, nil, time.Time{})
		require.NoError(t, err)
		require.Equal(t, position, proof.Secret)
	}
}

func TestAuthorizationIsChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		a    provider.Authorization
		want string
	}{
		"MethodMissing":      {provider.Authorization{Token: "x"}, `method is ""`},
		"MethodUnknown":      {provider.Authorization{Method: "digest"}, "bearer, basic or custom_header"},
		"TokenMissing":       {provider.Authorization{Method: "bearer"}, "token is empty"},
		"TokenBlank":         {provider.Authorization{Method: "bearer", Token: "  "}, "token is white space"},
		"TokenOfTwoLines":    {provider.Authorization{Method: "bearer", Token: "a\nb"}, "control character"},
		"UsernameMissing":    {provider.Authorization{Method: "basic", Password: "p"}, "username is empty"},
		"UsernameWithColon":  {provider.Authorization{Method: "basic", Username: "a:b", Password: "p"}, "colon"},
		"UsernameTooLong":    {provider.Authorization{Method: "basic", Username: strings.Repeat("a", 129), Password: "p"}, "128"},
		"PasswordMissing":    {provider.Authorization{Method: "basic", Username: "a"}, "password is empty"},
		"HeaderKeyMissing":   {provider.Authorization{Method: "custom_header", HeaderValue: "v"}, "header_key"},
		"HeaderKeyNoToken":   {provider.Authorization{Method: "custom_header", HeaderKey: "x key", HeaderValue: "v"}, "header_key is no name"},
		"HeaderKeyNotASCII":  {provider.Authorization{Method: "custom_header", HeaderKey: "schlüssel", HeaderValue: "v"}, "header_key is no name"},
		"HeaderKeyOfServers": {provider.Authorization{Method: "custom_header", HeaderKey: "host", HeaderValue: "v"}, "choose another header"},
		"HeaderValueMissing": {provider.Authorization{Method: "custom_header", HeaderKey: "X-Key"}, "header_value is empty"},
		"FieldOfOtherMethod": {provider.Authorization{Method: "bearer", Token: "hush", Password: "quiet"}, "more than method bearer takes"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := auth0.New().NewVerifier(provider.Credentials{WebhookAuthorization: &c.a}, provider.Options{})
			require.ErrorContains(t, err, "credentials.webhook_authorization")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hush")
			require.NotContains(t, err.Error(), "quiet")
		})
	}
}

func TestFirstOfEqualSecretsIsNamed(t *testing.T) {
	t.Parallel()
	v, err := auth0.New().NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{"other", "same", "same"}}, provider.Options{})
	require.NoError(t, err)
	proof, err := v.Verify(http.Header{"Authorization": {"same"}}, nil, time.Time{})
	require.NoError(t, err)
	require.Equal(t, "2", proof.Secret)
}

func TestSample(t *testing.T) {
	t.Parallel()
	for secret, want := range map[provider.Secret]string{
		"s3cret": "Bearer s3cret", "Bearer s3cret": "Bearer s3cret", "Basic dTpw": "Basic dTpw",
	} {
		header, body, err := auth0.New().Sign(provider.Sample{Type: "user.deleted"},
			provider.Credentials{WebhookSigningSecret: provider.Secrets{secret}}, provider.Options{}, providertest.ReceivedAt())
		require.NoError(t, err)
		require.Equal(t, want, header.Get("Authorization"))
		require.Contains(t, string(body), `"deleted_at":"2026-05-04T10:20:31.000Z"`)
	}
}

func TestTooManySecretsAreRefused(t *testing.T) {
	t.Parallel()
	secrets := make(provider.Secrets, 17)
	for i := range secrets {
		secrets[i] = "secret"
	}
	_, err := auth0.New().NewVerifier(provider.Credentials{WebhookSigningSecret: secrets}, provider.Options{})
	require.ErrorContains(t, err, "at most 16")
}

func FuzzVerify(f *testing.F) {
	f.Add("s3cret", "Bearer s3cret")
	f.Add("Bearer s3cret", "bearer  s3cret")
	f.Add("Basic x", " ")
	f.Fuzz(func(t *testing.T, secret, header string) {
		v, err := auth0.New().NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.Secret(secret)}}, provider.Options{})
		if err != nil {
			return
		}
		_, err = v.Verify(http.Header{"Authorization": {header}}, nil, time.Time{})
		fields := strings.Fields(secret)
		if err == nil {
			require.Contains(t, strings.Join(strings.Fields(header), " "), fields[len(fields)-1], "what passes holds the secret")
		}
		_, err = v.Verify(http.Header{"Authorization": {secret}}, nil, time.Time{})
		if len(secret) <= 4096 {
			require.NoError(t, err, "the secret itself passes")
		}
	})
}

// A variable that was empty makes such a secret, and anybody could send it.
func TestSchemeAloneIsNoSecret(t *testing.T) {
	t.Parallel()
	for _, secret := range []provider.Secret{"Bearer ", "bearer", " Basic", "\u200b", "\u200b \u2060"} {
		_, err := auth0.Provider{}.NewVerifier(provider.Credentials{WebhookSigningSecret: provider.Secrets{secret}}, provider.Options{})
		require.Error(t, err, "%q", secret)
	}
}

// What the inbox keeps in plain text must not be a credential.
func TestHeaderThatIsStoredIsNoCredential(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"content-type", "Content-Encoding", "user-agent", "X-Request-ID"} {
		_, err := auth0.Provider{}.NewVerifier(provider.Credentials{
			WebhookAuthorization: &provider.Authorization{Method: "custom_header", HeaderKey: key, HeaderValue: "s3cret"},
		}, provider.Options{})
		require.ErrorContains(t, err, "choose another header")
	}
}
