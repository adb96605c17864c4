package property_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestProperty(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 1000).Draw(rt, "n")
		for range 300 {
			rt.Log("what the property says by the way")
		}
		require.Less(rt, n, 17, "n is small")
	})
}

func TestFlakyProperty(t *testing.T) {
	first := true
	rapid.Check(t, func(rt *rapid.T) {
		rapid.IntRange(0, 1000).Draw(rt, "n")
		failed := !first
		first = false
		require.True(rt, failed, "only the first time")
	})
}
