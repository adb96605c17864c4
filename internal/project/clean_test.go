package project_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

// pasteable are all credentials that a text can be pasted for, each with the rest that it
// needs; %s is the text, which must come back from what is stored.
func pasteable() map[string]struct {
	provider, form, text string
	stored               func(provider.Credentials) string
} {
	type c = provider.Credentials
	return map[string]struct {
		provider, form, text string
		stored               func(c) string
	}{
		"SigningSecret":       {"auth0", `{"webhook_signing_secret": %s}`, "a secret of a stream, 7c1", func(c c) string { return string(c.WebhookSigningSecret[0]) }},
		"SecondSigningSecret": {"auth0", `{"webhook_signing_secret": ["first secret, long enough", %s]}`, "second secret, long enough", func(c c) string { return string(c.WebhookSigningSecret[1]) }},
		"ClerkSecret":         {"clerk", `{"webhook_signing_secret": %s}`, clerkSecret, func(c c) string { return string(c.WebhookSigningSecret[0]) }},
		"BetterAuthSecret":    {"better_auth", `{"webhook_signing_secret": %s}`, "a secret of a server, 7c1", func(c c) string { return string(c.WebhookSigningSecret[0]) }},
		"Token":               {"auth0", `{"webhook_authorization": {"method": "bearer", "token": %s}}`, "a token of a stream, 7c1", func(c c) string { return string(c.WebhookAuthorization.Token) }},
		"Username":            {"auth0", `{"webhook_authorization": {"method": "basic", "username": %s, "password": "a password, long enough"}}`, "us3r-name", func(c c) string { return c.WebhookAuthorization.Username }},
		"Password":            {"auth0", `{"webhook_authorization": {"method": "basic", "username": "u", "password": %s}}`, "a password, long enough", func(c c) string { return string(c.WebhookAuthorization.Password) }},
		"HeaderValue":         {"auth0", `{"webhook_authorization": {"method": "custom_header", "header_key": "X-Key", "header_value": %s}}`, "a value, long enough", func(c c) string { return string(c.WebhookAuthorization.HeaderValue) }},
		"HeaderKey":           {"auth0", `{"webhook_authorization": {"method": "custom_header", "header_key": %s, "header_value": "a value, long enough"}}`, "X-Key", func(c c) string { return c.WebhookAuthorization.HeaderKey }},
		"SecretKey":           {"clerk", `{"secret_key": %s}`, clerkSecretKey, func(c c) string { return string(c.SecretKey) }},
		"Domain":              {"auth0", `{"domain": %s, "client_id": "id", "client_secret": "s"}`, "shop.eu.auth0.com", func(c c) string { return c.Domain }},
		"ClientID":            {"auth0", `{"domain": "shop.eu.auth0.com", "client_id": %s, "client_secret": "s"}`, "cl13nt-1d", func(c c) string { return c.ClientID }},
		"ClientSecret":        {"auth0", `{"domain": "shop.eu.auth0.com", "client_id": "id", "client_secret": %s}`, "cl13nt-s3cret", func(c c) string { return string(c.ClientSecret) }},
	}
}

func quote(t *testing.T, text string) string {
	t.Helper()
	quoted, err := json.Marshal(text)
	require.NoError(t, err)
	return string(quoted)
}

func TestPastedCredentialsAreCleanedOrRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for name, tc := range pasteable() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop := b.project(t, "shop-"+strings.ToLower(name))
			put := func(text string) error {
				_, err := b.store.PutIntegration(t.Context(), shop.ID, tc.provider, credentials(t, fmt.Sprintf(tc.form, quote(t, text))), nil)
				return err
			}
			for around, text := range map[string]string{
				"LineBreak": tc.text + "\n", "CRLF": "\r\n" + tc.text + "\r\n", "NoBreakSpace": "\u00a0" + tc.text, "ZeroWidth": "\u200b" + tc.text + "\u200b",
				"ByteOrderMark": "\ufeff" + tc.text, "Tab": tc.text + "\t", "WordJoiner": tc.text + "\u2060 ",
			} {
				require.NoError(t, put(text), around)
				stored, _, err := b.store.Credentials(t.Context(), shop.ID, tc.provider)
				require.NoError(t, err)
				require.Equal(t, tc.text, tc.stored(stored), around)
			}
			for around, text := range map[string]string{
				"quotation mark": `"` + tc.text + `"`, "quotation mark (')": "'" + tc.text + "'\n", "quotation mark (“)": "“" + tc.text + "”",
				"zero-width character (U+200B) at character 3": tc.text[:2] + "\u200b" + tc.text[2:],
				"a line break at character 3":                  tc.text[:2] + "\n" + tc.text[2:],
				"no-break space (U+00A0)":                      tc.text[:2] + "\u00a0" + tc.text[2:],
			} {
				err := put(text)
				require.True(t, fault.Is(err, fault.Invalid), "%s: %v", around, err)
				require.ErrorContains(t, err, around)
				require.ErrorContains(t, err, "credentials.")
				require.NotContains(t, err.Error(), tc.text)
			}
		})
	}
}

func TestPastedSecretsOfDestinationsAreCleanedOrRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	add := func(name, secret string) error {
		typeName := "http"
		_, _, err := b.store.CreateDestination(t.Context(), shop.ID, typeName, project.DestinationInput{
			Name: &name, Options: json.RawMessage(`{"url": "https://app.example.com"}`), Secrets: map[string]*string{"token": &secret},
		}, nothingElse)
		return err
	}
	require.NoError(t, add("one", "\ufeff the secret\u200b\n"))
	found, err := b.store.FindDestination(t.Context(), shop.ID, "one")
	require.NoError(t, err)
	_, config, err := b.store.OpenDestination(t.Context(), found.ID)
	require.NoError(t, err)
	require.Equal(t, "the secret", config.Secrets.Values["token"])
	for text, says := range map[string]string{
		`"the secret"`: "quotation mark", "the\u200bsecret": "zero-width", "the\nsecret": "line break", "\u200b\n": "is empty",
	} {
		err := add("two", text)
		require.ErrorContains(t, err, "secrets.token")
		require.ErrorContains(t, err, says)
	}
}

func TestPastedDatabaseURLIsCleanedOrRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.store.CreateProject(t.Context(), "shop", "\ufeff"+someURL+"\u200b\r\n", false)
	require.NoError(t, err)
	require.Equal(t, someURL, b.mirror.urls[0])
	_, err = b.store.CreateProject(t.Context(), "other", `"`+someURL+`"`, false)
	require.ErrorContains(t, err, "database_url is in quotation marks")
	require.NotContains(t, err.Error(), "s3cret")
}

func TestWeakSecretsAreNotStored(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for providerName, texts := range map[string][]string{
		"auth0": {
			`{"webhook_signing_secret": "a"}`, `{"webhook_signing_secret": ["a strong secret, 51c09", "a"]}`,
			`{"webhook_authorization": {"method": "basic", "username": "u", "password": "aaaaaaaaaaaaaaaaaaaa"}}`,
		},
		"clerk": {
			`{"webhook_signing_secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`,
			`{"webhook_signing_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}`, `{"webhook_signing_secret": "whsec_YQ=="}`,
		},
		"better_auth": {
			`{"webhook_signing_secret": "a"}`, `{"webhook_signing_secret": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`, `{"webhook_signing_secret": "secretsecretsecret"}`,
		},
	} {
		for _, text := range texts {
			_, err := b.store.PutIntegration(t.Context(), shop.ID, providerName, credentials(t, text), nil)
			require.True(t, fault.Is(err, fault.Invalid), "%s: %v", text, err)
			require.ErrorContains(t, err, "openssl rand", text)
		}
		_, err := b.store.FindIntegration(t.Context(), shop.ID, providerName)
		require.ErrorIs(t, err, project.ErrNoIntegration)
	}
}
