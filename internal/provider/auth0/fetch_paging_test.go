package auth0_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/provider"
	"github.com/authsync/authsync/internal/provider/auth0"
	"github.com/authsync/authsync/internal/testkit/userapitest"
)

// Whatever the list does, the export has everybody.
func TestMisbehavingLists(t *testing.T) {
	t.Parallel()
	userapitest.Misbehaving(t, func(tb testing.TB) *userapitest.Case {
		tb.Helper()
		_, c := fake(tb, 420)
		return c
	}, slices.Collect(maps.Keys(userapitest.Pagings()))...)
}

func TestExportThatIsNeverReadyEndsTheWalk(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1100)
	server.Polls = 1_000_000
	source := open(t, c)
	began := c.Clock.Now()
	cursor := ""
	for {
		page, err := source.Page(t.Context(), cursor)
		if err != nil {
			require.True(t, fault.Is(err, fault.ProviderError), err)
			require.ErrorContains(t, err, "has been at work for 8h")
			require.Less(t, server.Requests("/jobs/"), 1200, "the longer it takes, the less often it is asked")
			return
		}
		require.NotEmpty(t, page.Next)
		c.Clock.Advance(page.Wait)
		require.Less(t, c.Clock.Now().Sub(began), 9*time.Hour)
		cursor = page.Next
	}
}

func TestExportThatIsShortSaysSo(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 1100)
	server.Paging.Count = func(int) int { return 5000 }
	pages := walk(t, open(t, c), c, nil)
	users, _ := read(pages)
	require.Equal(t, 1100, users)
	require.Equal(t, "the export has 1100 users, where Auth0 counted 5000", pages[len(pages)-1].Note)
}

func TestAddressMayNameTheAPIOrNot(t *testing.T) {
	t.Parallel()
	server, c := fake(t, 3)
	base := userapitest.Start(t, server)
	for _, path := range []string{"", "/", "//", "/api/v2", "/api/v2/", "//api//v2//"} {
		source, err := auth0.New().NewSource(credentials(), provider.Options{BaseURL: base + path}, c.Clock.Deps())
		require.NoError(t, err)
		n, _, err := source.Count(t.Context())
		require.NoError(t, err, path)
		require.EqualValues(t, 3, n)
	}
}
