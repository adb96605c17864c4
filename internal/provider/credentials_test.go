package provider_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
)

func TestSecretsDoNotPrint(t *testing.T) {
	t.Parallel()
	c := provider.Credentials{
		WebhookSigningSecret: provider.Secrets{"hush", "hush too"},
		WebhookAuthorization: &provider.Authorization{Method: "basic", Username: "ada", Password: "hush"},
		SecretKey:            "hush",
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).Info("credentials", slog.Any("all", c), slog.Any("key", c.SecretKey),
			slog.Any("signing", c.WebhookSigningSecret), slog.Any("authorization", c.WebhookAuthorization))
	}
	for _, printed := range []string{
		fmt.Sprint(c), fmt.Sprintf("%v %+v", c, c), fmt.Sprintf("%s %q %x", c.SecretKey, c.SecretKey, c.SecretKey), fmt.Sprintf("%#v", c), log.String(),
		fmt.Sprintf("%v %#v", *c.WebhookAuthorization, *c.WebhookAuthorization),
	} {
		require.NotContains(t, printed, "hush")
		require.Contains(t, printed, "***")
	}
}

func TestSecretsAreAStringOrAnArray(t *testing.T) {
	t.Parallel()
	for doc, want := range map[string]provider.Secrets{
		`"a"`: {"a"}, `["a","b"]`: {"a", "b"}, `[]`: {},
	} {
		var got provider.Secrets
		require.NoError(t, json.Unmarshal([]byte(doc), &got))
		require.Equal(t, want, got)
	}
	for _, doc := range []string{`7`, `{}`, `["a",7]`} {
		var got provider.Secrets
		require.ErrorContains(t, json.Unmarshal([]byte(doc), &got), "a string or an array of strings")
	}
}

func TestParseName(t *testing.T) {
	t.Parallel()
	name, err := provider.ParseName("Better-Auth")
	require.NoError(t, err)
	require.Equal(t, provider.BetterAuth, name)
	_, err = provider.ParseName("okta")
	require.ErrorContains(t, err, `no provider "okta"`)
}

func TestSampleEmailDiffersFromUserToUser(t *testing.T) {
	t.Parallel()
	require.Equal(t, "user.012345678901@example.com", provider.SampleEmail("auth0|66f2a91c012345678901"))
	require.Equal(t, "user.1@example.com", provider.SampleEmail("ü1"))
	one, two := provider.RandomID(22), provider.RandomID(22)
	require.NotEqual(t, one, two)
	require.Regexp(t, "^[0-9a-f]{24}$", provider.RandomHex(24))
}
