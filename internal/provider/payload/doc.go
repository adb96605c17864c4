// Package payload is what the providers' decoders have in common: it walks a
// JSON document without copying it, reads times, names and ids, sets the
// clocks of an event, and makes a user object fit for jsonb.
//
// It stands between the inbox, which keeps the bytes of a delivery as they
// came, and the mirror, which takes provider.Event: a provider's package knows
// the keys of its payload, this one knows the rules that hold for all of them.
//
// The walking functions rely on the document being valid JSON; Parse is the
// way in.
package payload
