package clerk_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/clerk"
	"github.com/authsync/authsync/internal/provider/userapi"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// fake is a Clerk with n users, and the case of the suite for it.
func fake(tb testing.TB, n int) (*demoprovider.Clerk, *userapitest.Case) {
	tb.Helper()
	clock := userapitest.NewClock()
	account := demoprovider.NewAccount(n)
	server := demoprovider.NewClerk(account, clock.Now)
	base := userapitest.Start(tb, server)
	return server, &userapitest.Case{
		Account: account, Clock: clock, Server: &server.Server, Pages: "/v1/users", User: "/v1/users/",
		ID: demoprovider.ClerkID, Key: "id",
		Reject:     func() { server.Key = "sk_test_another" },
		Credential: "credentials.secret_key",
		Secrets:    []string{demoprovider.ClerkKey},
		Open: func(d userapi.Deps) userapi.Source {
			source, err := clerk.New().NewSource(provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: base}, d)
			require.NoError(tb, err)
			return source
		},
	}
}

func TestVersionIsPinned(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	versions := map[string]bool{}
	server.Begun = func(r *http.Request) { versions[r.Header.Get("Clerk-Api-Version")] = true }
	source := c.Open(c.Clock.Deps())
	c.Walk(t, "", func() userapi.Source { return source }, nil)
	_, err := source.User(t.Context(), demoprovider.ClerkID(1))
	require.NoError(t, err)
	require.Equal(t, map[string]bool{"2026-05-12": true}, versions, "of every request")
}

func TestAddressMayNameTheVersionOrNot(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	root := strings.TrimSuffix(userapitest.Start(t, server), "/v1")
	for _, path := range []string{"", "/", "//", "/v1", "/v1/", "//v1//", "/./v1", " "} {
		source, err := clerk.New().NewSource(provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: root + path}, c.Clock.Deps())
		require.NoError(t, err)
		n, _, err := source.Count(t.Context())
		require.NoError(t, err, path)
		require.EqualValues(t, 3, n)
	}
	source, err := clerk.New().NewSource(provider.Credentials{SecretKey: demoprovider.ClerkKey}, provider.Options{BaseURL: root + "/proxy/v1/"}, c.Clock.Deps())
	require.NoError(t, err)
	server.Begun = func(r *http.Request) {
		require.Equal(t, "/proxy/v1/users/count", r.URL.Path, "a proxy may have a path of its own")
	}
	_, _, err = source.Count(t.Context())
	require.Error(t, err)
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
			userapitest.Conformance(t, func(tb testing.TB) *userapitest.Case {
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
	c.Walk(t, "", func() userapi.Source { return source }, func(p userapi.Page) { cursors = append(cursors, p.Next) })
	require.Equal(t, []string{
		"limit=500&order_by=%2Bcreated_at",
		"limit=500&order_by=%2Bcreated_at&starting_after=" + demoprovider.ClerkID(499),
		"limit=500&order_by=%2Bcreated_at&starting_after=" + demoprovider.ClerkID(999),
		"", // is the user of the last cursor still there?
		"", // and are there no more than were read? then this is the end
	}, asked)
	require.Len(t, cursors, 3)
	var place struct {
		Mode    string    `json:"mode"`
		Offset  int       `json:"offset"`
		Recent  []string  `json:"recent"`
		Created time.Time `json:"created"`
	}
	require.NoError(t, json.Unmarshal([]byte(cursors[1]), &place), "a person can read it")
	require.Equal(t, "starting_after", place.Mode)
	require.Equal(t, 1000, place.Offset)
	require.Equal(t, demoprovider.ClerkID(999), place.Recent[9])
	require.Equal(t, time.Date(2025, 1, 1, 0, 0, 0, 333_000_000, time.UTC), place.Created)
	require.Less(t, len(cursors[1]), 700)
	require.Empty(t, cursors[2])
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
	c.Walk(t, "", func() userapi.Source { return source }, func(p userapi.Page) { notes = append(notes, p.Note) })
	require.Equal(t, []string{"/", demoprovider.ClerkID(499) + "/", "/490", "/980", "/1470", "/1690", "/"}, asked,
		"each begins with the ten users that were read last; the last request counts them")
	require.Equal(t, []string{"", "Clerk did not take the cursor: this page was read by position", "", "", ""}, notes)
}

func TestUsersWithoutAnIDAreReported(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 600)
	server.NoID = map[int]bool{2: true, 499: true, 599: true}
	source := c.Open(c.Clock.Deps())
	first, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	require.Len(t, first.Users, 498)
	require.Equal(t, []userapi.Bad{{Place: "entry 3", Reason: "the object has no id"}}, first.Bad)
	require.Contains(t, first.Next, `"offset":499`, "they have a position; that behind the last user comes again")
	for _, refuse := range []bool{false, true} {
		server.RefuseCursor = refuse
		second, err := source.Page(t.Context(), first.Next)
		require.NoError(t, err)
		require.Len(t, second.Users, 99)
		bad := len(second.Bad)
		for cursor := second.Next; cursor != ""; {
			page, err := source.Page(t.Context(), cursor)
			require.NoError(t, err)
			require.Empty(t, page.Users)
			bad += len(page.Bad)
			cursor = page.Next
		}
		require.Equal(t, 2, bad, "nobody is reported twice")
	}

	server.NoID = map[int]bool{}
	for i := range 600 {
		server.NoID[i] = true
	}
	bad := 0
	for cursor, pages := "", 0; pages == 0 || cursor != ""; pages++ {
		page, err := source.Page(t.Context(), cursor)
		require.NoError(t, err)
		require.Empty(t, page.Users)
		bad += len(page.Bad)
		cursor = page.Next
	}
	require.Equal(t, 600, bad)
}

func TestStatedRateIsNeverExceeded(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	deps := c.Clock.Deps()
	deps.Limits = userapi.NewLimits()
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
	_, err := clerk.New().NewSource(provider.Credentials{WebhookSigningSecret: provider.Secrets{"whsec_x"}}, provider.Options{}, userapi.Deps{})
	require.ErrorIs(t, err, userapi.ErrNoCredentials)
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
