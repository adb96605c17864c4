package betterauth_test

import (
	"testing"

	"github.com/authsync/authsync/internal/testkit/userapitest"
)

func TestMisbehavingLists(t *testing.T) {
	t.Parallel()
	userapitest.Misbehaving(t, func(tb testing.TB) *userapitest.Case {
		tb.Helper()
		_, c := fake(tb, 1100)
		return c
	}, "CursorIsIgnored", "LimitIsCapped", "LastPageForEver", "EverythingAtOnce", "EverythingAtOnceForEver",
		"OneEmptyPage", "FirstPageIsEmptyOnce", "UsersNamedTwice", "PagesOverlap", "NewestFirst",
		"NewestFirstAndMoreCome", "MoreComeWithEachPage", "CountIsTooLow", "CountIsZero", "CountIsTooLowAndLimitCapped")
}
