// Package rapidtest helps property tests of what runs concurrently. Only tests import it.
package rapidtest

import (
	"testing"

	"pgregory.net/rapid"
)

// T is a rapid.T whose failures are logged in the test as well.
type T struct {
	*rapid.T

	test testing.TB
}

// Loud returns such a T. Rapid keeps only what a failure said that happens again with the same draws. Where databases and
// goroutines are at work it may not, and what was said the first time is all there is.
func Loud(test testing.TB, drawn *rapid.T) T { return T{T: drawn, test: test} }

// Errorf implements require.TestingT.
func (t T) Errorf(format string, args ...any) {
	t.test.Helper()
	t.test.Logf(format, args...)
	t.T.Errorf(format, args...)
}
