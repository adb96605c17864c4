package provider_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/registry"
)

func whsec(key []byte) provider.Secret {
	return provider.Secret("whsec_" + base64.StdEncoding.EncodeToString(key))
}

func series(step byte) []byte {
	key := make([]byte, 24)
	for i := range key {
		key[i] = byte(i) * step
	}
	return key
}

// TestWeakSecretsAreRefused asks every provider that takes the secret's form.
func TestWeakSecretsAreRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		secret provider.Secret
		says   string
	}{
		"OneLetter":         {"a", "too short"},
		"FifteenBytes":      {"fifteen bytes 1", "too short"},
		"EqualLetters":      {"zzzzzzzzzzzzzzzzzzzzzzzz", "repeats itself every 1 bytes"},
		"Word":              {"passwordpasswordpassword", "repeats itself every 8 bytes"},
		"WordCutShort":      {"hunter2hunter2hunter2hun", "repeats itself every 7 bytes"},
		"Alphabet":          {"abcdefghijklmnopqrstuvwxyz", "plain series"},
		"ReadmeExample":     {"a long random text", "public documentation"},
		"ZeroBytes":         {whsec(make([]byte, 24)), "repeats itself"},
		"Key0xff":           {whsec(bytes.Repeat([]byte{0xff}, 32)), "repeats itself"},
		"TwoBytes":          {whsec(bytes.Repeat([]byte{1, 2}, 12)), "repeats itself"},
		"Counter":           {whsec(series(1)), "plain series"},
		"CounterOfThrees":   {whsec(series(3)), "plain series"},
		"ShortKey":          {whsec([]byte("short key")), "too short"},
		"SvixExample":       {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "public documentation"},
		"SvixOtherExample":  {"whsec_plJ3nmyCDGBKInavdOK15jsl", "public documentation"},
		"SupabaseForm":      {"v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "public documentation"},
		"UnpaddedZeroBytes": {"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "repeats itself"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			other := provider.Auth0 // takes any text, and Clerk takes base64 only
			if strings.Contains(string(tc.secret), "whsec_") {
				other = provider.Clerk
			}
			for _, providerName := range []string{provider.BetterAuth, other} {
				kind, err := registry.Lookup(providerName)
				require.NoError(t, err)
				err = kind.CheckStrength(provider.Credentials{WebhookSigningSecret: provider.Secrets{tc.secret}}, provider.Options{})
				require.ErrorContains(t, err, tc.says, providerName)
				require.ErrorContains(t, err, "webhook_signing_secret", providerName)
				require.ErrorContains(t, err, "openssl rand", providerName)
				if len(tc.secret) > 2 {
					require.NotContains(t, err.Error(), string(tc.secret), providerName)
				}
			}
		})
	}
}

func TestWeakAuthorizationIsRefused(t *testing.T) {
	t.Parallel()
	kind, err := registry.Lookup(provider.Auth0)
	require.NoError(t, err)
	for field, a := range map[string]provider.Authorization{
		"token":        {Method: "bearer", Token: "a"},
		"password":     {Method: "basic", Username: "authsync", Password: "00000000000000000000"},
		"header_value": {Method: "custom_header", HeaderKey: "X-Key", HeaderValue: "abcabcabcabcabcabc"},
	} {
		err := kind.CheckStrength(provider.Credentials{WebhookAuthorization: &a}, provider.Options{})
		require.ErrorContains(t, err, "webhook_authorization."+field)
		require.ErrorContains(t, err, "openssl rand")
	}
}

func TestSchemeBeforeASecretAddsNothingToItsStrength(t *testing.T) {
	t.Parallel()
	kind, err := registry.Lookup(provider.Auth0)
	require.NoError(t, err)
	for _, secret := range []provider.Secret{"Bearer aaaaaaaaaaaaaaaaaaaaaaaa", "Basic short", "bearer a long random text"} {
		err := kind.CheckStrength(provider.Credentials{WebhookSigningSecret: provider.Secrets{secret}}, provider.Options{})
		require.ErrorContains(t, err, "openssl rand")
	}
}

func TestMadeSecretsAreStrong(t *testing.T) {
	t.Parallel()
	for _, name := range provider.Names() {
		kind, err := registry.Lookup(name)
		require.NoError(t, err)
		require.NoError(t, kind.CheckStrength(provider.Credentials{WebhookSigningSecret: provider.Secrets{provider.NewSigningSecret(name)}}, provider.Options{}))
	}
}
