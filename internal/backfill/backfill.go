// Package backfill reads all users of a provider into a project's mirror, so
// that it is complete from the first hour. It stands beside the road of a
// webhook and joins it at its last station: what it reads becomes events that
// go to the mirror as those of deliveries do, with the provider's clock, so a
// live event that is newer always wins.
//
//	authsync backfill, API, PUT integration ──▶ Store.Start ──▶ run + job, one transaction
//	                                                                │
//	provider's API ──▶ page ──▶ decode ──▶ mirror ──▶ commit cursor and counters
//	      ▲                                                         │
//	      └──────────── slices of 20 s until the last page ◀────────┘
//
// A run is a row of authsync.backfills:
//
//	waiting ⇄ running ──▶ done
//	   │         │  └───▶ failed      credentials refused, or troubles without end
//	   └─────────┴──────▶ cancelled   by a person
//
// The cursor moves after its page is in the mirror, never before. Whatever dies,
// at whatever point: the job runs again and goes on from the last committed
// page. That page may be applied twice, which changes nothing.
package backfill

import (
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// Queue is the queue of the jobs: they are long, and must not take the places
// of deliveries.
const Queue = "backfills"

// The states of a run.
const (
	Running   = "running"
	Waiting   = "waiting" // for its turn, or for what waits_because says
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
)

// maxBad is how many entries that failed are kept with their reasons.
const maxBad = 100

// Run is a backfill and how far it is.
type Run struct {
	ID        uuid.UUID `json:"id"`
	ProjectID uuid.UUID `json:"project_id"`
	Provider  string    `json:"provider"`
	Kind      string    `json:"kind"`
	State     string    `json:"state"`
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
	SecondsLeft  *float64   `json:"seconds_left"`
	WaitsBecause *string    `json:"waits_because"`
	Error        *string    `json:"error"`
	Report       Report     `json:"report"`
	StartedAt    time.Time  `json:"started_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	FinishedAt   *time.Time `json:"finished_at"`
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

// ErrNoRun says that there was no backfill yet.
var ErrNoRun = errors.New("there was no backfill of this provider yet")

// RunningError says that a backfill of the provider is not finished.
type RunningError struct{ Run Run }

func (e *RunningError) Error() string {
	return "backfill " + e.Run.ID.String() + " of this provider is " + e.Run.State
}

// Args are the arguments of the job backfill.
type Args struct {
	RunID     uuid.UUID `json:"run_id"`
	ProjectID uuid.UUID `json:"project_id"`
}

// Kind names the job.
func (Args) Kind() string { return "backfill" }

// InsertOpts lets the job run as often as it takes: each death of a worker costs
// an attempt, and the run knows itself when it has had enough.
func (Args) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: Queue, MaxAttempts: 30_000}
}
