package provider

import (
	"encoding/json"
	"time"

	"github.com/authsync/authsync/internal/record"
)

// The kinds of reads from a provider; they are the types of the resulting events.
const (
	// KindBackfill reads all users once to complete the mirror.
	KindBackfill = "backfill"
	// KindReconcile reads all users and compares them with the mirror.
	KindReconcile = "reconcile"
	// KindRefresh reads one user.
	KindRefresh = "refresh"
)

// Import describes an object that authsync read from the provider's API or tables.
type Import struct {
	RunID string // with Kind the event's id, shared by the records of a run
	Kind  string // KindBackfill, KindReconcile or KindRefresh
	// FetchedAt is when the request that read the object was sent. It serves as the times of
	// sending and of receipt: a newer live event always wins.
	FetchedAt time.Time
	// Whole reports that the object is complete, so a missing key was cleared.
	Whole bool
	// LastSignInAt is set if the source knows it but the object lacks it.
	LastSignInAt *time.Time
}

// Importer is a provider whose objects authsync can read itself.
type Importer interface {
	// DecodeUser translates a user object into an event, with the same mapping as Decode. It never
	// fails: an undecodable object has the verdict Fail. The event does not go into the ledger.
	DecodeUser(object json.RawMessage, i Import, o Options) Event
	// DecodeRecord does the same for an organization, a membership or an invitation.
	DecodeRecord(t record.Type, object json.RawMessage, i Import, o Options) Event
	// Comparison describes how the keys of two objects of a type are compared.
	Comparison(t record.Type) Comparison
}

// Racer is a provider whose clocks may not tell which of several simultaneous changes was written
// last.
type Racer interface {
	// MayRace reports whether an event is about a change that may have been written after another
	// one with a slightly later clock, or before one with an earlier clock.
	MayRace(e *Event) bool
}

// Comparison describes the top-level keys of an object when two forms of it (event, list,
// export, table) are compared. The values of all other keys are compared, and a key that only one
// form has is compared if authsync has read both.
type Comparison struct {
	// Complete keys are in every form when they have a value. If one form lacks such a key, it was
	// cleared.
	Complete []string `json:"complete"`
	// Quiet keys may change without an event, for example by a sign-in.
	Quiet []string `json:"quiet"`
	// Loose keys have less detail in some forms.
	Loose []string `json:"loose"`
	// Computed keys are true only at the moment when they are read.
	Computed []string `json:"computed"`
}
