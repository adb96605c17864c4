package userapitest

import (
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider/payload"
	"github.com/authsync/authsync/internal/provider/userapi"
)

// Case is one provider account and how to read it.
type Case struct {
	Account *demoprovider.Account
	Clock   *Clock
	// Open makes a new source on the account, as another process would.
	Open func(d userapi.Deps) userapi.Source
	// ID is the id of a user; Key is where it stands in a user object.
	ID  func(i int) string
	Key string
	// Server is nil for a source that sends no HTTP requests.
	Server *demoprovider.Server
	// Pages is a part of the path that pages are read from, User that of one user.
	Pages, User string
	// Reject lets the provider refuse the credentials.
	Reject func()
	// Credential is what an error about them must name.
	Credential string
	// Secrets must not appear in any error.
	Secrets []string
	// Snapshot: users created during the walk are not in it.
	Snapshot bool
	// Uncounted: the provider does not say how many users there are.
	Uncounted bool
}

// Conformance checks what every Source promises. setup makes an account with
// several pages.
func Conformance(t *testing.T, setup func(tb testing.TB) *Case) {
	t.Helper()
	for name, check := range map[string]func(*testing.T, *Case){
		"WalkReadsEachUserOnce":                 walkReadsEachUserOnce,
		"WalkGoesOnInAnotherProcess":            walkGoesOnInAnotherProcess,
		"SameCursorGivesTheSamePage":            sameCursorGivesTheSamePage,
		"UsersCreatedDuringTheWalkDoNoHarm":     usersCreatedDuringTheWalk,
		"UsersDeletedDuringTheWalkHideNone":     usersDeletedDuringTheWalk,
		"EmptyAccountEndsAtOnce":                emptyAccount,
		"CountIsThatOfTheProvider":              count,
		"UserIsReadAndGone":                     userIsReadAndGone,
		"ForeignCursorIsRefused":                foreignCursor,
		"CancelledContextEndsTheCall":           cancelled,
		"RefusedCredentialsAreNamedNotRepeated": refusedCredentials,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, setup(t))
		})
	}
	if setup(t).Server == nil {
		return
	}
	for name, check := range map[string]func(*testing.T, *Case){
		"PassingTroubleIsWaitedOut":     passingTrouble,
		"LastingTroubleIsNeverTheEnd":   lastingTrouble,
		"AskedPausesAreKept":            askedPauses,
		"LongPausesAreLeftToTheCaller":  longPauses,
		"SlowBodyIsTemporary":           slowBody,
		"RedirectElsewhereIsRefused":    redirect,
		"NotFoundOfAStrangerProvesNone": strangersNotFound,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, setup(t))
		})
	}
}

func (c *Case) open(tb testing.TB) userapi.Source {
	tb.Helper()
	return c.with(tb, c.Clock.Deps())
}

func (c *Case) with(tb testing.TB, d userapi.Deps) userapi.Source {
	tb.Helper()
	source := c.Open(d)
	if closer, ok := source.(io.Closer); ok {
		tb.Cleanup(func() { closer.Close() }) //nolint:gosec // it frees resources only
	}
	return source
}

// Walk reads all users from a cursor on; source is asked for each page anew.
// It returns the ids in their order.
func (c *Case) Walk(tb testing.TB, cursor string, source func() userapi.Source, onPage func(userapi.Page)) []string {
	tb.Helper()
	var ids []string
	for range 10_000 {
		page, err := source().Page(tb.Context(), cursor)
		require.NoError(tb, err, "the page behind %q", cursor)
		require.Empty(tb, page.Bad)
		ids = append(ids, c.ids(tb, page)...)
		if onPage != nil {
			onPage(page)
		}
		if page.Next == "" {
			return ids
		}
		require.False(tb, page.Next == cursor && page.Wait == 0, "the walk stands still at %q", cursor)
		c.Clock.Advance(page.Wait)
		cursor = page.Next
	}
	require.FailNow(tb, "the walk has no end")
	return nil
}

func (c *Case) ids(tb testing.TB, page userapi.Page) []string {
	tb.Helper()
	ids := make([]string, 0, len(page.Users))
	for _, user := range page.Users {
		ids = append(ids, c.idOf(tb, user))
		require.False(tb, user.FetchedAt.IsZero(), "FetchedAt")
		require.False(tb, user.FetchedAt.After(c.Clock.Now()), "FetchedAt lies before the answer")
	}
	return ids
}

func (c *Case) idOf(tb testing.TB, user userapi.User) string {
	tb.Helper()
	entry, err := userapi.ReadEntry(payload.Value(user.Object), c.Key, "")
	require.NoError(tb, err)
	return entry.ID
}

// Want are the ids of the account's users, sorted.
func (c *Case) Want() []string {
	var ids []string
	for _, i := range c.Account.Users() {
		ids = append(ids, c.ID(i))
	}
	slices.Sort(ids)
	return ids
}

func sorted(ids []string) []string {
	ids = slices.Clone(ids)
	slices.Sort(ids)
	return ids
}

// SafeError checks that an error shows no secret.
func (c *Case) safe(tb testing.TB, err error) {
	tb.Helper()
	for _, secret := range c.Secrets {
		require.NotContains(tb, err.Error(), secret)
	}
}

func walkReadsEachUserOnce(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	pages := 0
	ids := c.Walk(t, "", func() userapi.Source { return source }, func(userapi.Page) { pages++ })
	require.Equal(t, c.Want(), sorted(ids))
	require.Greater(t, pages, 2, "the account should have several pages")
	if c.Server != nil {
		require.Zero(t, c.Server.Limited(), "requests beyond the rate limit")
	}
}

func walkGoesOnInAnotherProcess(t *testing.T, c *Case) {
	t.Helper()
	require.Equal(t, c.Want(), sorted(c.Walk(t, "", func() userapi.Source { return c.open(t) }, nil)))
}

func sameCursorGivesTheSamePage(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	cursor := ""
	c.Walk(t, "", func() userapi.Source { return source }, func(page userapi.Page) {
		if cursor != "" && len(page.Users) > 0 {
			again, err := source.Page(t.Context(), cursor)
			require.NoError(t, err)
			require.Equal(t, c.ids(t, page), c.ids(t, again))
			require.Equal(t, page.Next, again.Next)
		}
		cursor = page.Next
	})
}

func usersCreatedDuringTheWalk(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	before := c.Want()
	created := 0
	ids := sorted(c.Walk(t, "", func() userapi.Source { return source }, func(userapi.Page) {
		if created < 5 {
			c.Account.Create()
			created++
		}
	}))
	for _, id := range before {
		_, found := slices.BinarySearch(ids, id)
		require.True(t, found, "%s was there all the time", id)
	}
	require.Len(t, slices.Compact(slices.Clone(ids)), len(ids), "nobody was read twice")
	if !c.Snapshot {
		require.Greater(t, len(ids), len(before))
	}
}

func usersDeletedDuringTheWalk(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	gone := 0
	var last string
	number := map[string]int{}
	for _, i := range c.Account.Users() {
		number[c.ID(i)] = i
	}
	ids := sorted(c.Walk(t, "", func() userapi.Source { return source }, func(page userapi.Page) {
		if read := c.ids(t, page); len(read) > 0 {
			last = read[len(read)-1]
		}
		if i, there := number[last]; there { // the one read last, and the first three
			c.Account.Delete(i)
		}
		for _, i := range c.Account.Users()[:3] {
			c.Account.Delete(i)
			gone++
		}
	}))
	for _, id := range c.Want() {
		_, found := slices.BinarySearch(ids, id)
		require.True(t, found, "%s was there all the time", id)
	}
	require.Positive(t, gone)
}

func emptyAccount(t *testing.T, c *Case) {
	t.Helper()
	for _, i := range c.Account.Users() {
		c.Account.Delete(i)
	}
	source := c.open(t)
	page, err := source.Page(t.Context(), "")
	require.NoError(t, err)
	require.Empty(t, page.Users)
	require.Empty(t, page.Next)
}

func count(t *testing.T, c *Case) {
	t.Helper()
	n, ok, err := c.open(t).Count(t.Context())
	require.NoError(t, err)
	require.Equal(t, !c.Uncounted, ok)
	if ok {
		require.EqualValues(t, c.Account.Len(), n)
	}
}

func userIsReadAndGone(t *testing.T, c *Case) {
	t.Helper()
	source := c.open(t)
	user, err := source.User(t.Context(), c.ID(7))
	require.NoError(t, err)
	require.Equal(t, c.ID(7), c.idOf(t, user))
	require.Equal(t, c.Clock.Now(), user.FetchedAt)
	c.Account.Delete(7)
	_, err = source.User(t.Context(), c.ID(7))
	require.ErrorIs(t, err, userapi.ErrGone)
	for _, odd := range []string{"auth0|no/such?user=1", "../count", "x y%2F#"} {
		_, err = source.User(t.Context(), odd)
		require.ErrorIs(t, err, userapi.ErrGone, odd)
	}
}

func foreignCursor(t *testing.T, c *Case) {
	t.Helper()
	for _, cursor := range []string{"page 2", `{"mode":"tea"}`, `{"x":1}`, `{}`, `7`} {
		_, err := c.open(t).Page(t.Context(), cursor)
		require.True(t, fault.Is(err, fault.ProviderError), "%s: %v", cursor, err)
		require.ErrorContains(t, err, "begin the walk anew")
	}
}
