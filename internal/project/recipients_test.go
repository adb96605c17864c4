package project_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
)

// Who has a stored secret sent elsewhere could read it there, so must know it.
func TestCredentialsAreNotSentToAnotherHostUnlessTheyAreKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	store := storeAllowing(t, b, egress.Loopback(), b.key)
	const clerkKey = "sk_live_bm90IGEgcmVhbCBrZXkgYXQgYWxs"
	for name, c := range map[string]struct {
		provider                string
		credentials, options    string // as stored
		change, changeOptions   string // null: not given
		says                    string // empty: it is taken
		andThen, andThenOptions string // a step before the change
	}{
		"ClerkToAnotherHost": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, changeOptions: `{"base_url": "https://evil.example.com/v1"}`,
			says: "options.base_url leads to another host, to which the stored secret_key would be sent: set credentials.secret_key again in the same request, or null to remove it",
		},
		"ClerkBackToItsOwn": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, options: `{"base_url": "https://proxy.example.com"}`, changeOptions: `{}`,
			says: "set credentials.secret_key again",
		},
		"ClerkToAnotherPort": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, options: `{"base_url": "https://proxy.example.com"}`,
			changeOptions: `{"base_url": "https://proxy.example.com:8443"}`, says: "set credentials.secret_key again",
		},
		"ClerkWithoutEncryption": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, options: `{"base_url": "https://localhost"}`,
			changeOptions: `{"base_url": "http://localhost"}`, says: "set credentials.secret_key again",
		},
		"ClerkToAnotherPath": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, options: `{"base_url": "https://proxy.example.com"}`,
			changeOptions: `{"base_url": "https://PROXY.example.com:443/v1/"}`,
		},
		"ClerkWithTheKey": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, change: `{"secret_key": "` + clerkKey + `"}`,
			changeOptions: `{"base_url": "https://other.example.com/v1"}`,
		},
		"ClerkWithoutTheKey": {
			provider: "clerk", credentials: `{"secret_key": "` + clerkKey + `"}`, change: `{"secret_key": null}`,
			changeOptions: `{"base_url": "https://other.example.com/v1"}`,
		},
		"ClerkWithoutAnyKey": {provider: "clerk", credentials: `{}`, changeOptions: `{"base_url": "https://other.example.com/v1"}`},
		"Auth0ToAnotherDomain": {
			provider: "auth0", credentials: `{"domain": "shop.eu.auth0.com", "client_id": "id", "client_secret": "hush"}`, change: `{"domain": "evil.example.com"}`,
			says: "credentials.domain leads to another host, to which the stored client_secret would be sent: set credentials.client_secret again",
		},
		"Auth0ToAProxy": {
			provider: "auth0", credentials: `{"domain": "shop.eu.auth0.com", "client_id": "id", "client_secret": "hush"}`,
			changeOptions: `{"base_url": "https://evil.example.com"}`, says: "options.base_url leads to another host, to which the stored client_secret",
		},
		"Auth0DomainBehindTheSameProxy": {
			provider: "auth0", credentials: `{"domain": "shop.eu.auth0.com", "client_id": "id", "client_secret": "hush"}`,
			options: `{"base_url": "https://proxy.example.com"}`, change: `{"domain": "shop.us.auth0.com"}`,
		},
		"Auth0InTwoSteps": {
			provider: "auth0", credentials: `{"domain": "shop.eu.auth0.com", "client_id": "id", "client_secret": "hush"}`,
			andThen: `{"domain": null}`, change: `{"domain": "evil.example.com"}`, says: "set credentials.client_secret again",
		},
		"BetterAuthToAnotherHost": {
			provider: "better-auth", credentials: `{"session_token": "hush"}`, options: `{"base_url": "https://app.example.com"}`,
			changeOptions: `{"base_url": "https://evil.example.com"}`, says: "the stored session_token would be sent",
		},
		"BetterAuthInTwoSteps": {
			provider: "better-auth", credentials: `{"session_token": "hush"}`, options: `{"base_url": "https://app.example.com"}`,
			andThenOptions: `{}`, changeOptions: `{"base_url": "https://evil.example.com"}`, says: "the stored session_token would be sent",
		},
		"BetterAuthWithSomethingElseGiven": {
			provider: "better-auth", credentials: `{"session_token": "hush"}`, options: `{"base_url": "https://app.example.com"}`,
			change: `{"webhook_signing_secret": "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAy"}`, changeOptions: `{"base_url": "https://evil.example.com"}`,
			says: "the stored session_token would be sent",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shop, err := store.CreateProject(t.Context(), "p-"+dashed(name), someURL, false)
			require.NoError(t, err)
			put := func(credentialsText, options string) error {
				var given map[string]json.RawMessage
				if credentialsText != "" {
					given = credentials(t, credentialsText)
				}
				var raw json.RawMessage
				if options != "" {
					raw = json.RawMessage(options)
				}
				_, err := store.PutIntegration(t.Context(), shop.ID, c.provider, given, raw)
				return err
			}
			require.NoError(t, put(c.credentials, c.options))
			if c.andThen != "" || c.andThenOptions != "" {
				require.NoError(t, put(c.andThen, c.andThenOptions))
			}
			before, options, err := store.Credentials(t.Context(), shop.ID, c.provider)
			require.NoError(t, err)
			err = put(c.change, c.changeOptions)
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			require.True(t, fault.Is(err, fault.Invalid), err)
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "hush")
			after, optionsAfter, err := store.Credentials(t.Context(), shop.ID, c.provider)
			require.NoError(t, err)
			require.Equal(t, before, after)
			require.Equal(t, options, optionsAfter, "nothing is stored")
		})
	}
}

// dashed makes a project's name of a test's.
func dashed(name string) string {
	text := []byte(name)
	for i, c := range text {
		if c >= 'A' && c <= 'Z' {
			text[i] = c - 'A' + 'a'
		}
	}
	return string(text)
}

func TestSecretsOfADestinationAreNotSentToAnotherHostUnlessTheyAreKnown(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	known, other := "hush-token", "another-one"
	secrets := map[string]*string{"token": &known, "key": &other}
	_, _, err := b.store.CreateDestination(t.Context(), shop.ID, "http", input("api", `{"url": "https://api.example.com/v1"}`, secrets), nothingElse)
	require.NoError(t, err)
	update := func(options string, given map[string]*string) error {
		_, err := b.store.UpdateDestination(t.Context(), shop.ID, "api", project.DestinationInput{Options: json.RawMessage(options), Secrets: given})
		return err
	}
	const elsewhere = `{"url": "https://evil.example.com/v1"}`
	for _, given := range []map[string]*string{nil, {}, {"token": &known}} {
		err := update(elsewhere, given)
		require.True(t, fault.Is(err, fault.Invalid), err)
		require.ErrorContains(t, err, "options lead to another host (https://evil.example.com:443), to which the stored secrets would be sent: set secrets.key")
		require.NotContains(t, err.Error(), "hush")
	}
	require.ErrorContains(t, update(`{"url": "http://api.example.com/v1"}`, nil), "set secrets.key and secrets.token again in the same request", "unencrypted")
	require.ErrorContains(t, update(`{"url": "https://api.example.com:444/v1"}`, nil), "secrets.token again in the same request")
	require.NoError(t, update(`{"url": "https://API.example.com:443/v2"}`, nil), "the host is the same")
	require.NoError(t, update(elsewhere, map[string]*string{"token": &known, "key": nil}))

	d, err := b.store.FindDestination(t.Context(), shop.ID, "api")
	require.NoError(t, err)
	require.Equal(t, map[string]project.SecretState{"token": {Set: true}}, d.Secrets)

	hook, _ := b.webhook(t, shop, "hook")
	_, err = b.store.UpdateDestination(t.Context(), shop.ID, hook.Name, project.DestinationInput{Options: json.RawMessage(elsewhere)})
	require.NoError(t, err, "its secret signs and is never sent")
}
