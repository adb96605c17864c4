package clerk_test

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
	}, "CursorIsIgnored", "LimitIsIgnored", "LimitIsCapped", "LastPageForEver", "LastPageForEverWithoutCursor", "EverythingAtOnce", "EverythingAtOnceForEver",
		"OneEmptyPage", "FirstPageIsEmptyOnce", "UsersNamedTwice", "PagesOverlap", "NewestFirst",
		"NewestFirstAndMoreCome", "NewestFirstWithoutCursor", "MoreComeWithEachPage", "CountIsTooLow", "CountIsZero", "CountIsTooLowAndLimitCapped")
}
