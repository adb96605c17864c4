package clerk_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/testkit/providertest"
)

func credentials() provider.Credentials {
	return provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_Zmlyc3Qtb2YtdGhyZWUtc2VjcmV0cw=="}, SecretKey: "sk_test_4f9a"}
}

func TestOnlySvixHeadersCount(t *testing.T) {
	t.Parallel()
	header, body, err := clerk.New().Sign(provider.Sample{Type: "user.created", ID: "msg_1"}, credentials(), provider.Options{}, providertest.ReceivedAt())
	require.NoError(t, err)
	v, err := clerk.New().NewVerifier(credentials(), provider.Options{})
	require.NoError(t, err)
	proof, err := v.Verify(header, body, providertest.ReceivedAt())
	require.NoError(t, err)
	require.Equal(t, provider.Proof{MessageID: "msg_1", Secret: "1", Method: "svix"}, proof)

	renamed := http.Header{
		"Webhook-Id": header["Svix-Id"], "Webhook-Timestamp": header["Svix-Timestamp"], "Webhook-Signature": header["Svix-Signature"],
	}
	_, err = v.Verify(renamed, body, providertest.ReceivedAt())
	require.ErrorIs(t, err, provider.ErrMissingSignature)
}

func TestCredentialsAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*provider.Credentials)
		want   string
	}{
		"SecretWithoutPrefix":  {func(c *provider.Credentials) { c.WebhookSigningSecret[0] = "nonsense" }, "begins with whsec_"},
		"SecretNotBase64":      {func(c *provider.Credentials) { c.WebhookSigningSecret[0] = "whsec_?" }, "it must be the Signing Secret"},
		"SecretOfEmptyKey":     {func(c *provider.Credentials) { c.WebhookSigningSecret[0] = "whsec_" }, "its key is empty"},
		"PublishableKey":       {func(c *provider.Credentials) { c.SecretKey = "pk_live_hush" }, "sk_live_ or sk_test_"},
		"SecretKeyPrefixAlone": {func(c *provider.Credentials) { c.SecretKey = "sk_live_" }, "sk_live_ or sk_test_"},
		"SecretKeyWithSpace":   {func(c *provider.Credentials) { c.SecretKey = "sk_live_hush hush" }, "sk_live_ or sk_test_"},
		"AuthorizationOfAuth0": {func(c *provider.Credentials) {
			c.WebhookAuthorization = &provider.Authorization{Method: "bearer", Token: "hush"}
		}, "Auth0 only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad := credentials()
			c.change(&bad)
			_, err := clerk.New().NewVerifier(bad, provider.Options{})
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hush")
		})
	}
}

func TestSampleWithoutEmailHasNoPrimaryAddress(t *testing.T) {
	t.Parallel()
	_, body, err := clerk.New().Sign(provider.Sample{Type: "user.updated", Set: map[string]any{"email": nil}}, credentials(), provider.Options{}, providertest.ReceivedAt())
	require.NoError(t, err)
	require.Contains(t, string(body), `"email_addresses":[]`)
	require.Contains(t, string(body), `"primary_email_address_id":null`)
	require.NotContains(t, string(body), `"email":`)
}

func FuzzDecode(f *testing.F) {
	providertest.FuzzDecode(f, clerk.New())
}

func BenchmarkDecode(b *testing.B) {
	providertest.BenchmarkDecode(b, clerk.New(), credentials())
}

func BenchmarkVerify(b *testing.B) {
	providertest.BenchmarkVerify(b, clerk.New(), credentials())
}
