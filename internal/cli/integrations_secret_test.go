package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/testkit/waittest"
)

func TestGenerateSecret(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(t, "integrations", "delete", "shop", "better-auth", "--yes")
	b.must(t, "integrations", "delete", "shop", "auth0", "-y")

	// sends reports whether the receiver takes what a secret signs.
	sends := func(secret, providerName string) int {
		return run(t.Context(), b.env, secret, "send", "shop", providerName, "user.created", "--secret-file", "-").status
	}
	// printed is the secret in the lines for people.
	printed := func(out string) string {
		_, secret, found := strings.Cut(out, "webhook_signing_secret, shown only once:\n  ")
		require.True(t, found, out)
		secret, _, _ = strings.Cut(secret, "\n")
		return secret
	}

	var made struct {
		Secret      *client.MadeSecret                `json:"secret"`
		Credentials map[string]client.CredentialState `json:"credentials"`
	}
	set := func(stdin string, args ...string) string {
		r := run(t.Context(), b.env, stdin, append([]string{"integrations", "set", "shop"}, args...)...)
		require.Zero(t, r.status, r.err)
		return r.out
	}

	first := printed(set("", "better-auth", "--generate-secret"))
	require.True(t, strings.HasPrefix(first, "whsec_"), first)
	require.Zero(t, sends(first, "better-auth"), "what it prints is what is stored")
	require.NotContains(t, b.must(t, "integrations", "get", "shop", "better-auth", "--json"), first, "it is shown once")

	bearer := printed(set("", "auth0", "--generate-secret", "--option", "absent_fields=clear"))
	require.NotContains(t, bearer, "whsec_")
	require.Zero(t, sends(bearer, "auth0"))

	r := b.run(t, "integrations", "set", "shop", "better-auth", "--generate-secret")
	require.Equal(t, 2, r.status, "a second run must not lock the customer's server out")
	require.Contains(t, r.err, "has a signing secret already")
	require.Zero(t, sends(first, "better-auth"))

	require.NoError(t, json.Unmarshal([]byte(set(first, "better-auth", "--generate-secret", "--webhook-signing-secret-file", "-", "--json")), &made))
	require.Equal(t, "webhook_signing_secret", made.Secret.Name)
	require.Equal(t, 2, made.Credentials["webhook_signing_secret"].Count)
	require.Zero(t, sends(made.Secret.Value, "better-auth"))
	require.Zero(t, sends(first, "better-auth"), "both are valid")

	all := `{"webhook_signing_secret": ["` + first + `"]}`
	require.NoError(t, json.Unmarshal([]byte(set(all, "better-auth", "--generate-secret", "--credentials-file", "-", "--json")), &made))
	require.Equal(t, 2, made.Credentials["webhook_signing_secret"].Count)

	last := printed(set("", "better-auth", "--generate-secret", "--replace-secret"))
	require.Zero(t, sends(last, "better-auth"))
	require.Equal(t, 1, sends(first, "better-auth"))

	newest := printed(set("", "better-auth", "--generate-secret", "--add-secret"))
	require.Zero(t, sends(newest, "better-auth"))
	require.Zero(t, sends(last, "better-auth"), "both are valid, though nobody gave the old one")
	uses := b.must(t, "integrations", "get", "shop", "better-auth")
	require.Contains(t, uses, "\n\nSECRET ")
	require.Contains(t, uses, provider.SecretName(provider.Secret(newest))+"    accepted, the newest")
	require.Contains(t, uses, provider.SecretName(provider.Secret(last))+"    accepted ")
	given := string(provider.NewSigningSecret(provider.BetterAuth))
	set(given, "better-auth", "--add-secret", "--webhook-signing-secret-file", "-")
	require.Zero(t, sends(given, "better-auth"))
	require.Zero(t, sends(newest, "better-auth"))
	set("", "better-auth", "--drop-old-secrets")
	require.Zero(t, sends(given, "better-auth"))
	waittest.Until(t, func() bool { return sends(newest, "better-auth") == 1 }, "every process follows within a second")
	r = b.run(t, "integrations", "set", "shop", "better-auth", "--add-secret", "--option", "reconcile.every=never")
	require.Equal(t, 2, r.status)
	require.Contains(t, r.err, "give one new secret with it")
	for flags, says := range map[string]string{
		"--drop-old-secrets --generate-secret":                           "--drop-old-secrets: give no new secret with it",
		"--drop-old-secrets --add-secret":                                "--drop-old-secrets: give no new secret with it",
		"--add-secret --generate-secret --webhook-signing-secret-file -": "--add-secret: give one new secret with it",
		"--add-secret --generate-secret --replace-secret":                "--replace-secret: --add-secret keeps the current secret valid: give one of them",
	} {
		r = run(t.Context(), b.env, given, append([]string{"integrations", "set", "shop", "better-auth"}, strings.Fields(flags)...)...)
		require.Equal(t, 2, r.status, flags)
		require.Contains(t, r.err, says)
	}
	require.Zero(t, sends(given, "better-auth"), "what was refused has changed nothing")

	r = b.run(t, "integrations", "set", "shop", "clerk", "--generate-secret")
	require.Equal(t, 2, r.status)
	require.Contains(t, r.err, "Clerk makes the signing secret itself")
	r = b.run(t, "integrations", "set", "nowhere", "auth0", "--generate-secret")
	require.Equal(t, 1, r.status)
	require.NotContains(t, r.out, "shown only once")
}
