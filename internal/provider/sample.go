package provider

import "time"

// Sample describes a made-up event, for authsync send, verify, the dev server
// and tests.
type Sample struct {
	// Type is a type of the provider, such as "user.updated".
	Type string
	// ID is the event's id; empty makes one up where the provider has event ids.
	ID string
	// UserID is the user's id; empty makes one up in the provider's style.
	UserID string
	// Set overrides or adds keys of the user object; a nil value is an explicit null.
	Set map[string]any
	// At is the time of the change, for the object's own timestamps and the envelope.
	At time.Time
}
