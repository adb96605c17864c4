package auth0_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/userapi"
)

func TestEventsOfAnotherTenantAreIgnored(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		account, tenant string
		want            provider.Verdict
	}{
		"TheSame":      {"https://acme.eu.auth0.com", `"a0tenant": "acme", `, provider.Apply},
		"Another":      {"https://acme.eu.auth0.com", `"a0tenant": "acme-dev", `, provider.Ignore},
		"Unsaid":       {"https://acme.eu.auth0.com", ``, provider.Apply},
		"OwnDomain":    {"https://login.acme.com", `"a0tenant": "acme-dev", `, provider.Apply},
		"NothingKnown": {"", `"a0tenant": "acme-dev", `, provider.Apply},
		"OurOwnSample": {"https://acme.eu.auth0.com", `"a0tenant": "authsync-sample", `, provider.Apply},
	} {
		e := auth0.New().Decode(provider.Message{ReceivedAt: time.Now(), Account: tc.account, Body: []byte(
			`{"type": "user.created", "id": "evt_1", "time": "2026-05-04T10:20:30Z", ` + tc.tenant + `"data": {"object": {"user_id": "auth0|1"}}}`,
		)}, provider.Options{})[0]
		require.Equal(t, tc.want, e.Verdict, "%s: %s", name, e.Reason)
		if tc.want == provider.Ignore {
			require.Regexp(t, "^it is of another Auth0 tenant", e.Reason, "authsync doctor looks for it")
		}
	}
}

func TestAccountMarkIsTheTenant(t *testing.T) {
	t.Parallel()
	mark := func(domain, base string) string {
		source, err := auth0.New().NewSource(provider.Credentials{Domain: domain, ClientID: "id", ClientSecret: "a secret of the application"},
			provider.Options{BaseURL: base}, userapi.Deps{})
		require.NoError(t, err)
		mark, err := userapi.AccountMarkOf(t.Context(), source)
		require.NoError(t, err)
		return mark
	}
	require.Equal(t, "https://acme.eu.auth0.com", mark("acme.eu.auth0.com", ""))
	require.Equal(t, mark("acme.eu.auth0.com", ""), mark("ACME.eu.auth0.com", ""), "names of hosts have no case")
	require.NotEqual(t, mark("acme.eu.auth0.com", ""), mark("acme-dev.eu.auth0.com", ""))
}
