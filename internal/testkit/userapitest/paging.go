package userapitest

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/authsync/authsync/internal/demoprovider"
	"github.com/authsync/authsync/internal/fault"
)

// Pagings are lists that misbehave, by what they do.
func Pagings() map[string]demoprovider.Paging {
	count := func(n int) func(int) int { return func(int) int { return n } }
	return map[string]demoprovider.Paging{
		"CursorIsIgnored":              {IgnoreCursor: true},
		"OffsetIsIgnored":              {IgnoreOffset: true},
		"CursorAndOffsetAreIgnored":    {IgnoreCursor: true, IgnoreOffset: true},
		"LimitIsIgnored":               {Size: 10},
		"EverythingAtOnce":             {Size: 5000},
		"EverythingAtOnceForEver":      {Size: 5000, IgnoreCursor: true, IgnoreOffset: true},
		"LimitIsCapped":                {Most: 20},
		"LimitIsCappedAtOne":           {Most: 1},
		"LastPageForEver":              {LastForever: true},
		"LastPageForEverWithoutCursor": {LastForever: true, IgnoreCursor: true},
		"TwoPagesInTurns":              {TwoPages: true},
		"BeginsAnewBehindTheEnd":       {Wrap: true},
		"BeginsAnewWithoutCursor":      {Wrap: true, IgnoreCursor: true},
		"OneEmptyPage":                 {EmptyPage: 2},
		"FirstPageIsEmptyOnce":         {EmptyPage: 1},
		"EmptyFromThereOn":             {Hole: 30},
		"UsersNamedTwice":              {Twice: true},
		"PagesOverlap":                 {Overlap: true},
		"NewestFirst":                  {Newest: true},
		"NewestFirstAndMoreCome":       {Newest: true, Create: 40},
		"NewestFirstWithoutCursor":     {Newest: true, Create: 40, IgnoreCursor: true},
		"MoreComeWithEachPage":         {Create: 40},
		"NoOrder":                      {Shuffled: true},
		"NoOrderWithoutCursor":         {Shuffled: true, IgnoreCursor: true},
		"CountIsTooLow":                {Count: count(3)},
		"CountIsZero":                  {Count: count(0)},
		"CountIsTooHigh":               {Count: func(n int) int { return 2 * n }},
		"CountChangesAtRandom": {Count: func() func(int) int {
			calls := 0
			return func(n int) int { calls++; return n - 40*(calls%3) }
		}()},
		"CountIsTooLowAndLimitCapped":   {Count: count(3), Most: 20},
		"CountIsTooLowAndOffsetIgnored": {Count: count(3), IgnoreOffset: true, IgnoreCursor: true},
	}
}

// Misbehaving lets lists misbehave in every way, and checks that a walk reads all
// users or fails with what it saw, after a bounded number of requests: it never
// takes a part for the whole, and never goes on for ever. reads are the ways in
// which all users must be read.
func Misbehaving(t *testing.T, setup func(tb testing.TB) *Case, reads ...string) {
	t.Helper()
	all := Pagings()
	for _, name := range reads {
		require.Contains(t, all, name)
	}
	for name, paging := range all {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := setup(t)
			there := c.Want()
			c.Server.Paging = paging
			read, err := c.walkBounded(t)
			if slices.Contains(reads, name) {
				require.NoError(t, err)
			}
			if err == nil {
				for _, id := range there {
					require.True(t, read[id], "%s was not read, and nothing said so", id)
				}
				return
			}
			require.True(t, fault.Is(err, fault.ProviderError), "it is of no use to ask again: %v", err)
			require.Regexp(t, `\d`, err.Error(), "it says what it saw")
			c.safe(t, err)
		})
	}
}

// walkBounded reads all users, with not too many requests.
func (c *Case) walkBounded(t *testing.T) (read map[string]bool, err error) {
	t.Helper()
	source := c.open(t)
	read = map[string]bool{}
	cursor, asked := "", 0
	ctx, end := context.WithCancelCause(t.Context())
	most := 100 + 10*c.Account.Len()/max(c.Server.Paging.Most, c.Server.Paging.Size, 10) + 3*c.Account.Len()/max(1, c.Server.Paging.Most)
	c.Server.Begun = func(*http.Request) {
		if asked++; asked > most {
			end(fmt.Errorf("%d requests are too many; behind %q", asked, cursor))
		}
	}
	for range 20_000 {
		page, err := source.Page(ctx, cursor)
		require.NoError(t, context.Cause(ctx))
		if err != nil {
			return read, err
		}
		for _, user := range page.Users {
			read[c.idOf(t, user)] = true
		}
		if page.Next == "" {
			return read, nil
		}
		c.Clock.Advance(page.Wait)
		cursor = page.Next
	}
	require.Fail(t, "the walk has no end")
	return nil, nil
}
