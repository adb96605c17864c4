package provider

import (
	"maps"
	"math/rand/v2"
	"strings"
	"time"
)

// Sample describes a made-up event, for authsync send, verify, the dev server
// and tests.
type Sample struct {
	// Type is a type of the provider, such as "user.updated".
	Type string
	// ID is the event's id; empty makes one up where the provider has event ids.
	ID string
	// UserID is the user's id; empty makes one up in the provider's style.
	UserID string
	// Object is the whole object of the event, in place of a made-up one; nil: made up.
	Object map[string]any
	// Set overrides or adds keys of the user object; a nil value is an explicit null.
	Set map[string]any
	// At is the time of the change, for the object's own timestamps and the envelope.
	At time.Time
}

// Time is the time of the change: At, else now.
func (s Sample) Time(now time.Time) time.Time {
	if s.At.IsZero() {
		return now
	}
	return s.At
}

// Override merges Set into the user object of a sample.
func (s Sample) Override(user map[string]any) {
	maps.Copy(user, s.Set)
}

// RandomID makes up an id of n letters and digits.
func RandomID(n int) string {
	return random(n, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}

// RandomHex makes up n hexadecimal digits.
func RandomHex(n int) string { return random(n, "0123456789abcdef") }

func random(n int, alphabet string) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(out)
}

// SampleEmail makes up an e-mail address that differs from user to user, in a
// domain that can receive nothing.
func SampleEmail(userID string) string {
	tail := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(userID))
	return "user." + tail[max(0, len(tail)-12):] + "@example.com"
}
