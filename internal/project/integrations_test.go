package project_test

import (
	"encoding/json"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/egress"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/project"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/seal"
)

const (
	clerkSecret    = "whsec_a2V5IG9mIHRoZSB0ZXN0cyBvZiBwcm9qZWN0cw=="
	clerkSecretKey = "sk_test_abcdefghijklmnopqrstuvwxyz0123456789"
)

func TestIntegrationIsStoredSealedAndShownWithoutSecrets(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")

	i, err := b.store.PutIntegration(t.Context(), shop.ID, "auth0",
		credentials(t, `{"webhook_signing_secret": ["first-secret-of-auth0", "second-secret-of-auth0"]}`),
		json.RawMessage(`{"absent_fields": "clear"}`))
	require.NoError(t, err)
	require.Equal(t, []string{someURL, someURL}, b.mirror.urls, "by the project, and again by the integration")
	require.Equal(t, "auth0", i.Provider)
	require.Equal(t, map[string]project.CredentialState{"webhook_signing_secret": {Set: true, Count: 2}}, i.Credentials)
	require.Equal(t, provider.Options{AbsentFields: provider.ClearAbsent}, i.Options)
	require.NotZero(t, i.CreatedAt)

	found, err := b.store.FindIntegration(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.Equal(t, i, found)

	stored, options, err := b.store.Credentials(t.Context(), shop.ID, "auth0")
	require.NoError(t, err)
	require.Equal(t, provider.Secrets{"first-secret-of-auth0", "second-secret-of-auth0"}, stored.WebhookSigningSecret)
	require.Equal(t, i.Options, options)
	_, _, err = b.store.Credentials(t.Context(), shop.ID, "clerk")
	require.ErrorIs(t, err, project.ErrNoIntegration)

	var row string
	require.NoError(t, b.pool.QueryRow(t.Context(),
		`SELECT encode(credentials_sealed, 'escape') || options FROM authsync.integrations`).Scan(&row))
	require.NotContains(t, row, "secret-of-auth0")
}

func TestCredentialsComeInAnyOrderAndAreMerged(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	put := func(text string) map[string]project.CredentialState {
		i, err := b.store.PutIntegration(t.Context(), shop.ID, "clerk", credentials(t, text), nil)
		require.NoError(t, err)
		return i.Credentials
	}
	both := map[string]project.CredentialState{"webhook_signing_secret": {Set: true, Count: 1}, "secret_key": {Set: true}}

	require.Equal(t, map[string]project.CredentialState{"webhook_signing_secret": {}, "secret_key": {Set: true}},
		put(`{"secret_key": "`+clerkSecretKey+`"}`))
	require.Equal(t, both, put(`{"webhook_signing_secret": "`+clerkSecret+`"}`))
	require.Equal(t, both, put(`{}`), "nothing given changes nothing")
	require.Equal(t, map[string]project.CredentialState{"webhook_signing_secret": {Set: true, Count: 1}}, put(`{"secret_key": null}`))
	require.Equal(t, map[string]project.CredentialState{"webhook_signing_secret": {}}, put(`{"webhook_signing_secret": []}`))
}

func TestASecretIsChangedWithoutKnowingTheOld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.project(t, "shop")
	put := func(value string) provider.Secrets {
		_, err := b.store.PutIntegration(t.Context(), p.ID, provider.Auth0, credentials(t, `{"webhook_signing_secret": `+value+`}`), nil)
		require.NoError(t, err)
		stored, _, err := b.store.Credentials(t.Context(), p.ID, provider.Auth0)
		require.NoError(t, err)
		return stored.WebhookSigningSecret
	}
	const one, two = "first-secret-of-auth0", "second-secret-of-auth0"
	require.Empty(t, put(`{"keep": 1}`))
	require.Equal(t, provider.Secrets{one}, put(`{"add": "`+one+`"}`))
	require.Equal(t, provider.Secrets{two, one}, put(`{"add": "`+two+`"}`), "the newest is the first, which signs")
	require.Equal(t, provider.Secrets{one, two}, put(`{"add": "`+one+`"}`), "none is there twice")
	require.Equal(t, provider.Secrets{one, two}, put(`{"keep": 3}`))
	require.Equal(t, provider.Secrets{one}, put(`{"keep": 1}`))
}

func TestOptionsAreReplacedWhenGiven(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for _, step := range []struct {
		given json.RawMessage
		want  provider.Options
	}{
		{nil, provider.Options{}},
		{
			json.RawMessage(`{"absent_fields":"clear","signature_formats":["standard_webhooks"]}`),
			provider.Options{AbsentFields: "clear", SignatureFormats: []string{"standard_webhooks"}},
		},
		{nil, provider.Options{AbsentFields: "clear", SignatureFormats: []string{"standard_webhooks"}}},
		{json.RawMessage(`{"absent_fields":"keep"}`), provider.Options{AbsentFields: "keep"}},
		{json.RawMessage(`null`), provider.Options{}},
	} {
		i, err := b.store.PutIntegration(t.Context(), shop.ID, "better-auth", nil, step.given)
		require.NoError(t, err)
		require.Equal(t, "better_auth", i.Provider)
		require.Equal(t, step.want, i.Options, "after %s", step.given)
	}
}

func TestDatabaseURLOfTheSourceIsSealed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	given := json.RawMessage(`{"source": {"database_url": "postgres://u:hush@db.example.com/app", "user_table": "people"}}`)
	i, err := b.store.PutIntegration(t.Context(), shop.ID, "better-auth", nil, given)
	require.NoError(t, err)
	require.Equal(t, provider.Options{Source: &provider.UserTables{UserTable: "people"}}, i.Options)
	require.True(t, i.Credentials["database_url"].Set)
	var stored string
	require.NoError(t, b.pool.QueryRow(t.Context(), `SELECT i::text FROM authsync.integrations AS i`).Scan(&stored))
	require.NotContains(t, stored, "hush")

	i, err = b.store.PutIntegration(t.Context(), shop.ID, "better-auth", nil, json.RawMessage(`{"source": {"database_url": null}}`))
	require.NoError(t, err)
	require.Equal(t, provider.Options{Source: &provider.UserTables{}}, i.Options)
	require.False(t, i.Credentials["database_url"].Set, "null goes back to the project's own database")
}

func TestBadIntegrationsAreRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for name, bad := range map[string]struct{ provider, credentials, options, want string }{
		"UnknownProvider":   {"okta", `{}`, ``, "auth0, clerk, better_auth"},
		"UnknownCredential": {"clerk", `{"signing_secret": "s3cret"}`, ``, `unknown credential "signing_secret": must be one of client_id, client_secret, database_url, domain, secret_key, session_token, webhook_authorization, webhook_signing_secret`},
		"CapitalLetters":    {"clerk", `{"Secret_Key": "s3cret"}`, ``, `unknown credential "Secret_Key"`},
		"WrongForm":         {"clerk", `{"webhook_signing_secret": {"s3cret": 1}}`, ``, "webhook_signing_secret has the wrong form: must be a string, an array of strings, {\"add\": \"…\"}"},
		"TwoRotations":      {"clerk", `{"webhook_signing_secret": {"add": "whsec_YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh", "keep": 1}}`, ``, "webhook_signing_secret has the wrong form"},
		"KeepNone":          {"clerk", `{"webhook_signing_secret": {"keep": 0}}`, ``, "webhook_signing_secret has the wrong form"},
		"NoRotation":        {"clerk", `{"webhook_signing_secret": {}}`, ``, "webhook_signing_secret has the wrong form"},
		"NumberAsSecret":    {"clerk", `{"secret_key": 3333}`, ``, "secret_key has the wrong form: must be a string"},
		"TypingErrorInside": {"auth0", `{"webhook_authorization": {"method": "bearer", "tokne": "s3cret"}}`, ``, "webhook_authorization has the wrong form"},
		"EmptySecret":       {"auth0", `{"webhook_signing_secret": ""}`, ``, "webhook_signing_secret is empty"},
		"OtherProvidersOwn": {"clerk", `{"webhook_authorization": {"method": "bearer", "token": "s3cret"}}`, ``, "for Auth0 only"},
		"UnknownOption":     {"auth0", `{}`, `{"absent": 1}`, `unknown option "absent": must be one of absent_fields, base_url, definition, exclude, heal, provision, pull, reconcile, record_types, signature_formats, silence, source`},
		"WrongRecordType":   {"clerk", `{}`, `{"record_types": ["users", "teams"]}`, `options.record_types holds "teams"`},
		"WithoutUsers":      {"clerk", `{}`, `{"record_types": ["sessions"]}`, `options.record_types lacks "users"`},
		"NoListOfTypes":     {"clerk", `{}`, `{"record_types": "users"}`, "must be an array of strings"},
		"WrongOption":       {"auth0", `{}`, `{"absent_fields": "s3cret"}`, `takes "keep"`},
		"WrongOptionForm":   {"auth0", `{}`, `{"signature_formats": 1}`, "options.signature_formats has the wrong form: must be an array of strings"},
		"WrongSchedule":     {"clerk", `{}`, `{"reconcile": {"every": "tomorrow"}}`, `options.reconcile.every is "tomorrow": it takes a number and h, d or w`},
		"ScheduleTooOften":  {"clerk", `{}`, `{"reconcile": {"every": "0h"}}`, "from \"1h\" to \"52w\""},
		"ScheduleTooRare":   {"clerk", `{}`, `{"reconcile": {"every": "53w"}}`, "from \"1h\" to \"52w\""},
		"ScheduleNegative":  {"clerk", `{}`, `{"reconcile": {"every": "-1d"}}`, "from \"1h\" to \"52w\""},
		"WrongShare":        {"clerk", `{}`, `{"reconcile": {"max_deleted_percent": 101}}`, "options.reconcile.max_deleted_percent is 101: it takes a number from 0 to 100"},
		"UnknownOfSchedule": {"clerk", `{}`, `{"reconcile": {"evry": "24h"}}`, "options.reconcile has the wrong form: must be an object with every"},
		"OptionsNoObject":   {"auth0", `{}`, `[]`, "options must be an object"},
		"NumberAsURL":       {"better-auth", `{}`, `{"source": {"database_url": 3333}}`, "options.source.database_url has the wrong form: must be a string"},
		"URLWithoutUser":    {"better-auth", `{"database_url": "postgres://db.example.com/app"}`, `{"source": {}}`, "credentials.database_url has no user"},
		"TwoURLs":           {"better-auth", `{"database_url": "postgres://s3cret"}`, `{"source": {"database_url": "postgres://s3cret-too"}}`, "database_url is set twice"},
		"PrivateBaseURL":    {"better-auth", `{}`, `{"base_url": "https://10.0.0.5/s3cret"}`, "options.base_url: https://10.0.0.5 is a private address (10.0.0.0/8)"},
		"PlainBaseURL":      {"better-auth", `{}`, `{"base_url": "http://app.example.com/s3cret"}`, "options.base_url: http://app.example.com is not encrypted"},
		"DomainOfThisHost":  {"auth0", `{"domain": "auth.localhost"}`, ``, "credentials.domain: https://auth.localhost is this machine itself"},
		"ForeignCredential": {"clerk", `{"session_token": "s3cret"}`, ``, "credentials.session_token is for Better Auth only"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var options json.RawMessage
			if bad.options != "" {
				options = json.RawMessage(bad.options)
			}
			_, err := b.store.PutIntegration(t.Context(), shop.ID, bad.provider, credentials(t, bad.credentials), options)
			require.True(t, fault.Is(err, fault.Invalid), err)
			require.ErrorContains(t, err, bad.want)
			if name != "WrongOption" { // an option is no secret
				require.NotContains(t, err.Error(), "s3cret")
			}
			require.NotContains(t, err.Error(), "3333")
		})
	}
}

// The operator may shorten the list of private targets at any time; a secret can
// be changed all the same.
func TestAddressesThatStayAreNotCheckedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	before := storeAllowing(t, b, egress.Targets{Names: []string{"web"}}, b.key)
	_, err := before.PutIntegration(t.Context(), shop.ID, "better-auth", nil, json.RawMessage(`{"base_url": "http://web:3000"}`))
	require.NoError(t, err, "the operator allows it")

	_, err = b.store.PutIntegration(t.Context(), shop.ID, "better-auth", credentials(t, `{"webhook_signing_secret": "`+clerkSecret+`"}`), nil)
	require.NoError(t, err)
	_, err = b.store.PutIntegration(t.Context(), shop.ID, "better-auth", credentials(t, `{"session_token": "s3cret"}`), nil)
	require.True(t, fault.Is(err, fault.Invalid), "what would be sent there is checked: %v", err)
}

func TestIntegrationsAreListedAndDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for _, name := range []string{"clerk", "auth0"} {
		_, err := b.store.PutIntegration(t.Context(), shop.ID, name, nil, nil)
		require.NoError(t, err)
	}
	list, err := b.store.ListIntegrations(t.Context(), shop.ID)
	require.NoError(t, err)
	require.Len(t, list, 2)
	require.Equal(t, "auth0", list[0].Provider)

	require.NoError(t, b.store.DeleteIntegration(t.Context(), shop.ID, "auth0"))
	require.ErrorIs(t, b.store.DeleteIntegration(t.Context(), shop.ID, "auth0"), project.ErrNoIntegration)
	_, err = b.store.FindIntegration(t.Context(), shop.ID, "auth0")
	require.ErrorIs(t, err, project.ErrNoIntegration)
	list, err = b.store.ListIntegrations(t.Context(), shop.ID)
	require.NoError(t, err)
	require.Len(t, list, 1)

	_, err = b.store.ListIntegrations(t.Context(), uuid.New())
	require.ErrorIs(t, err, project.ErrNoProject)
	_, err = b.store.PutIntegration(t.Context(), uuid.New(), "auth0", nil, nil)
	require.ErrorIs(t, err, project.ErrNoProject)
}

// Without the lock on the project, of two credentials put at once one is lost.
func TestCredentialsPutAtOnceAreAllKept(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop := b.project(t, "shop")
	for range 20 {
		var wg sync.WaitGroup
		for _, text := range []string{`{"secret_key": "` + clerkSecretKey + `"}`, `{"webhook_signing_secret": "` + clerkSecret + `"}`} {
			given := credentials(t, text)
			wg.Go(func() {
				_, err := b.store.PutIntegration(t.Context(), shop.ID, "clerk", given, nil)
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		i, err := b.store.FindIntegration(t.Context(), shop.ID, "clerk")
		require.NoError(t, err)
		require.True(t, i.Credentials["secret_key"].Set && i.Credentials["webhook_signing_secret"].Set, "%v", i.Credentials)
		require.NoError(t, b.store.DeleteIntegration(t.Context(), shop.ID, "clerk"))
	}
}

func TestResealMakesTheOldKeySuperfluous(t *testing.T) {
	t.Parallel()
	b := setup(t)
	shop, other := b.project(t, "shop"), b.project(t, "other")
	_, err := b.store.PutIntegration(t.Context(), shop.ID, "clerk", credentials(t, `{"webhook_signing_secret": "`+clerkSecret+`"}`), nil)
	require.NoError(t, err)

	newKey := seal.NewKey()
	n, err := storeWithKeys(t, b, newKey, b.key).Reseal(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, n)
	n, err = storeWithKeys(t, b, newKey, b.key).Reseal(t.Context())
	require.NoError(t, err)
	require.Zero(t, n, "a second time finds nothing to do")

	after := storeWithKeys(t, b, newKey)
	for _, p := range []project.Project{shop, other} {
		full, err := after.DatabaseURL(t.Context(), p.ID)
		require.NoError(t, err)
		require.Equal(t, someURL, full)
	}
	i, err := after.FindIntegration(t.Context(), shop.ID, "clerk")
	require.NoError(t, err)
	require.Equal(t, 1, i.Credentials["webhook_signing_secret"].Count)

	_, err = b.store.DatabaseURL(t.Context(), shop.ID)
	require.ErrorIs(t, err, seal.ErrUnknownKey)
	i, err = b.store.FindIntegration(t.Context(), shop.ID, "clerk")
	require.NoError(t, err, "what cannot be opened is shown with its fault")
	require.Nil(t, i.Credentials)
	require.Contains(t, i.Fault, "sealed with a key that is not configured")
}

func TestResealPassesOverWhatItCannotOpen(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lost := b.project(t, "lost")
	newKey, oldKey := seal.NewKey(), seal.NewKey()
	fine, err := storeWithKeys(t, b, oldKey).CreateProject(t.Context(), "fine", someURL, false)
	require.NoError(t, err)

	n, err := storeWithKeys(t, b, newKey, oldKey).Reseal(t.Context())
	require.Equal(t, 1, n)
	require.ErrorIs(t, err, seal.ErrUnknownKey)
	require.ErrorContains(t, err, lost.ID.String())
	_, err = storeWithKeys(t, b, newKey).DatabaseURL(t.Context(), fine.ID)
	require.NoError(t, err)
}
