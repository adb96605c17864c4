package provider

import (
	"encoding/json"
	"time"
)

// The kinds of reading users from a provider; they are the types of its events.
const (
	// KindBackfill reads all users once, so that the mirror is complete.
	KindBackfill = "backfill"
	// KindReconcile reads all users and compares them with the mirror.
	KindReconcile = "reconcile"
	// KindRefresh reads one user.
	KindRefresh = "refresh"
)

// Import says how a user object came here that no delivery brought: authsync
// read it from the provider's API or tables.
type Import struct {
	RunID string // together with Kind the event's id, which the users of a run share
	Kind  string // KindBackfill, KindReconcile or KindRefresh
	// FetchedAt is when the request that read the object was sent. It stands in
	// for a delivery's time of sending and of receipt: a live event that says
	// something newer always wins.
	FetchedAt time.Time
	// Whole: the object holds the whole profile, so a missing key was cleared.
	Whole bool
	// LastSignInAt is set where the object does not hold it but the source knows it.
	LastSignInAt *time.Time
}

// Importer is a provider whose user objects can be read by authsync itself.
type Importer interface {
	// DecodeUser translates a user object into an event, with the mapping that
	// Decode has for deliveries. It never fails: what cannot be understood has
	// the verdict Fail. The event is not for the ledger.
	DecodeUser(object json.RawMessage, i Import, o Options) Event
	// Comparison says what the keys of two user objects mean that are compared.
	Comparison() Comparison
}

// Racer is a provider whose clocks may not tell which of several changes at the same time was
// written last.
type Racer interface {
	// MayRace reports an event about a change that may have been written after another one whose
	// clock is a little later, or before one whose clock is earlier.
	MayRace(e *Event) bool
}

// Comparison says what keys at the top of a user object mean where two forms of it (event,
// list, export, table) are compared. Of any other key the values are compared, and a key
// that only one of them has is compared where authsync has read both.
type Comparison struct {
	// Complete: every form has the key when it has a value. Where one lacks it, it was cleared.
	Complete []string `json:"complete"`
	// Quiet: it may change without an event, as by a sign-in.
	Quiet []string `json:"quiet"`
	// Loose: of what is in it one form says less than another.
	Loose []string `json:"loose"`
	// Computed: it is true only at the moment when it is read.
	Computed []string `json:"computed"`
}
