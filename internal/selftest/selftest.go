// Package selftest is what the command that tests a project from end to end and
// the workers have in common: the synthetic user, and what is reported about it.
//
// An event about the synthetic user takes the whole road of a webhook (signature,
// inbox, job, the functions of the mirror), but the transaction in the project
// database is rolled back. Nobody who reads the mirror or its change feed ever
// sees the user, so no destination does either. The event's outcome is
// "ignored", and its reason says what would have happened:
//
//	self-test, rolled back: applied, email ada@example.com, first_name Ada, deleted no
package selftest

import (
	"fmt"
	"strings"

	"github.com/authsync/authsync/internal/provider"
)

const (
	prefix = "authsync_selftest_"
	digits = 32
	said   = "self-test, rolled back: "
)

// NewUserID makes up the id of a user in the style of the provider.
func NewUserID(providerName string) string {
	id := prefix + provider.RandomHex(digits)
	if providerName == provider.Auth0 {
		return "auth0|" + id
	}
	return id
}

// IsUserID reports whether an id is one that NewUserID makes. No provider gives
// such an id to a user of its own.
func IsUserID(id string) bool {
	rest, found := strings.CutPrefix(id[strings.LastIndexByte(id, '|')+1:], prefix)
	if !found || len(rest) != digits {
		return false
	}
	return strings.Trim(rest, "0123456789abcdef") == ""
}

// Row is what a self-test looks at of the user's row, as it was before the rollback.
type Row struct {
	Exists    bool
	Email     string
	FirstName string
	Deleted   bool
}

// Finding is what an event would have done.
type Finding struct {
	Outcome string // applied, stale, duplicate or failed
	Problem string // why it failed
	Row     Row    // after it
}

// Reason is the reason of the event's outcome.
func (f Finding) Reason() string { return said + f.String() }

// String says it in words.
func (f Finding) String() string {
	text := f.Outcome
	if f.Problem != "" {
		text += " (" + f.Problem + ")"
	}
	if !f.Row.Exists {
		return text + ", no row"
	}
	deleted := "no"
	if f.Row.Deleted {
		deleted = "yes"
	}
	return text + fmt.Sprintf(", email %s, first_name %s, deleted %s", orNull(f.Row.Email), orNull(f.Row.FirstName), deleted)
}

func orNull(text string) string {
	if text == "" {
		return "NULL"
	}
	return text
}

// Said returns what an outcome's reason says about the event, and false where the
// event was not rolled back.
func Said(reason string) (string, bool) {
	_, text, found := strings.Cut(reason, said)
	return text, found
}
