// Package syncrun reads all users of a provider into a project's mirror, so
// that it is complete from the first hour (a backfill), and compares the two, so that
// it stays equal (a reconcile). It stands beside the road of a webhook and joins it
// at its last station: what it reads becomes events that go to the mirror as those of
// deliveries do, with the provider's clock, so a live event that is newer always wins.
//
//	authsync backfill, API, PUT integration ──▶ Store.Start ──▶ run + job, one transaction
//	                                                                │
//	provider's API ──▶ page ──▶ decode ──▶ mirror ──▶ commit cursor and counters
//	      ▲                                                         │
//	      └──────────── slices of 20 s until the last page ◀────────┘
//
// A reconcile walks the same way, but writes only users that are missing or
// differ, and then has two more phases; see reconcile.go.
//
// A run is a row of authsync.sync_runs:
//
//	waiting ⇄ running ──▶ done
//	   │         │  └───▶ failed      credentials refused, or failures without end
//	   └─────────┴──────▶ cancelled   by a person
//
// The cursor moves after its page is in the mirror, never before. Whatever dies,
// at whatever point: the job runs again and goes on from the last committed
// page. That page may be applied twice, which changes nothing. A run has one job
// (package jobs): if a person cancels or deletes that, the run gets another. What ends a run is Store.Cancel.
package syncrun

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
)

// Queue is the queue of the jobs: they are long, and must not take the places
// of deliveries.
const Queue = "backfills"

// The states of a run.
const (
	Running   = "running"
	Waiting   = "waiting" // for its turn, or for what wait_reason says
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// maxBad is how many entries that failed are kept with their reasons, maxNotes
// how many notes.
const (
	maxBad   = 100
	maxNotes = 20
)

// The phases of a run; a backfill has the first one only.
const (
	Walk     = "walk"     // reads all users of the provider
	Orphaned = "orphaned" // looks for users of the mirror whom the walk did not meet
	Confirm  = "confirm"  // asks the provider about single users
)

// Order is what is asked for.
type Order struct {
	Kind string `json:"-"` // provider.KindBackfill or KindReconcile
	// DryRun: a reconcile changes no user.
	DryRun bool `json:"dry_run,omitempty"`
	// Force: a reconcile deletes however many users are gone at the provider.
	Force bool `json:"force,omitempty"`
}

// Run is a backfill or reconcile and how far it is.
type Run struct {
	ID        uuid.UUID `json:"id"`
	ProjectID uuid.UUID `json:"project_id"`
	Provider  string    `json:"provider"`
	Kind      string    `json:"kind"`
	DryRun    bool      `json:"dry_run"`
	Force     bool      `json:"force"`
	State     string    `json:"state"`
	Phase     string    `json:"phase"`
	// Total is how many users the provider says there are; nil where it does not say.
	Total *int64 `json:"total"`
	Read  int64  `json:"read"`
	// Applied, Unchanged and Failed are what became of those that were read.
	// Failed counts entries as well that are no users.
	Applied   int64 `json:"applied"`
	Unchanged int64 `json:"unchanged"`
	Failed    int64 `json:"failed"`
	// PerSecond is the rate while it worked; nil as long as it is not known.
	PerSecond *float64 `json:"per_second"`
	// SecondsLeft is estimated; nil where rate or total are not known, or it has ended.
	SecondsLeft *float64 `json:"seconds_left"`
	WaitReason  *string  `json:"wait_reason"`
	Error       *string  `json:"error"`
	Report      Report   `json:"report"`
	// Drift is what a reconcile has found, as of its last change of phase; nil before it has looked at all users, and of a backfill.
	Drift      *Drift     `json:"drift"`
	StartedAt  time.Time  `json:"started_at"`
	UpdatedAt  time.Time  `json:"updated_at"`
	FinishedAt *time.Time `json:"finished_at"`
}

// Finished reports that nothing more will happen.
func (r *Run) Finished() bool { return r.FinishedAt != nil }

// Report is what a person should know of a run beside its numbers.
type Report struct {
	// Bad are the first hundred entries that are not in the mirror.
	Bad []Bad `json:"bad"`
	// Notes are sentences on the walk, such as that an export was made anew.
	Notes []string `json:"notes,omitempty"`
}

// Bad is an entry that is not in the mirror.
type Bad struct {
	Place  string `json:"place"` // such as "line 17" or "user 1234 of the walk"
	Reason string `json:"reason"`
}

func (r *Report) add(place, reason string) {
	if len(r.Bad) < maxBad {
		r.Bad = append(r.Bad, Bad{Place: place, Reason: reason})
	}
}

// note adds a sentence, once.
func (r *Report) note(text string) {
	if text != "" && len(r.Notes) < maxNotes && !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// ErrNoRun says that there was no run of this kind yet.
var ErrNoRun = fault.New(fault.RunNotFound, "there was none of this provider yet")

// RunningError says that a run of the provider, of either kind, is not finished.
type RunningError struct{ Run Run }

func (e *RunningError) Error() string {
	return fmt.Sprintf("%[1]s %[2]s of this provider is %[3]s: GET …/%[1]s shows how far it is, DELETE …/%[1]s cancels it",
		e.Run.Kind, e.Run.ID, e.Run.State)
}

// Unwrap gives the code.
func (e *RunningError) Unwrap() error { return fault.New(fault.RunUnfinished, e.Error()) }

// Args are the arguments of the job backfill.
type Args struct {
	RunID     uuid.UUID `json:"run_id"`
	ProjectID uuid.UUID `json:"project_id"`
	RunKind   string    `json:"run_kind"` // for who looks at the jobs
}

// Kind names the job.
func (Args) Kind() string { return jobs.Backfill }

// subject is what the job exists once for.
func (a Args) subject() string { return a.RunID.String() }
