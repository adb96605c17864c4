package clerk_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fetchtest"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/fetch"
)

// fake is a Clerk with n users, and the case of the suite for it.
func fake(tb testing.TB, n int) (*demoprovider.Clerk, *fetchtest.Case) {
	tb.Helper()
	clock := fetchtest.NewClock()
	account := demoprovider.NewAccount(n)
	server := demoprovider.NewClerk(account, clock.Now)
	base := fetchtest.Start(tb, server)
	return server, &fetchtest.Case{
		Account: account, Clock: clock, Server: &server.Server, Pages: "/v1/users", User: "/v1/users/",
		ID: demoprovider.ClerkID, Key: "id",
		Reject:     func() { server.Key = "sk_test_another" },
		Credential: "credentials.secret_key",
		Secrets:    []string{demoprovider.ClerkKey},
		Open: func(d fetch.Deps) fetch.Source {
			source, err := clerk.New().NewSource(provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: base}, d)
			require.NoError(tb, err)
			return source
		},
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*demoprovider.Clerk){
		"ByCursor":          func(*demoprovider.Clerk) {},
		"LostCursorIsEmpty": func(c *demoprovider.Clerk) { c.LostCursorIsEmpty = true },
		"ByOffset":          func(c *demoprovider.Clerk) { c.RefuseCursor = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fetchtest.Conformance(t, func(tb testing.TB) *fetchtest.Case {
				tb.Helper()
				server, c := fake(tb, 1100)
				change(server)
				return c
			})
		})
	}
}

func TestWalkAsksForWholePagesByCursor(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1000)
	var asked []string
	server.Begun = func(r *http.Request) { asked = append(asked, r.URL.RawQuery) }
	source := c.Open(c.Clock.Deps())
	cursors := []string{}
	c.Walk(t, "", func() fetch.Source { return source }, func(p fetch.Page) { cursors = append(cursors, p.Next) })
	require.Equal(t, []string{
		"limit=500&order_by=%2Bcreated_at",
		"limit=500&order_by=%2Bcreated_at&starting_after=" + demoprovider.ClerkID(499),
		"limit=500&order_by=%2Bcreated_at&starting_after=" + demoprovider.ClerkID(999),
		"", // is the user of the last cursor still there? then this is the end
	}, asked)
	require.Equal(t, []string{
		fmt.Sprintf(`{"mode":"starting_after","offset":500,"id":%q,"created":"2025-01-01T00:00:00.166Z"}`, demoprovider.ClerkID(499)),
		fmt.Sprintf(`{"mode":"starting_after","offset":1000,"id":%q,"created":"2025-01-01T00:00:00.333Z"}`, demoprovider.ClerkID(999)),
		"",
	}, cursors)
}

func TestRefusedCursorGoesOnByPositionForGood(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1700)
	server.RefuseCursor = true
	var asked []string
	server.Begun = func(r *http.Request) {
		asked = append(asked, r.URL.Query().Get("starting_after")+"/"+r.URL.Query().Get("offset"))
	}
	source := c.Open(c.Clock.Deps())
	var notes []string
	c.Walk(t, "", func() fetch.Source { return source }, func(p fetch.Page) { notes = append(notes, p.Note) })
	require.Equal(t, []string{"/", demoprovider.ClerkID(499) + "/", "/499", "/998", "/1497"}, asked)
	require.Equal(t, []string{"", "Clerk did not take the cursor: this page was read by position", "", ""}, notes)
}

func TestUsersWithoutAnIDAreReported(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 600)
	server.NoID = map[int]bool{2: true, 499: true, 599: true}
	source := c.Open(c.Clock.Deps())
	first, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, first.Users, 498)
	require.Equal(t, []fetch.Bad{{Place: "entry 3", Reason: "the user object has no id"}, {Place: "entry 500", Reason: "the user object has no id"}}, first.Bad)
	require.Contains(t, first.Next, `"offset":500`, "they have a position")
	for _, refuse := range []bool{false, true} {
		server.RefuseCursor = refuse
		second, err := source.Page(t.Context(), first.Next)
		require.NoError(t, err)
		require.Len(t, second.Users, 99)
		require.Empty(t, second.Next)
	}

	server.NoID = map[int]bool{}
	for i := range 600 {
		server.NoID[i] = true
	}
	_, err = source.Page(t.Context(), "")
	require.ErrorContains(t, err, "has no id")
}

func TestStatedRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	deps := c.Clock.Deps()
	deps.Limits = fetch.NewLimits()
	for range 10 { // sources of one process share the limit
		source := c.Open(deps)
		for range 50 {
			_, err := source.User(t.Context(), demoprovider.ClerkID(1))
			require.NoError(t, err)
		}
	}
	require.Zero(t, server.Limited())
	require.InDelta(t, 490/8.0, c.Clock.Slept().Seconds(), 1, "ten at once, then eight a second")
}

func TestRefusedKeyIsExplainedInClerksWords(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	server.Key = "sk_live_other"
	_, _, err := c.Open(c.Clock.Deps()).Count(t.Context())
	require.EqualError(t, err, "Clerk refuses credentials.secret_key (401). It is the key of a development instance; a key that begins with sk_live_ belongs to another instance, "+
		"with other users. Copy the secret key of the instance that sends the webhooks again (Clerk dashboard, API keys). "+
		"Clerk says: The provided Clerk Secret Key *** is invalid. (clerk_trace_id trace_7f3a)")
}

func TestAnswersOfAnotherShapeAreRefused(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	source := c.Open(c.Clock.Deps())
	for _, body := range []string{`{"data":[]}`, `null`, `[`, ``} {
		server.Fail(slices.Repeat([]demoprovider.Fault{{Status: 200, Body: body}}, 4)...)
		_, err := source.Page(t.Context(), "")
		require.Error(t, err, body)
	}
	server.Fail(slices.Repeat([]demoprovider.Fault{{Status: 200, Body: `{"object":"total_count"}`}}, 4)...)
	_, _, err := source.Count(t.Context())
	require.ErrorContains(t, err, "total_count")
	other, err := json.Marshal(map[string]any{"id": demoprovider.ClerkID(2)})
	require.NoError(t, err)
	server.Fail(demoprovider.Fault{Status: 200, Body: string(other)})
	_, err = source.User(t.Context(), demoprovider.ClerkID(1))
	require.ErrorContains(t, err, "another user than was asked for")
}

func TestNewSourceSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := clerk.New().NewSource(provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_x"}}, provider.Options{}, fetch.Deps{})
	require.ErrorIs(t, err, fetch.ErrNoCredentials)
	require.ErrorContains(t, err, "credentials.secret_key is missing")
	for want, o := range map[string]provider.Options{
		"must begin with https://":       {BaseURL: "ftp://api.clerk.example"},
		"it looks like":                  {BaseURL: "api.clerk.com"},
		"holds a user name or password":  {BaseURL: "https://ada@api.clerk.com"},
		"holds a ? or #":                 {BaseURL: "https://api.clerk.com?x=1"},
		"options.source is for Better A": {Source: &provider.UserTables{}},
	} {
		_, err := clerk.New().NewVerifier(provider.Credentials{}, o)
		require.ErrorContains(t, err, want)
	}
	_, err = clerk.New().NewVerifier(provider.Credentials{ClientSecret: "x"}, provider.Options{})
	require.EqualError(t, err, "credentials.client_secret is for Auth0 only")
}
