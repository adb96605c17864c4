package workos_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/provider/workos"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// fake is a WorkOS with n users, and the case of the suite for it.
func fake(tb testing.TB, n int) (*demoprovider.WorkOS, *userapitest.Case) {
	tb.Helper()
	clock := userapitest.NewClock()
	account := demoprovider.NewAccount(n)
	server := demoprovider.NewWorkOS(account, clock.Now)
	base := userapitest.Start(tb, server)
	return server, &userapitest.Case{
		Account: account, Clock: clock, Server: &server.Server, Pages: "/user_management/users", User: "/user_management/users/",
		ID: demoprovider.WorkOSID, Key: "id", Uncounted: true,
		Reject:     func() { server.Key = "sk_another" },
		Credential: "credentials.secret_key",
		Secrets:    []string{demoprovider.WorkOSKey},
		Open: func(d userapi.Deps) userapi.Source {
			source, err := workos.New().NewSource(provider.Credentials{SecretKey: demoprovider.WorkOSKey}, provider.Options{BaseURL: base}, d)
			require.NoError(tb, err)
			return source
		},
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*demoprovider.WorkOS){
		"ByCursor":          func(*demoprovider.WorkOS) {},
		"LostCursorIsEmpty": func(o *demoprovider.WorkOS) { o.LostCursorIsEmpty = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			userapitest.Conformance(t, func(tb testing.TB) *userapitest.Case {
				tb.Helper()
				server, c := fake(tb, 430)
				change(server)
				return c
			})
		})
	}
}

func TestListsThatMisbehave(t *testing.T) {
	t.Parallel()
	userapitest.Misbehaving(t, func(tb testing.TB) *userapitest.Case {
		tb.Helper()
		_, c := fake(tb, 430)
		return c
	}, "LimitIsIgnored", "EverythingAtOnce", "LimitIsCapped", "OneEmptyPage", "UsersNamedTwice", "MoreComeWithEachPage", "CountIsTooLow", "OffsetIsIgnored")
}

// All users read last were deleted: the walk begins anew, and says so; if that happens again and again, it fails.
func TestAPlaceThatIsGone(t *testing.T) {
	t.Parallel()
	_, c := fake(t, 250)
	source := c.Open(c.Clock.Deps())
	page, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	for i := range 100 {
		c.Account.Delete(i)
	}
	page, err = source.Page(t.Context(), page.Next)
	require.NoError(t, err)
	require.True(t, page.Restarted)
	require.Contains(t, page.Note, "read anew")
	ids := c.Walk(t, page.Next, func() userapi.Source { return source }, nil)
	require.Equal(t, c.Want(), ids)

	for cursor, next := "", 0; ; {
		page, err = source.Page(t.Context(), cursor)
		if err != nil {
			break
		}
		require.Less(t, next, 20, "it ends")
		next++
		cursor = page.Next
		for len(page.Users) > 0 { // whoever was read is gone
			for range page.Users {
				c.Account.Create()
			}
			for _, i := range c.Account.Users()[:len(page.Users)] {
				c.Account.Delete(i)
			}
			break
		}
	}
	require.True(t, fault.Is(err, fault.ProviderError), "%v", err)
	require.ErrorContains(t, err, "knows none of the entries read last")
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	_, err := workos.New().NewSource(provider.Credentials{}, provider.Options{}, userapi.Deps{})
	require.ErrorIs(t, err, userapi.ErrNoCredentials)
	_, err = workos.New().NewVerifier(provider.Credentials{SecretKey: "whsec_slip"}, provider.Options{})
	require.ErrorContains(t, err, "credentials.secret_key is no API key of WorkOS")
	require.NotContains(t, err.Error(), "slip")
	_, err = workos.New().NewVerifier(provider.Credentials{SecretKey: demoprovider.WorkOSKey, WebhookSigningSecret: provider.Secrets{"a-secret-that-is-long-enough"}}, provider.Options{BaseURL: "https://api.example.com"})
	require.NoError(t, err)
	_, err = workos.New().NewVerifier(provider.Credentials{Domain: "x.example.com"}, provider.Options{})
	require.ErrorContains(t, err, "credentials.domain is for Auth0 only")
	require.Equal(t, provider.Recipient{Origin: "https://api.workos.com:443", Field: "options.base_url", Credentials: []string{"secret_key"}},
		workos.New().SendsTo(provider.Credentials{}, provider.Options{}))
}
