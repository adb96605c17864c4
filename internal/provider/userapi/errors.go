package userapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/fault"
)

// ErrGone says that the user does not exist, as the provider knows for certain.
var ErrGone = errors.New("the provider has no such user")

// ErrNoCredentials says that the stored credentials do not allow reading users.
// What wraps it says which are missing.
var ErrNoCredentials = fault.New(fault.NotPossible, "the stored credentials do not allow reading users")

// RateLimitError says that the provider wants a pause that is too long to be
// waited out in place.
type RateLimitError struct{ After time.Duration }

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("the provider asks for a pause of %s", e.After.Round(time.Second))
}

// Unwrap gives the code.
func (e *RateLimitError) Unwrap() error { return fault.New(fault.ProviderUnavailable, e.Error()) }
