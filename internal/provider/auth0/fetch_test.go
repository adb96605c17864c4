package auth0_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

func credentials() provider.Credentials {
	return provider.Credentials{Domain: demoprovider.Auth0Domain, ClientID: demoprovider.Auth0ClientID, ClientSecret: demoprovider.Auth0ClientSecret}
}

// fake is an Auth0 tenant with n users, and the case of the suite for it.
func fake(tb testing.TB, n int) (*demoprovider.Auth0, *userapitest.Case) {
	tb.Helper()
	clock := userapitest.NewClock()
	account := demoprovider.NewAccount(n)
	server := demoprovider.NewAuth0(account, clock.Now)
	base := userapitest.Start(tb, server)
	pages, snapshot := "/api/v2/users", false
	if n >= 1000 {
		pages, snapshot = "/exports/", true
	}
	return server, &userapitest.Case{
		Account: account, Clock: clock, Server: &server.Server, Pages: pages, User: "/api/v2/users/", Snapshot: snapshot,
		ID: demoprovider.Auth0ID, Key: "user_id",
		Reject: func() {
			server.Secret = "another"
			server.RevokeTokens()
		},
		Credential: "credentials.client_secret",
		Secrets:    []string{demoprovider.Auth0ClientSecret, "eyJ-token", "s1gned"},
		Open: func(d userapi.Deps) userapi.Source {
			source, err := auth0.New().NewSource(credentials(), provider.Options{BaseURL: base}, d)
			require.NoError(tb, err)
			return source
		},
	}
}

func open(tb testing.TB, c *userapitest.Case) userapi.Source {
	tb.Helper()
	source := c.Open(c.Clock.Deps())
	closer, ok := source.(io.Closer)
	require.True(tb, ok, "the source keeps a download open")
	tb.Cleanup(func() { require.NoError(tb, closer.Close()) })
	return source
}

func TestSource(t *testing.T) {
	t.Parallel()
	for name, setup := range map[string]struct {
		users  int
		change func(*demoprovider.Auth0)
	}{
		"ByList":        {190, func(*demoprovider.Auth0) {}},
		"ByExport":      {1100, func(*demoprovider.Auth0) {}},
		"ByPlainExport": {1100, func(a *demoprovider.Auth0) { a.Plain = true }},
		"BySlowExport":  {1000, func(a *demoprovider.Auth0) { a.Polls = 3 }},
		"OnTheFreePlan": {190, func(a *demoprovider.Auth0) { a.Rate, a.Burst = 2, 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			userapitest.Conformance(t, func(tb testing.TB) *userapitest.Case {
				tb.Helper()
				server, c := fake(tb, setup.users)
				setup.change(server)
				return c
			})
		})
	}
}

// walk reads all pages and returns them.
func walk(t *testing.T, source userapi.Source, c *userapitest.Case, onPage func(n int, p userapi.Page)) []userapi.Page {
	t.Helper()
	var pages []userapi.Page
	for cursor := ""; len(pages) < 10_000; {
		page, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		pages = append(pages, page)
		if onPage != nil {
			onPage(len(pages), page)
		}
		if page.Next == "" {
			return pages
		}
		c.Clock.Advance(page.Wait)
		cursor = page.Next
	}
	require.FailNow(t, "the walk has no end")
	return nil
}

func read(pages []userapi.Page) (users int, bad []userapi.Bad) {
	for _, page := range pages {
		users += len(page.Users)
		bad = append(bad, page.Bad...)
	}
	return users, bad
}

func TestPagesOfLargeUsersAreShort(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1000)
	server.BrokenLines = map[int]string{}
	for line := range 20 {
		server.BrokenLines[line+1] = `{"user_id":"auth0|large","user_metadata":"` + strings.Repeat("x", 1<<20) + `"}`
	}
	pages := walk(t, open(t, c), c, nil)
	got, _ := read(pages)
	require.Equal(t, 1000, got)
	require.Len(t, pages[1].Users, 8, "a page of 8 MiB is enough")
}

func TestTokenIsReplaced(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 10)
	source := open(t, c)
	ask := func() {
		_, _, err := source.Count(t.Context())
		require.NoError(t, err)
	}
	ask()
	ask()
	require.Equal(t, 1, server.Requests("/oauth/token"), "it is kept")
	c.Clock.Advance(24*time.Hour - 4*time.Minute)
	ask()
	require.Equal(t, 2, server.Requests("/oauth/token"), "it is replaced before it expires")
	server.RevokeTokens()
	ask()
	require.Equal(t, 3, server.Requests("/oauth/token"), "it is replaced when it is refused")
	server.Fail(demoprovider.Fault{Path: "/api/v2/users", Status: 401}, demoprovider.Fault{Path: "/api/v2/users", Status: 401})
	_, _, err := source.Count(t.Context())
	require.ErrorContains(t, err, "does not accept its own token")
}

func TestStatedRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 900)
	server.Rate, server.Burst = 2, 2
	got, _ := read(walk(t, open(t, c), c, nil))
	require.Equal(t, 900, got)
	require.Zero(t, server.Limited())
	require.InDelta(t, 9, c.Clock.Slept().Seconds(), 9)
}

func TestRefusalsAreExplained(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*demoprovider.Auth0){
		"Auth0 refuses credentials.client_id or credentials.client_secret": func(a *demoprovider.Auth0) { a.Secret = "another" },
		"authorize it there with the permission read:users":                func(a *demoprovider.Auth0) { a.Unauthorized = true },
		"lacks the permission read:users":                                  func(a *demoprovider.Auth0) { a.Scope = "read:logs" },
		"is not Auth0's": func(a *demoprovider.Auth0) {
			a.Fail(slices.Repeat([]demoprovider.Fault{{Path: "/oauth/token", Status: 200, Body: "<html>", Header: http.Header{"Content-Type": {"text/html"}}}}, 9)...)
		},
		"is not Auth0's: its /oauth/token does not answer as Auth0 does (it answered 404)": func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/oauth/token", Status: 404, Body: "404 page not found"})
		},
		"/oauth/token does not answer as Auth0 does. Give": func(a *demoprovider.Auth0) {
			a.Fail(demoprovider.Fault{Path: "/oauth/token", Status: 200, Body: `{"hello":"world"}`})
		},
	} {
		server, c := fake(t, 10)
		change(server)
		_, _, err := open(t, c).Count(t.Context())
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), demoprovider.Auth0ClientSecret)
	}
}

func TestOnlyABareHostNameIsADomain(t *testing.T) {
	t.Parallel()
	check := func(domain string) error {
		c := credentials()
		c.Domain = domain
		_, err := auth0.New().NewVerifier(c, provider.Options{})
		return err
	}
	for _, good := range []string{"shop.eu.auth0.com", "login.example.com", "SHOP.auth0.com"} {
		require.NoError(t, check(good), good)
	}
	for _, bad := range []string{
		"https://shop.auth0.com", "shop.auth0.com/", "shop.auth0.com/api/v2", "shop.auth0.com:443", "ada@shop.auth0.com", "shop", " shop.auth0.com",
		"shop..auth0.com", "-shop.auth0.com", "127.0.0.1", "[::1]", "shop.auth0.com?x", "shop_auth0.com", strings.Repeat("a.", 200) + "com",
	} {
		require.ErrorContains(t, check(bad), "give the bare host name", bad)
	}
}

func TestNewSourceSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := auth0.New().NewSource(provider.Credentials{Domain: demoprovider.Auth0Domain}, provider.Options{}, userapi.Deps{})
	require.ErrorIs(t, err, userapi.ErrNoCredentials)
	require.ErrorContains(t, err, "missing: credentials.client_id, credentials.client_secret (")
	_, err = auth0.New().NewVerifier(provider.Credentials{SecretKey: "sk_test_x"}, provider.Options{})
	require.EqualError(t, err, "credentials.secret_key is for Clerk and WorkOS only")
}
