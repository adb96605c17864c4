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
	// RawKeys are the keys at the top of a user object that every form of it (event,
	// list, export, table) has when they have a value, and has in the same form: where
	// one of two objects lacks such a key, it was cleared. Of the other keys that
	// cannot be said.
	RawKeys() []string
}
