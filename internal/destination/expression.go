package destination

import (
	"errors"
	"time"

	"github.com/authsync/authsync/internal/destination/jq"
	"github.com/authsync/authsync/internal/fault"
)

// ExpressionError gives an error of running an expression a code, and the message that is shown: fault.Unavailable
// if no worker could be had, otherwise fault.Invalid.
func ExpressionError(err error, message string) error {
	if Unavailable(err) {
		return fault.Wrap(fault.Unavailable, err, message)
	}
	return fault.Wrap(fault.Invalid, err, message)
}

// Unmade is the result of a message whose request could not be built, with the reason to show. An expression
// that fails on one user's data fails that message only; one that keeps being killed pauses the destination,
// because its other messages would do the same.
func Unmade(err error, reason string) Result {
	if Halts(err) {
		return Result{Outcome: Pause, Reason: reason + "; change the expression, and resume the destination"}
	}
	if Unavailable(err) {
		return Result{Outcome: Deferred, Reason: reason, After: unavailableFor}
	}
	return Result{Outcome: GiveUp, Reason: reason}
}

// unavailableFor is how long a destination waits when no worker is available.
const unavailableFor = 5 * time.Second

// Unavailable reports whether an error means that no worker was available for an expression, or that its run
// was stopped. That is not about the expression or the change, and costs no attempt.
func Unavailable(err error) bool {
	_, is := errors.AsType[*jq.UnavailableError](err)
	return is
}

// Halts reports whether an error is about an expression that keeps being killed.
func Halts(err error) bool {
	run, is := errors.AsType[*jq.RunError](err)
	return is && run.Halt
}
