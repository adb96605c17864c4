// Package rapidtest helps property tests of what runs concurrently. Only tests import it.
package rapidtest

import (
	"flag"
	"fmt"
	"strconv"
	"testing"

	"pgregory.net/rapid"
)

// T is a rapid.T whose failures are logged in the test as well.
type T struct {
	*rapid.T

	tb testing.TB
}

// Loud returns such a T. Rapid keeps only what a failure said that happens again with the same draws. Where databases and
// goroutines are at work it may not, and what was said the first time is all there is.
func Loud(tb testing.TB, drawn *rapid.T) T {
	tb.Helper()
	return T{T: drawn, tb: tb}
}

// Errorf implements require.TestingT.
func (t T) Errorf(format string, args ...any) {
	t.tb.Helper()
	t.tb.Logf(format, args...)
	t.T.Errorf(format, args...)
}

// parts is in how many parts InParts checks a property.
const parts = 4

// Divide has each part of the package's properties make its share of the checks, instead of all. A TestMain calls it whose
// package has all its properties in parts, or the same one in several forms. More are made with -rapid.checks.
func Divide() error {
	flag.Parse()
	checks := flag.Lookup("rapid.checks")
	all, err := strconv.Atoi(checks.Value.String())
	if err != nil {
		return fmt.Errorf("rapid.checks: %w", err)
	}
	return checks.Value.Set(strconv.Itoa((all + parts - 1) / parts))
}

// InParts checks a property in parts at the same time, each with databases of its own. Where a check mostly waits for jobs, that
// takes a fraction of the time.
func InParts(t *testing.T, check func(t *testing.T)) {
	t.Helper()
	for i := range parts {
		t.Run(fmt.Sprint("Part", i+1), func(t *testing.T) {
			t.Parallel()
			check(t)
		})
	}
}
