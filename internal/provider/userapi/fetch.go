// Package userapi is what reading users from a provider has in common: the types
// that all sources share, and one HTTP client that keeps to the providers' rate
// limits, bounds what it reads and explains what went wrong.
//
// It stands beside the road of a webhook: backfill, reconcile and refresh read
// from a Source and hand what they read to the same apply function.
//
// A Source ends a call in one of these ways, and what the caller does follows
// from the class alone:
//
//	fault.CredentialsRefused   stop; a person has to give other credentials or rights
//	ErrNoCredentials           the same, known before any request
//	fault.ProviderError        stop; the provider answered what cannot be understood
//	*RateLimitError            go on after the time that it names
//	fault.ProviderUnavailable  go on later; retries in place did not help
//	ErrGone                    of User: the user does not exist, for certain
//	the context's error        the caller has ended the call
package userapi

import (
	"context"
	"encoding/json"
	"time"
)

// Source reads the users of one provider account. It is safe for concurrent use.
type Source interface {
	// Count is how many users the provider says it has; ok is false where it does not say.
	Count(ctx context.Context) (n int64, ok bool, err error)
	// Page reads the users behind a cursor; the empty cursor begins. An error
	// is never taken for the end: the walk is over only if Page.Next is empty.
	// The same cursor may be asked for again, also by another process.
	Page(ctx context.Context, cursor string) (Page, error)
	// User reads one user. ErrGone means that the provider says for certain
	// that there is none.
	User(ctx context.Context, id string) (User, error)
}

// User is a user object as the provider has it.
type User struct {
	Object json.RawMessage
	// FetchedAt is when the request that read it was sent: what it says is no older.
	FetchedAt time.Time
	// LastSignInAt is set where the object does not hold it but the source knows it.
	LastSignInAt *time.Time
}

// Page is one step of a walk.
//
// It may hold no users and still have a Next.
type Page struct {
	Users []User
	// Next is the cursor of the next page, empty at the end.
	Next string
	// Bad are the entries that could not be read; the others are in Users.
	Bad []Bad
	// Total is how many users there are in all, as far as this page tells; 0: it does not.
	Total int64
	// Wait is how long the provider needs until Next can be asked for: it
	// prepares an export. Zero otherwise.
	Wait time.Duration
	// Restarted says that Next begins the walk anew, because what it walked is
	// gone (an export lives for a day). Users come again; Note says why.
	Restarted bool
	// Partial says that the users do not hold all that the provider knows of them:
	// User reads the rest.
	Partial bool
	// Note is a sentence on the state of the walk for a person, mostly empty.
	Note string
}

// Bad is an entry of a list or an export that is no user object.
type Bad struct {
	Place  string // such as "line 17"
	Reason string
}
