package destination

import (
	"errors"
	"time"

	"github.com/authsync/authsync/internal/destination/jq"
)

// ExpressionError makes an *InvalidError of an error of package jq. Detail is its text, or what is to be
// shown in its place.
func ExpressionError(err error, detail string) error {
	return &InvalidError{Detail: detail, Err: err}
}

// Unmade is what becomes of a message whose request could not be made, with the reason that is shown. An expression that
// fails on one user's data fails that message alone; one that had to be ended by force again and again pauses the
// destination, for its other messages would do the same.
func Unmade(err error, reason string) Result {
	if Halts(err) {
		return Result{Outcome: Pause, Reason: reason + "; change the expression, and resume the destination"}
	}
	if Unavailable(err) {
		return Result{Outcome: Deferred, Reason: reason, After: unavailableFor}
	}
	return Result{Outcome: GiveUp, Reason: reason}
}

// unavailableFor is how long a destination waits for a worker that could not be had.
const unavailableFor = 5 * time.Second

// Unavailable reports whether an error says that no worker could be had for an expression, or that its run was stopped. That is
// our trouble: it says nothing of the expression or the change, and costs no delivery an attempt.
func Unavailable(err error) bool {
	_, is := errors.AsType[*jq.UnavailableError](err)
	return is
}

// Halts reports whether an error is of an expression that had to be ended by force again and again.
func Halts(err error) bool {
	run, is := errors.AsType[*jq.RunError](err)
	return is && run.Halt
}
