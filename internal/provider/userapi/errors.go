package userapi

import (
	"errors"
	"fmt"
	"time"

	"github.com/authsync/authsync/internal/fault"
)

// ErrGone reports that the user certainly does not exist at the provider.
var ErrGone = errors.New("the provider has no such user")

// ErrNoCredentials reports that the stored credentials do not allow reading users. Wrapping errors
// list the missing ones.
var ErrNoCredentials = fault.New(fault.Unsupported, "the stored credentials do not allow reading users")

// RateLimitError reports that the provider wants a pause that is too long to wait out in place.
type RateLimitError struct{ After time.Duration }

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("the provider asks for a pause of %s", e.After.Round(time.Second))
}

func (e *RateLimitError) Unwrap() error { return fault.New(fault.ProviderUnavailable, e.Error()) }
