package project_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
)

const anySecret = `{"webhook_signing_secret": "a-secret-of-acme-that-is-long-enough"}`

// definition is one of a provider of a tenant's own, in which a type is ignored for a reason.
func definition(t *testing.T, reason string) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(map[string]any{"definition": map[string]any{
		"signature": map[string]any{"scheme": "hmac", "header": "X-Signature"},
		"types":     map[string]string{"user.created": "user.created"},
		"ignore":    map[string]string{"login": reason},
		"records":   map[string]any{"user": map[string]string{"id": ".id"}},
	}})
	require.NoError(t, err)
	return text
}

func TestAProjectHasALimitedNumberOfProvidersOfItsOwn(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	for i := range 20 {
		_, err := b.store.PutIntegration(t.Context(), shop.ID, fmt.Sprintf("custom:p%d", i), credentials(t, anySecret), definition(t, "it is none"))
		require.NoError(t, err)
	}
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:p20", credentials(t, anySecret), definition(t, "it is none"))
	require.True(t, fault.Is(err, fault.Invalid), "%v", err)
	require.ErrorContains(t, err, "at most 20")
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "custom:p7", nil, definition(t, "it is one still"))
	require.NoError(t, err, "those that exist are changed")
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "clerk", nil, nil)
	require.NoError(t, err, "others are not counted")
	_, err = b.store.PutIntegration(t.Context(), other.ID, "custom:p20", credentials(t, anySecret), definition(t, "it is none"))
	require.NoError(t, err, "nor are those of other projects")
}

func TestADefinitionThatPostgreSQLCannotHoldIsRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for _, half := range []string{`\u0000`, `\ud800`} { // the API refuses the first already
		text := strings.Replace(string(definition(t, "HALF")), "HALF", half, 1)
		_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:acme", credentials(t, anySecret), json.RawMessage(text))
		require.True(t, fault.Is(err, fault.Invalid), "%v", err)
	}
}

// The directory opens the integrations of all tenants one after the other, so that it must not do what one of them makes slow.
func TestTheDirectoryCompilesNoExpression(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:acme", credentials(t, anySecret), definition(t, "it is none"))
	require.NoError(t, err)
	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.integrations SET options = jsonb_set(options, '{definition,records,user,id}', '".id |"')`)
	require.NoError(t, err)
	d := b.directory(t, project.DirectoryConfig{})
	endpoint, err := d.Lookup(t.Context(), shop.ID, "custom:acme")
	require.NoError(t, err)
	_, err = endpoint.Verifier.Verify(http.Header{}, nil, time.Now())
	require.ErrorIs(t, err, provider.ErrMissingSignature)
	events := endpoint.Provider.Decode(provider.Message{Body: []byte(`{}`)}, endpoint.Options)
	require.Contains(t, events[0].Reason, "options.definition.records.user.id: this is no jq expression")
}

// What a tenant can make costly is done before anything is locked, and only for what is new.
func TestExpressionsAreCompiledBeforeTheTransaction(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:acme", credentials(t, anySecret), definition(t, "it is none"))
	require.NoError(t, err)
	broken := strings.Replace(string(definition(t, "it is none")), `".id"`, `".id |"`, 1)

	locked, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = locked.Exec(t.Context(), `SELECT FROM authsync.projects WHERE id = $1 FOR UPDATE`, shop.ID)
	require.NoError(t, err)
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "custom:acme", nil, json.RawMessage(broken))
	require.ErrorContains(t, err, "options.definition.records.user.id: this is no jq expression", "it is refused without a lock")
	require.NoError(t, locked.Rollback(t.Context()))

	_, err = b.pool.Exec(t.Context(), `UPDATE authsync.integrations SET options = $1`, broken)
	require.NoError(t, err)
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "custom:acme", credentials(t, anySecret), nil)
	require.NoError(t, err, "a new secret compiles nothing")
}

// keys fail the test if they are asked for.
type keys struct{ t *testing.T }

func (k keys) Find(string, string) ([]provider.PublicKey, error) {
	k.t.Error("keys were fetched")
	return nil, provider.ErrKeysUnavailable
}

// What tells the secret of another integration is no reason for a stranger's request to wait.
func TestOthersFetchNoKeys(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "custom:own", credentials(t, anySecret), definition(t, "it is none"))
	require.NoError(t, err)
	text := strings.Replace(string(definition(t, "it is none")), `{"header":"X-Signature","scheme":"hmac"}`,
		`{"scheme":"jwt_body","algorithms":["RS256"],"key_set_url":"https://keys.example.com/jwks"}`, 1)
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "custom:keys", nil, json.RawMessage(text))
	require.NoError(t, err)
	d := b.directory(t, project.DirectoryConfig{Keys: func(uuid.UUID) provider.PublicKeys { return keys{t} }})
	_, err = d.Lookup(t.Context(), shop.ID, "custom:keys")
	require.NoError(t, err)
	others := d.Others(shop.ID, "clerk")
	require.Len(t, others, 1)
	require.Equal(t, "custom:own", others[0].Provider.Name())
}
