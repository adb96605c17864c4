package betterauth_test

import (
	"testing"

	"github.com/authsync/authsync/internal/fetchtest"
)

func TestMisbehavingLists(t *testing.T) {
	t.Parallel()
	fetchtest.Misbehaving(t, func(tb testing.TB) *fetchtest.Case {
		tb.Helper()
		_, c := fake(tb, 1100)
		return c
	}, "CursorIsIgnored", "LimitIsCapped", "LastPageForEver", "EverythingAtOnce", "EverythingAtOnceForEver",
		"OneEmptyPage", "FirstPageIsEmptyOnce", "UsersNamedTwice", "PagesOverlap", "NewestFirst",
		"NewestFirstAndMoreCome", "MoreComeWithEachPage", "CountIsTooLow", "CountIsZero", "CountIsTooLowAndLimitCapped")
}
