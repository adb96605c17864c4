package betterauth_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/betterauth"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// fake is a Better Auth server with n users, and the case of the suite for it.
func fake(tb testing.TB, n int) (*demoprovider.BetterAuth, *userapitest.Case) {
	tb.Helper()
	clock := userapitest.NewClock()
	account := demoprovider.NewAccount(n)
	server := demoprovider.NewBetterAuth(account, clock.Now)
	base := userapitest.Start(tb, server)
	return server, &userapitest.Case{
		Account: account, Clock: clock, Server: &server.Server, Pages: "/admin/list-users", User: "/admin/get-user",
		ID: demoprovider.BetterAuthID, Key: "id",
		Reject:     func() { server.Token = "another" },
		Credential: "credentials.session_token",
		Secrets:    []string{demoprovider.BetterAuthToken},
		Open: func(d userapi.Deps) userapi.Source {
			source, err := betterauth.New().NewSource(provider.Credentials{SessionToken: demoprovider.BetterAuthToken}, provider.Options{BaseURL: base}, d)
			require.NoError(tb, err)
			return source
		},
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	userapitest.Conformance(t, func(tb testing.TB) *userapitest.Case {
		tb.Helper()
		_, c := fake(tb, 1100)
		return c
	})
}

func TestEmptyListWithoutTheLimitIsTrouble(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1700)
	source := c.Open(c.Clock.Deps())
	first, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	server.BrokenDatabase = true
	for _, cursor := range []string{"", first.Next} {
		_, err = source.Page(t.Context(), cursor)
		require.True(t, fault.Is(err, fault.ProviderUnavailable), err)
		require.ErrorContains(t, err, "does not repeat the limit")
	}
	_, _, err = source.Count(t.Context())
	require.Error(t, err)
	server.BrokenDatabase = false
	_, err = source.Page(t.Context(), first.Next)
	require.NoError(t, err)
}

func TestListThatEndsTooEarlyIsTrouble(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1700)
	server.Missing = 300
	source := c.Open(c.Clock.Deps())
	cursor, got := "", 0
	for {
		page, err := source.Page(t.Context(), cursor)
		if err != nil {
			require.ErrorContains(t, err, "counts 1700: it ends at position 1400")
			require.Equal(t, 1400, got)
			require.True(t, fault.Is(err, fault.ProviderError), err)
			return
		}
		require.NotEmpty(t, page.Next)
		got += len(page.Users)
		cursor = page.Next
	}
}

func TestUsersCreatedMeanwhileAreAskedForAtTheEnd(t *testing.T) {
	t.Parallel()
	_, c := fake(t, 600)
	source := c.Open(c.Clock.Deps())
	var pages []userapi.Page
	for cursor := ""; len(pages) == 0 || cursor != ""; {
		page, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		pages = append(pages, page)
		cursor = page.Next
		if strings.Contains(cursor, "newest") { // all have been walked over by now
			c.Account.CreateAt(c.Clock.Now().Add(-time.Minute))
		}
	}
	require.Len(t, pages, 4)
	require.Empty(t, pages[2].Users, "the end of the list")
	require.Len(t, pages[3].Users, 1, "and no one who was there before")
	require.Contains(t, string(pages[3].Users[0].Object), demoprovider.BetterAuthID(600))
}

func TestAddressMayHaveAPath(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	base := userapitest.Start(t, server)
	for path, want := range map[string]bool{"": true, "/": true, "//": true, "//api//auth//": true, "/api/auth": true, "/api/auth/": true, "/auth": false} {
		source, err := betterauth.New().NewSource(provider.Credentials{SessionToken: demoprovider.BetterAuthToken}, provider.Options{BaseURL: base + path}, c.Clock.Deps())
		require.NoError(t, err)
		_, _, err = source.Count(t.Context())
		if want {
			require.NoError(t, err, path)
			continue
		}
		require.ErrorContains(t, err, "options.base_url")
		require.ErrorContains(t, err, "plugin admin")
	}
}

func TestRefusalsAreExplained(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	server.NotAdmin = true
	_, _, err := c.Open(c.Clock.Deps()).Count(t.Context())
	require.EqualError(t, err, "the user of credentials.session_token may not list and read users (403): give that user the role admin, or another with the "+
		"permissions user:list and user:get. The server says: YOU_ARE_NOT_ALLOWED_TO_LIST_USERS You are not allowed to list users")
	server.NotAdmin, server.Token = false, "another"
	_, _, err = c.Open(c.Clock.Deps()).Count(t.Context())
	require.ErrorContains(t, err, "by default after 7 days")
}

func TestAnswersOfAnotherShapeAreRefused(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	source := c.Open(c.Clock.Deps())
	for _, body := range []string{`[]`, `{"users":null,"total":0,"limit":500}`, `{"users":[],"limit":500}`, `{"users":[],"total":-1,"limit":500}`, `{"users":[],"total":0,"limit":"500"}`, `{`} {
		server.Fail(slices.Repeat([]demoprovider.Fault{{Status: 200, Body: body}}, 4)...)
		_, err := source.Page(t.Context(), "")
		require.Error(t, err, body)
	}
	page, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, page.Users, 3)
	server.Fail(demoprovider.Fault{Status: 200, Body: `{"users":[{"id":7,"createdAt":"2026-01-01T00:00:00.000Z"},{"name":"x"},null],"total":3,"limit":500}`})
	page, err = source.Page(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, page.Users, 1, "an id may be a number")
	require.Equal(t, []userapi.Bad{{Place: "entry 2", Reason: "the object has no id"}, {Place: "entry 3", Reason: "it is null, not an object"}}, page.Bad)
}

func TestNewSourceSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := betterauth.New().NewSource(provider.Credentials{}, provider.Options{}, userapi.Deps{})
	require.ErrorIs(t, err, userapi.ErrNoCredentials)
	require.ErrorContains(t, err, "missing: options.base_url, credentials.session_token (or options.source")
	_, err = betterauth.New().NewSource(provider.Credentials{}, provider.Options{Source: &provider.UserTables{}}, userapi.Deps{})
	require.ErrorContains(t, err, "cannot be read from here")

	opened := errors.New("opened")
	_, err = betterauth.New().NewSource(provider.Credentials{DatabaseURL: "postgres://x"}, provider.Options{Source: &provider.UserTables{UserTable: "people"}},
		userapi.Deps{SQL: func(url provider.Secret, tables provider.UserTables) (userapi.Source, error) {
			require.Equal(t, provider.Secret("postgres://x"), url)
			require.Equal(t, "people", tables.UserTable)
			return nil, opened
		}})
	require.ErrorIs(t, err, opened)

	long := strings.Repeat("x", 64)
	for want, o := range map[string]provider.Options{
		"must begin with https://":      {BaseURL: "ftp://app.example.com"},
		"user_table is no name":         {Source: &provider.UserTables{UserTable: long}},
		"columns.email is no name":      {Source: &provider.UserTables{Columns: map[string]string{"email": "a\x00"}}},
		"it takes userId and createdAt": {Source: &provider.UserTables{SessionColumns: map[string]string{"token": "t"}}},
	} {
		_, err := betterauth.New().NewVerifier(provider.Credentials{}, o)
		require.ErrorContains(t, err, want)
	}
	_, err = betterauth.New().NewVerifier(provider.Credentials{SessionToken: "a\nb"}, provider.Options{})
	require.ErrorContains(t, err, "control character")
}

func TestRecordsOfTheAdminAPIAreNotRead(t *testing.T) {
	t.Parallel()
	_, c := fake(t, 3)
	read, err := userapitest.WalkRecords(t, func() userapi.Source { return c.Open(c.Clock.Deps()) }, nil)
	require.NoError(t, err)
	require.Empty(t, read.Read)
	require.Contains(t, read.Notes[0], "option source")
}
