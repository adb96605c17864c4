package panics_test

import "testing"

func TestWaits(t *testing.T) {
	t.Parallel()
	select {}
}

func TestPanics(t *testing.T) {
	// Not parallel: whose output the panic is must not depend on which of the two runs first.
	var byName map[string]int
	fill(byName)
}

func fill(byName map[string]int) { byName["a"] = 1 }
