package userapi

import (
	"errors"
	"fmt"
	"time"
)

// ErrGone says that the user does not exist, as the provider knows for certain.
var ErrGone = errors.New("the provider has no such user")

// ErrNoCredentials says that the stored credentials do not allow reading users.
// What wraps it says which are missing.
var ErrNoCredentials = errors.New("the stored credentials do not allow reading users")

// CredentialsError says that the provider refuses the credentials. Trying again
// changes nothing until a person does something; the text says what.
type CredentialsError struct{ Detail string }

func (e *CredentialsError) Error() string { return e.Detail }

// RateLimitError says that the provider wants a pause that is too long to be
// waited out in place.
type RateLimitError struct{ After time.Duration }

func (e *RateLimitError) Error() string {
	return fmt.Sprintf("the provider asks for a pause of %s", e.After.Round(time.Second))
}

// TemporaryError says that the provider could not be reached or could not
// answer, also after several attempts. Later it may.
type TemporaryError struct{ Detail string }

func (e *TemporaryError) Error() string { return e.Detail }

// ProtocolError says that the provider answered something that cannot be
// understood, so that trying again is of no use: it is another server than it
// should be, or it has changed.
type ProtocolError struct{ Detail string }

func (e *ProtocolError) Error() string { return e.Detail }
