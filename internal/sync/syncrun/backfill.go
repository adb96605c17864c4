// Package syncrun runs backfills, which read all users of a provider into a project's mirror, and
// reconciles, which compare the two and repair differences. Both then do the same for the provider's
// organizations, memberships and invitations, if the integration mirrors them. What it reads becomes events that go to
// the mirror like those of messages, with the provider's clock, so a newer live event always wins.
//
//	authsync backfill, API, PUT integration ──▶ Store.Start ──▶ run + job, one transaction
//	                                                                │
//	provider's API ──▶ page ──▶ decode ──▶ mirror ──▶ commit cursor and counters
//	      ▲                                                         │
//	      └──────────── slices of 20 s until the last page ◀────────┘
//
// A reconcile reads the same pages but writes only records that are missing or differ, and at the end
// has two more phases; see reconcile.go.
//
// A run is a row of authsync.sync_runs:
//
//	waiting ⇄ running ──▶ done
//	   │         │  └───▶ failed      credentials refused, or too many failures
//	   └─────────┴──────▶ cancelled   by a user
//
// The cursor advances only after its page is in the mirror. If anything dies at any point, the job
// runs again and continues after the last committed page. A page may be applied twice, which
// changes nothing. A run has one job (package jobs): if a user cancels or deletes it, the run gets
// another. Store.Cancel ends a run.
package syncrun

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/authsync/authsync/internal/fault"
	"github.com/authsync/authsync/internal/jobs"
	"github.com/authsync/authsync/internal/record"
)

// Queue is the queue of the jobs: they are long and must not use the workers of messages.
const Queue = "backfills"

// The states of a run.
const (
	Running   = "running"
	Waiting   = "waiting" // for a worker, or for wait_reason
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// maxBad is the number of failed entries kept with their reasons, maxNotes the number of notes.
const (
	maxBad   = 100
	maxNotes = 20
)

// The phases of a run; a backfill has only the first two.
const (
	Walk     = "walk"     // reads all users of the provider
	Records  = "records"  // reads its organizations, memberships and invitations
	Orphaned = "orphaned" // finds records of the mirror that the walk did not see
	Confirm  = "confirm"  // asks the provider about single records
)

// Order is a request for a run.
type Order struct {
	Kind string `json:"-"` // provider.KindBackfill or KindReconcile
	// DryRun makes a reconcile change nothing.
	DryRun bool `json:"dry_run,omitempty"`
	// Force lets a reconcile delete orphaned records however many there are.
	Force bool `json:"force,omitempty"`
}

// Run is a backfill or reconcile and its progress.
type Run struct {
	ID        uuid.UUID
	ProjectID uuid.UUID
	Provider  string
	Kind      string
	DryRun    bool
	Force     bool
	State     string
	Phase     string
	// Total is the number of users according to the provider; nil if it does not say.
	Total *int64
	// Read is the number of records of any type read; Report has it by type.
	Read int64
	// Applied, Unchanged and Failed count the records read, by result. Failed includes entries that
	// are no records.
	Applied   int64
	Unchanged int64
	Failed    int64
	// PerSecond is the rate while working; nil until it is known.
	PerSecond *float64
	// SecondsLeft is an estimate; nil if rate or total are unknown, or the run has ended.
	SecondsLeft *float64
	WaitReason  *string
	Error       *string
	Report      Report
	// Drift is the result of a reconcile as of its last change of phase; nil before the walk is
	// complete, and for a backfill.
	Drift     *Drift
	StartedAt time.Time
	UpdatedAt time.Time
	// ProgressedAt is when its last page was committed; before the first, StartedAt.
	ProgressedAt time.Time
	FinishedAt   *time.Time
}

// Finished reports whether the run has ended.
func (r *Run) Finished() bool { return r.FinishedAt != nil }

// Report holds details of a run for people.
type Report struct {
	// Bad are the first hundred entries that could not be applied.
	Bad []Bad `json:"bad"`
	// Notes are sentences about the walk, such as that an export was restarted.
	Notes []string `json:"notes,omitempty"`
	// Records are the numbers of records read, by type.
	Records map[record.Type]int64 `json:"records,omitempty"`
}

// Bad is an entry that could not be applied.
type Bad struct {
	Place  string `json:"place"` // such as "line 17" or "user 1234 of the walk"
	Reason string `json:"reason"`
}

func (r *Report) add(place, reason string) {
	if len(r.Bad) < maxBad {
		r.Bad = append(r.Bad, Bad{Place: place, Reason: reason})
	}
}

// read counts records of a type, and returns how many of it were read.
func (r *Report) read(t record.Type, n int64) int64 {
	if n == 0 {
		return r.Records[t]
	}
	if r.Records == nil {
		r.Records = make(map[record.Type]int64)
	}
	r.Records[t] += n
	return r.Records[t]
}

// note adds a sentence once.
func (r *Report) note(text string) {
	if text != "" && len(r.Notes) < maxNotes && !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// ErrNoRun reports that there has been no run of this kind.
var ErrNoRun = fault.New(fault.RunNotFound, "there was none of this provider yet")

// RunningError reports that a run of the provider, of either kind, is unfinished.
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
	RunKind   string    `json:"run_kind"` // for people who inspect jobs
}

// Kind implements river.JobArgs.
func (Args) Kind() string { return jobs.Backfill }

// subject identifies the single job of a run.
func (a Args) subject() string { return a.RunID.String() }
