// Package fault is the error of which the cause is known and named by a code: something that the
// caller gave, a thing that does not exist, a state that does not allow it, a provider that
// refuses. Every package of the domain makes it; whoever has to react looks at the code, and
// package api has one table from codes to HTTP statuses. Any other error is internal.
package fault

import (
	"errors"
	"fmt"
	"slices"
)

// Code names the kind of an error for programs. It is the code of the problem that the API
// answers with, so docs/openapi.yaml lists it; a test compares the lists.
type Code string

// The codes.
const (
	// Invalid is a value that a person or program gave and has to change.
	Invalid Code = "invalid_request"

	ProjectNotFound     Code = "project_not_found"
	IntegrationNotFound Code = "integration_not_found"
	RunNotFound         Code = "run_not_found"
	EventNotFound       Code = "event_not_found"
	UserNotFound        Code = "user_not_found"
	RecordNotFound      Code = "record_not_found"
	ChangeNotFound      Code = "change_not_found"
	DestinationNotFound Code = "destination_not_found"
	DeliveryNotFound    Code = "delivery_not_found"
	StreamNotFound      Code = "stream_not_found"
	KeyNotFound         Code = "key_not_found"
	ErasureNotFound     Code = "erasure_not_found"

	NameTaken          Code = "name_taken"
	DatabaseExists     Code = "database_exists"
	RunUnfinished      Code = "run_unfinished"
	WrongState         Code = "wrong_state"
	RedeliveryUnderWay Code = "redelivery_under_way"

	// DatabaseUnusable is a project's database that a person has to change, or its URL.
	DatabaseUnusable Code = "database_unusable"
	// RowRefused is a row that the project's database does not take.
	RowRefused Code = "row_refused"

	// Unsupported is a call that the provider, or what is stored of it, does not allow.
	Unsupported Code = "unsupported"
	// CredentialsRefused is the provider's no. It stays until a person has changed something.
	CredentialsRefused Code = "credentials_refused"
	// AccountMismatch is credentials of another account than the one that the mirror has the users of.
	AccountMismatch Code = "account_mismatch"
	// ProviderError is an answer that cannot be understood: it is another server than it should
	// be, or it has changed. Trying again is of no use.
	ProviderError Code = "provider_error"
	// ProviderUnavailable is a provider that could not be reached or could not answer, also
	// after several attempts. Later it may.
	ProviderUnavailable Code = "provider_unavailable"
	// Unavailable is a server that cannot do the work now. Later it may.
	Unavailable Code = "unavailable"
)

// Error is an error with a code. api.failure stands beside it: that is an answer of HTTP, and says where in a request
// each of the wrong values is, which the domain cannot know.
type Error struct {
	Code Code
	// Message says to a person what is wrong and what to do. It never holds a secret.
	Message string
	// Field is the path of the wrong value, such as credentials.secret_key; empty: Message
	// begins with it, or the error is not about one value.
	Field string
	// Err is the cause, if there is one. Its text is for the log alone.
	Err error
}

func (e *Error) Error() string { return e.Message }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an error with a message as it is.
func New(code Code, message string) error { return &Error{Code: code, Message: message} }

// Newf makes an error with a message by a format.
func Newf(code Code, format string, args ...any) error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// At is an invalid value of a field whose name the message does not begin with.
func At(field, format string, args ...any) error {
	return &Error{Code: Invalid, Message: fmt.Sprintf(format, args...), Field: field}
}

// Wrap gives a cause a code and a message of its own.
func Wrap(code Code, err error, message string) error {
	return &Error{Code: code, Message: message, Err: err}
}

// As finds the outermost error with a code.
func As(err error) (*Error, bool) { return errors.AsType[*Error](err) }

// Is reports whether an error has one of the codes.
func Is(err error, codes ...Code) bool {
	e, ok := As(err)
	return ok && slices.Contains(codes, e.Code)
}

// ErrBadCursor says that a cursor is not one that the list returned.
var ErrBadCursor = At("cursor", "cursor is not one that this list returned: take next_cursor of the page before, or leave it out")
