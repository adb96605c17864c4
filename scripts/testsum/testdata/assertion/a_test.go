package assertion_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParent(t *testing.T) {
	t.Run("Holds", func(t *testing.T) { require.Equal(t, 1, 1) })
	t.Run("DoesNotHold", func(t *testing.T) {
		for i := range 5000 {
			t.Logf("line %d of a long log", i)
		}
		t.Cleanup(func() { t.Log("the last word") })
		require.Equal(t, "applied", "stale", "the outcome of event 7")
	})
}

func TestLongDifference(t *testing.T) {
	var want, got strings.Builder
	for i := range 1000 {
		fmt.Fprintln(&want, "row", i)
		fmt.Fprintln(&got, "row", i+i%2)
	}
	require.Equal(t, want.String(), got.String())
}
