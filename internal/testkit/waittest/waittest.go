// Package waittest waits in tests for what must happen. Only tests import it.
//
// Its bound says nothing about how fast anything is: it only ends a test that would
// otherwise hang, and is far longer than the slowest machine needs. A test that has to
// show that something takes no longer than a limit stubs the clock, or counts.
package waittest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Bound is how long a test waits for what must happen.
const Bound = 3 * time.Minute

const pause = 5 * time.Millisecond

var errBound = errors.New("a test waited in vain, for longer than any machine needs")

// Until waits until condition holds. Other than with require.Eventually, it is called on the
// goroutine of the test, so that it may itself require things, and a first time at once.
func Until(t require.TestingT, condition func() bool, messageAndArgs ...any) {
	if helper, ok := t.(interface{ Helper() }); ok {
		helper.Helper()
	}
	ticker := time.NewTicker(pause)
	defer ticker.Stop()
	for deadline := time.Now().Add(Bound); !condition(); <-ticker.C {
		if time.Now().After(deadline) {
			require.FailNow(t, "this does not happen", messageAndArgs...)
		}
	}
}

// Receive waits for something to come through a channel, or for the channel to be closed.
func Receive[T any](t require.TestingT, channel <-chan T, messageAndArgs ...any) T {
	if helper, ok := t.(interface{ Helper() }); ok {
		helper.Helper()
	}
	bound := time.NewTimer(Bound)
	defer bound.Stop()
	select {
	case value := <-channel:
		return value
	case <-bound.C:
	}
	require.FailNow(t, "nothing comes", messageAndArgs...)
	panic("not reached")
}

// Context returns the test's context, which ends after Bound: for calls that wait.
func Context(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeoutCause(tb.Context(), Bound, errBound)
	tb.Cleanup(cancel)
	return ctx
}
