// Package payload has what the providers' decoders share: it walks a JSON document without copying,
// parses times, names and ids, sets an event's clocks, and makes a user object valid for jsonb. A
// provider's package knows the keys of its payload; this one has the rules that apply to all.
//
// The walking functions require valid JSON; use Parse first.
package payload
