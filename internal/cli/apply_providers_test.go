package cli

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/client"
	"github.com/authsync/authsync/internal/config"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/strictyaml"
	"github.com/authsync/authsync/internal/testkit/pgtest"
)

// part is what can be said of an integration only together.
type part struct {
	credentials, options map[string]any
}

// providerParts are all credentials and options that there are; a provider takes those of its own. address answers nothing of use.
func providerParts(address, database string) []part {
	credential := func(namesAndValues ...any) part { return part{credentials: object(namesAndValues)} }
	option := func(namesAndValues ...any) part { return part{options: object(namesAndValues)} }
	definition := map[string]any{
		"signature": map[string]any{"scheme": "bearer"}, "event": map[string]any{"type": ".type"}, "types": map[string]any{"user.created": "user.created"},
		"records": map[string]any{"user": map[string]any{"id": ".id", "email": ".mail"}},
	}
	return []part{
		option("definition", definition),
		option("base_url", "https://auth.example.com"), option("base_url", address), // keys are fetched from https only
		credential("webhook_signing_secret", []string{"whsec_dGVzdGluZy1vbmx5LWtleS0wMDAx", "whsec_dGVzdGluZy1vbmx5LWtleS0wMDAy"}),
		credential("webhook_authorization", map[string]any{"method": "basic", "username": "u", "password": "a long password of Auth0's"}),
		credential("secret_key", "sk_test_a-long-key-of-this-test"),
		credential("domain", "shop.eu.auth0.com", "client_id", "an-id-of-this-test", "client_secret", "a long client secret of this test"),
		{credentials: object([]any{"database_url", database}), options: map[string]any{"source": map[string]any{"schema": "public"}}},
		credential("session_token", "a long session token of this test"),
		option("absent_fields", "clear"), option("signature_formats", []string{"standard_webhooks"}), option("record_types", []string{"users", "organizations"}),
		option("pull", true), option("exclude", []string{"last_ip"}), option("reconcile", map[string]any{"every": "never", "max_deleted_percent": 7.5}),
		option("heal", map[string]any{"reenable": true}), option("silence", map[string]any{"after": "6h"}),
	}
}

func object(namesAndValues []any) map[string]any {
	made := map[string]any{}
	for i := 0; i < len(namesAndValues); i += 2 {
		name, _ := namesAndValues[i].(string)
		made[name] = namesAndValues[i+1]
	}
	return made
}

// fullest makes an integration with as much as its provider takes.
func (b *testBundle) fullest(t *testing.T, c *client.Client, name string, parts []part) part {
	t.Helper()
	taken := part{map[string]any{}, map[string]any{}}
	var refusals []string
	for _, p := range parts {
		tried := part{maps.Clone(taken.credentials), maps.Clone(taken.options)}
		maps.Copy(tried.credentials, p.credentials)
		maps.Copy(tried.options, p.options)
		err := c.Do(t.Context(), http.MethodPut, "/projects/shop/integrations/"+name, map[string]any{"credentials": tried.credentials, "options": tried.options}, nil)
		if err == nil {
			taken = tried
			continue
		}
		require.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, client.Status(err), "%s: %v", name, err)
		refusals = append(refusals, err.Error())
	}
	require.NotEmpty(t, taken.options, "%s takes nothing: %s", name, strings.Join(refusals, "\n"))
	t.Logf("%s takes %v and %v", name, slices.Sorted(maps.Keys(taken.credentials)), slices.Sorted(maps.Keys(taken.options)))
	return taken
}

// Each provider that there is, with all credentials and options that it takes: what one server has, an exported file makes on another.
func TestEveryProviderIsTheSameElsewhere(t *testing.T) {
	t.Parallel()
	first, second := setupEmpty(t), setupEmpty(t)
	first.must(t, "projects", "create", "shop", "--database-url-env", "SHOP_DATABASE_URL")
	source := pgtest.Empty(t)
	_, err := source.Exec(t.Context(), `CREATE TABLE public."user" (id text PRIMARY KEY, email text, name text, "emailVerified" boolean, image text,
		"createdAt" timestamptz, "updatedAt" timestamptz)`)
	require.NoError(t, err)
	parts := providerParts(sink(t), pgtest.URL(t, source))
	c := client.New(first.env["AUTHSYNC_URL"], config.Secret(first.env["AUTHSYNC_API_KEY"]))
	t.Cleanup(c.Close)

	values, met := map[string]string{"SHOP_DATABASE_URL": second.env["SHOP_DATABASE_URL"]}, map[string]bool{}
	for _, name := range slices.Concat(provider.Names(), provider.Presets(), []string{provider.CustomPrefix + "acme"}) {
		taken := first.fullest(t, c, name, parts)
		for option := range taken.options {
			met["option "+option] = true
		}
		for credential, value := range taken.credentials {
			met["credential "+credential] = true
			variable := strings.ToUpper(strings.Join([]string{"SHOP", strings.NewReplacer("-", "_", ":", "_").Replace(name), credential}, "_"))
			values[variable] = entered(t, value)
		}
	}
	met["option provision"] = true // which asks the provider itself
	for kind, of := range map[string]reflect.Type{"credential ": reflect.TypeFor[provider.Credentials](), "option ": reflect.TypeFor[provider.Options]()} {
		for field := range strictyaml.Fields(of) {
			require.True(t, met[kind+field], "no provider takes %s%s here: add it to providerParts", kind, field)
		}
	}

	exported := first.must(t, "export", "shop")
	satisfiesSchema(t, exported)
	for _, value := range values {
		require.NotContains(t, exported, strings.Split(value, "\n")[0])
	}
	file := configFile(t, exported)
	first.equal(t, file)
	maps.Copy(second.env, values)
	second.must(t, "apply", "-f", file)
	second.equal(t, file)
	require.Equal(t, exported, second.must(t, "export", "shop"))
}

// entered is a credential as a person writes it into a variable.
func entered(t *testing.T, value any) string {
	t.Helper()
	switch value := value.(type) {
	case string:
		return value
	case []string:
		return strings.Join(value, "\n")
	default:
		text, err := json.Marshal(value)
		require.NoError(t, err)
		return string(text)
	}
}
