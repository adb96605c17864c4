package provider

import (
	"maps"
	"math/rand/v2"
	"strings"
	"time"
)

// Sample describes a synthetic event, for authsync send, self-test, the dev server and tests.
type Sample struct {
	// Type is a type of the provider, such as "user.updated".
	Type string
	// ID is the event's id; if empty, one is generated if the provider has event ids.
	ID string
	// UserID and OrganizationID are the ids of the user and of the organization; if empty, they are
	// generated in the provider's style.
	UserID, OrganizationID string
	// Object is the event's whole object; nil generates one.
	Object map[string]any
	// Set overrides or adds keys of the object; a nil value is an explicit null.
	Set map[string]any
	// At is the time of the change, used for the object's timestamps and the envelope.
	At time.Time
}

// Time returns At, or now if it is zero.
func (s Sample) Time(now time.Time) time.Time {
	if s.At.IsZero() {
		return now
	}
	return s.At
}

// Override merges Set into the object of a sample.
func (s Sample) Override(object map[string]any) {
	maps.Copy(object, s.Set)
}

// Organization returns OrganizationID, or one that begins with a prefix and has n random letters and digits.
func (s Sample) Organization(prefix string, n int) string {
	if s.OrganizationID != "" {
		return s.OrganizationID
	}
	return prefix + RandomID(n)
}

// RandomID generates an id of n letters and digits.
func RandomID(n int) string {
	return random(n, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}

// RandomHex generates n hexadecimal digits.
func RandomHex(n int) string { return random(n, "0123456789abcdef") }

func random(n int, alphabet string) string {
	out := make([]byte, n)
	for i := range out {
		out[i] = alphabet[rand.IntN(len(alphabet))]
	}
	return string(out)
}

// SampleEmail generates an e-mail address per user, in a domain that cannot receive mail.
func SampleEmail(userID string) string {
	tail := strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' {
			return r
		}
		return -1
	}, strings.ToLower(userID))
	return "user." + tail[max(0, len(tail)-12):] + "@example.com"
}
