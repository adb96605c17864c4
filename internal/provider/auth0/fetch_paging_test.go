package auth0_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/authsync/authsync/internal/fetchtest"
)

// Whatever the list does, the export has everybody.
func TestMisbehavingLists(t *testing.T) {
	t.Parallel()
	fetchtest.Misbehaving(t, func(tb testing.TB) *fetchtest.Case {
		tb.Helper()
		_, c := fake(tb, 420)
		return c
	}, slices.Collect(maps.Keys(fetchtest.Pagings()))...)
}
