// Package userapi has what reading users from providers shares: the types of all sources, and an
// HTTP client that observes the providers' rate limits, limits what it reads and explains errors.
// Backfill, reconcile and refresh read from a Source.
//
// The class of a call's error alone decides what the caller does:
//
//	fault.CredentialsRefused   stop; a person must change the credentials or their permissions
//	ErrNoCredentials           the same, known before any request
//	fault.ProviderError        stop; the provider's answer cannot be understood
//	*RateLimitError            continue after the time that it names
//	fault.ProviderUnavailable  continue later; retries in place did not help
//	ErrGone                    from User: the user certainly does not exist
//	the context's error        the caller has ended the call
package userapi

import (
	"context"
	"encoding/json"
	"time"
)

// Source reads the users of one provider account. It is safe for concurrent use.
type Source interface {
	// Count returns the provider's number of users; ok is false if it does not give one.
	Count(ctx context.Context) (n int64, ok bool, err error)
	// Page reads the users after a cursor; the empty cursor begins. An error is never the end: the
	// walk is over only if Page.Next is empty. The same cursor may be requested again, also by
	// another process.
	Page(ctx context.Context, cursor string) (Page, error)
	// User reads one user. ErrGone means that the provider is certain that there is none.
	User(ctx context.Context, id string) (User, error)
}

// User is a provider's user object.
type User struct {
	Object json.RawMessage
	// FetchedAt is when the request that read it was sent: its contents are no older.
	FetchedAt time.Time
	// LastSignInAt is set if the source knows it but the object lacks it.
	LastSignInAt *time.Time
}

// Page is one step of a walk.
//
// It may hold no users and still have a Next.
type Page struct {
	Users []User
	// Next is the cursor of the next page, empty at the end.
	Next string
	// Bad are the invalid entries; the others are in Users.
	Bad []Bad
	// Total is the number of all users, if this page has it; otherwise 0.
	Total int64
	// Wait is how long to wait before requesting Next, while the provider prepares an export.
	// Otherwise zero.
	Wait time.Duration
	// Restarted reports that Next restarts the walk, because its data is gone (an export lives for
	// a day). Users come again; Note says why.
	Restarted bool
	// Partial reports that the users lack some of what the provider knows of them: User reads the
	// rest.
	Partial bool
	// Note is a sentence about the walk for people, usually empty.
	Note string
}

// Bad is an entry of a list or an export that is not an object with an id, or a list that cannot be
// read to its end.
type Bad struct {
	Place  string // such as "line 17"
	Reason string
}
